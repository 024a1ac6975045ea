#include "eventstore/types.h"

#include <charconv>
#include <sys/random.h>

#include <fmt/format.h>

#include "eventstore/base/text.h"

namespace tidegate {
namespace {

constexpr std::string_view kBase32 = "abcdefghijklmnopqrstuvwxyz234567";

}  // namespace

LogId LogId::random() {
  std::array<unsigned char, kLength> bytes{};
  const auto got = ::getrandom(bytes.data(), bytes.size(), 0);
  TG_CHECK(got == static_cast<ssize_t>(bytes.size()), got);
  LogId id;
  for (std::size_t i = 0; i < kLength; ++i) id.text_[i] = kBase32[bytes[i] % kBase32.size()];
  return id;
}

Result<LogId> LogId::parse(std::string_view text) {
  if (text.size() != kLength || text.find_first_not_of(kBase32) != std::string_view::npos) {
    return Error{
        Code::kBadPosition,
        fmt::format("'{}' is not a log id: 16 characters of a-z and 2-7", printable(text))};
  }
  LogId id;
  text.copy(id.text_.data(), kLength);
  return id;
}

Result<Position> Position::parse(std::string_view text) {
  const auto fail = [&] {
    return Error{
        Code::kBadPosition,
        fmt::format("'{}' is not a position: expected <log id>.<sequence>.<8 hex digits> as "
                    "the server gave it, or an integer sequence",
                    printable(text))};
  };
  const auto first_dot = text.find('.');
  const auto last_dot = text.rfind('.');
  if (first_dot == std::string_view::npos || first_dot == last_dot) return fail();
  const auto log = LogId::parse(text.substr(0, first_dot));
  const auto sequence = parse_u64(text.substr(first_dot + 1, last_dot - first_dot - 1));
  const auto check_text = text.substr(last_dot + 1);
  // Not in capitals: a position has one text.
  const bool is_check = check_text.size() == 8 &&
                        check_text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  if (!log || !sequence || !is_check) return fail();
  std::uint32_t check = 0;
  std::from_chars(check_text.data(), check_text.data() + check_text.size(), check, 16);
  return Position{*log, *sequence, check};
}

void Position::append_to(std::string& out) const {
  fmt::format_to(std::back_inserter(out), "{}.{}.{:08x}", log.text(), sequence, check);
}

std::string Position::text() const {
  std::string out;
  append_to(out);
  return out;
}

}  // namespace tidegate
