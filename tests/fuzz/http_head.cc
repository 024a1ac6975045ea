// The head of a request, and whether it may have a WebSocket.

#include "gateway/net/http_head.h"

#include <string>
#include <variant>

#include "gateway/net/upgrade.h"
#include "tests/fuzz/target.h"

namespace tidegate {
namespace {

using fuzz::require;

HttpHead::State take_in_pieces(HttpHead& head, std::string_view bytes, std::size_t piece) {
  HttpHead::State state = HttpHead::State::kIncomplete;
  while (!bytes.empty() && state == HttpHead::State::kIncomplete) {
    state = head.take(bytes.substr(0, piece));
    bytes.remove_prefix(std::min(piece, bytes.size()));
  }
  return state;
}

}  // namespace
}  // namespace tidegate

TIDEGATE_FUZZ_TARGET(http_head) {
  using namespace tidegate;
  if (input.empty()) return;
  HttpHead head;
  if (take_in_pieces(head, input, input.size()) != HttpHead::State::kComplete) return;
  UpgradeRules rules;
  rules.is_local_only = input.size() % 2 == 0;
  rules.allowed_origins = {"https://app.example"};
  rules.token_cookie = "session";
  rules.takes_query_token = input.size() % 3 == 0;
  const auto checked = check_upgrade(head.request(), rules);
  if (const auto* refusal = std::get_if<HttpRefusal>(&checked)) {
    const std::string answer = http_answer(*refusal);
    require(refusal->status >= 400 && refusal->status < 500, "a refusal has a status");
    require(answer.starts_with("HTTP/1.1 4"), "a refusal can be sent");
  } else {
    const std::string answer = upgrade_answer(std::get<Upgrade>(checked));
    require(answer.find("\r\n\r\n") == answer.size() - 4, "an answer is one head");
  }
}
