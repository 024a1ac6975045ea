// What a client sends on a WebSocket: however its bytes are cut, the same comes of it.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gateway/net/frame_reader.h"
#include "tests/fuzz/target.h"

namespace tidegate {
namespace {

using fuzz::require;

constexpr std::size_t kMessageBytesMax = 4096;

struct Outcome {
  std::vector<std::string> payloads;
  std::optional<CloseCode> violation;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome read_in_pieces(bool is_binary, std::string bytes, std::size_t piece) {
  FrameReader reader(is_binary, kMessageBytesMax);
  Outcome outcome;
  for (std::size_t at = 0; at < bytes.size() && !outcome.violation; at += piece) {
    std::span<char> rest(bytes.data() + at, std::min(piece, bytes.size() - at));
    while (const auto incoming = reader.read(rest, 0)) {
      require(incoming->payload.size() <= kMessageBytesMax, "a message is within its limit");
      outcome.payloads.emplace_back(incoming->payload);
      if (incoming->kind == Incoming::Kind::kClose) return outcome;
    }
    if (reader.violation()) outcome.violation = reader.violation()->code;
  }
  return outcome;
}

}  // namespace
}  // namespace tidegate

TIDEGATE_FUZZ_TARGET(frames) {
  using namespace tidegate;
  if (input.empty()) return;
  const bool is_binary = (input.front() & 1) != 0;
  const std::string bytes(input.substr(1));
  const Outcome whole = read_in_pieces(is_binary, bytes, bytes.size());
  require(read_in_pieces(is_binary, bytes, 1) == whole, "cuts do not matter");
  require(read_in_pieces(is_binary, bytes, 7) == whole, "cuts do not matter");
}
