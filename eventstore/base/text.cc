#include "eventstore/base/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstring>

#include <fmt/format.h>

namespace tidegate {
namespace {

constexpr std::int64_t kMicrosPerSecond = 1'000'000;

constexpr std::array<bool, 256> needs_escape = [] {
  std::array<bool, 256> table{};
  for (std::size_t c = 0; c < 0x20; ++c) table[c] = true;
  table['"'] = table['\\'] = table[0x7f] = true;
  return table;
}();

// Whether one of so many bytes needs an escape. Without a branch, so that the compiler looks at all
// of them at once.
constexpr std::size_t kEscapeBlock = 32;
bool has_escape(const char* bytes) {
  unsigned char found = 0;
  for (std::size_t i = 0; i < kEscapeBlock; ++i) {
    const auto c = static_cast<unsigned char>(bytes[i]);
    found |= static_cast<unsigned char>((c < 0x20) | (c == '"') | (c == '\\') | (c == 0x7f));
  }
  return found != 0;
}

void append_escaped(std::string& out, unsigned char c) {
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", c);
  }
}

// Appends the last `count` digits of a number, and what follows it.
void append_digits(std::string& out, std::size_t count, std::int64_t number, char after) {
  std::array<char, 8> text;
  text[count] = after;
  for (std::size_t i = count; i-- > 0; number /= 10) text[i] = static_cast<char>('0' + number % 10);
  out.append(text.data(), count + 1);
}

// Reads exactly `count` digits.
std::optional<int> digits(std::string_view& text, std::size_t count) {
  if (text.size() < count) return std::nullopt;
  int value = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(count);
  return value;
}

bool take(std::string_view& text, std::string_view any_of) {
  if (text.empty() || any_of.find(text.front()) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

// Microseconds of ".123456789", or nothing when malformed; 0 without a fraction.
std::optional<std::int64_t> fraction_us(std::string_view& text) {
  if (!take(text, ".")) return 0;
  std::int64_t value = 0;
  std::size_t count = 0;
  while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
    if (count < 6) value = value * 10 + (text.front() - '0');
    ++count;
    text.remove_prefix(1);
  }
  if (count == 0 || count > 9) return std::nullopt;
  for (; count < 6; ++count) value *= 10;
  return value;
}

// Seconds east of UTC.
std::optional<int> offset_seconds(std::string_view text) {
  if (text == "Z" || text == "z") return 0;
  if (text.size() != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':') return std::nullopt;
  const int sign = text[0] == '+' ? 1 : -1;
  text.remove_prefix(1);
  const auto hours = digits(text, 2);
  take(text, ":");
  const auto minutes = digits(text, 2);
  if (!hours || !minutes || *hours > 23 || *minutes > 59) return std::nullopt;
  return sign * (*hours * 3600 + *minutes * 60);
}

}  // namespace

std::size_t plain_json_run(std::string_view text) {
  std::size_t i = 0;
  while (text.size() - i >= kEscapeBlock && !has_escape(text.data() + i)) i += kEscapeBlock;
  while (i < text.size() && !needs_escape[static_cast<unsigned char>(text[i])]) ++i;
  return i;
}

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  while (true) {
    const std::size_t plain = plain_json_run(text);
    out.append(text.substr(0, plain));
    if (plain == text.size()) break;
    append_escaped(out, static_cast<unsigned char>(text[plain]));
    text.remove_prefix(plain + 1);
  }
  out += '"';
}

bool is_plain_word(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-_.:/+@").find(c) != std::string_view::npos;
  });
}

bool is_valid_utf8(std::string_view text) {
  // Well-formed byte sequences, Unicode 15 table 3-7.
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const auto* const end = p + text.size();
  const auto continues = [](unsigned char c) { return (c & 0xC0) == 0x80; };
  while (p < end) {
    // Most text is ASCII: eight bytes at a time.
    for (std::uint64_t word = 0; end - p >= 8; p += 8) {
      std::memcpy(&word, p, 8);
      if ((word & 0x8080808080808080) != 0) break;
    }
    if (p == end) break;
    const unsigned char c = *p;
    if (c < 0x80) {
      ++p;
    } else if (c >= 0xC2 && c <= 0xDF) {
      if (end - p < 2 || !continues(p[1])) return false;
      p += 2;
    } else if (c >= 0xE0 && c <= 0xEF) {
      if (end - p < 3 || !continues(p[1]) || !continues(p[2])) return false;
      if (c == 0xE0 && p[1] < 0xA0) return false;
      if (c == 0xED && p[1] > 0x9F) return false;
      p += 3;
    } else if (c >= 0xF0 && c <= 0xF4) {
      if (end - p < 4 || !continues(p[1]) || !continues(p[2]) || !continues(p[3])) return false;
      if (c == 0xF0 && p[1] < 0x90) return false;
      if (c == 0xF4 && p[1] > 0x8F) return false;
      p += 4;
    } else {
      return false;
    }
  }
  return true;
}

std::string printable(std::string_view text) {
  constexpr std::size_t kShownMax = 64;
  std::string out;
  for (const char c : text.substr(0, kShownMax)) out += c >= 0x20 && c < 0x7f ? c : '?';
  if (text.size() > kShownMax) out += "...";
  return out;
}

std::optional<std::size_t> unfinished_utf8_bytes(std::string_view text) {
  std::string tail;
  for (std::size_t n = 1; n <= std::min<std::size_t>(3, text.size()); ++n) {
    const auto lead = static_cast<unsigned char>(text[text.size() - n]);
    if ((lead & 0xC0) == 0x80) continue;
    const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (length <= n) break;
    tail = text.substr(text.size() - n);
    // With the other bytes, as few things forbid them as can be, it must be a character.
    std::string whole = tail;
    if (n == 1) whole += lead == 0xE0 ? '\xA0' : lead == 0xF0 ? '\x90' : '\x80';
    whole.resize(length, '\x80');
    if (!is_valid_utf8(whole)) return std::nullopt;
    break;
  }
  if (!is_valid_utf8(text.substr(0, text.size() - tail.size()))) return std::nullopt;
  return tail.size();
}

// Every event on its way to a reader has a time, and fmt takes several times as long.
void append_time(std::string& out, std::int64_t time_us) {
  using namespace std::chrono;
  constexpr std::int64_t kLast = 253'402'300'800 * kMicrosPerSecond - 1;  // the end of 9999
  time_us = std::clamp<std::int64_t>(time_us, 0, kLast);
  const auto point = sys_time<microseconds>(microseconds(time_us));
  const auto day = floor<days>(point);
  const year_month_day date(day);
  const auto in_day = (point - day).count();
  const auto seconds = in_day / kMicrosPerSecond;
  const auto micros = in_day % kMicrosPerSecond;
  append_digits(out, 4, static_cast<int>(date.year()), '-');
  append_digits(out, 2, static_cast<unsigned>(date.month()), '-');
  append_digits(out, 2, static_cast<unsigned>(date.day()), 'T');
  append_digits(out, 2, seconds / 3600, ':');
  append_digits(out, 2, seconds / 60 % 60, ':');
  append_digits(out, 2, seconds % 60, micros == 0 ? 'Z' : '.');
  if (micros == 0) return;
  micros % 1000 == 0 ? append_digits(out, 3, micros / 1000, 'Z')
                     : append_digits(out, 6, micros, 'Z');
}

std::string format_time(std::int64_t time_us) {
  std::string out;
  append_time(out, time_us);
  return out;
}

std::optional<std::int64_t> parse_time(std::string_view text) {
  using namespace std::chrono;
  const auto y = digits(text, 4);
  if (!y || !take(text, "-")) return std::nullopt;
  const auto mo = digits(text, 2);
  if (!mo || !take(text, "-")) return std::nullopt;
  const auto d = digits(text, 2);
  if (!d || !take(text, "Tt ")) return std::nullopt;
  const auto h = digits(text, 2);
  if (!h || !take(text, ":")) return std::nullopt;
  const auto mi = digits(text, 2);
  if (!mi || !take(text, ":")) return std::nullopt;
  const auto s = digits(text, 2);
  if (!s || *h > 23 || *mi > 59 || *s > 60) return std::nullopt;
  const auto micros = fraction_us(text);
  const auto offset = offset_seconds(text);
  if (!micros || !offset) return std::nullopt;

  const year_month_day date(year(*y), month(static_cast<unsigned>(*mo)),
                            day(static_cast<unsigned>(*d)));
  if (!date.ok()) return std::nullopt;
  const std::int64_t day_seconds = sys_days(date).time_since_epoch().count() * std::int64_t{86400};
  const std::int64_t in_day = *h * 3600 + *mi * 60 + *s - *offset;
  const std::int64_t result = (day_seconds + in_day) * kMicrosPerSecond + *micros;
  if (result < 0) return std::nullopt;
  return result;
}

std::optional<std::uint64_t> parse_u64(std::string_view text) {
  if (text.empty() || (text.size() > 1 && text.front() == '0')) return std::nullopt;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (text.front() == '-' || text.front() == '+') return std::nullopt;
  return value;
}

}  // namespace tidegate
