#include "gateway/cloudevents/base64.h"

#include <array>
#include <cstdint>

namespace tidegate {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrlAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

constexpr std::uint8_t kNoDigit = 0xFF;

using DigitTable = std::array<std::uint8_t, 256>;

constexpr DigitTable digits_of(std::string_view alphabet) {
  DigitTable digits{};
  digits.fill(kNoDigit);
  for (std::size_t i = 0; i < alphabet.size(); ++i) {
    digits[static_cast<unsigned char>(alphabet[i])] = static_cast<std::uint8_t>(i);
  }
  return digits;
}

constexpr DigitTable kDigitOf = digits_of(kAlphabet);
constexpr DigitTable kUrlDigitOf = digits_of(kUrlAlphabet);

// How many digits say `bytes` bytes, without padding.
std::size_t digit_count(std::size_t bytes) {
  return (bytes * 4 + 2) / 3;
}

// Writes digit_count(bytes.size()) digits.
void write_digits(char* to, std::string_view bytes, std::string_view alphabet) {
  while (!bytes.empty()) {
    const std::string_view group = bytes.substr(0, 3);
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      bits = bits << 8 | (i < group.size() ? static_cast<unsigned char>(group[i]) : 0U);
    }
    for (std::size_t i = 0; i <= group.size(); ++i) to[i] = alphabet[bits >> (18 - 6 * i) & 63];
    to += 4;
    bytes.remove_prefix(group.size());
  }
}

// `text` is without padding, so its last group may have two or three digits.
std::optional<std::string> decode_digits(std::string_view text, const DigitTable& digits) {
  if (text.size() % 4 == 1) return std::nullopt;
  std::string out;
  out.reserve(text.size() / 4 * 3 + 2);
  while (!text.empty()) {
    const std::string_view group = text.substr(0, 4);
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < group.size(); ++i) {
      const std::uint8_t digit = digits[static_cast<unsigned char>(group[i])];
      if (digit == kNoDigit) return std::nullopt;
      bits |= static_cast<std::uint32_t>(digit) << (18 - 6 * i);
    }
    const std::size_t absent = 4 - group.size();
    if ((bits & ((1U << (8 * absent)) - 1)) != 0) return std::nullopt;
    for (std::size_t i = 0; i < 3 - absent; ++i) {
      out += static_cast<char>(bits >> (16 - 8 * i) & 0xFF);
    }
    text.remove_prefix(group.size());
  }
  return out;
}

}  // namespace

void append_base64(std::string& out, std::string_view bytes) {
  const std::size_t begin = out.size();
  out.resize(begin + (bytes.size() + 2) / 3 * 4, '=');
  write_digits(out.data() + begin, bytes, kAlphabet);
}

std::optional<std::string> decode_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  for (int i = 0; i < 2 && text.ends_with('='); ++i) text.remove_suffix(1);
  return decode_digits(text, kDigitOf);
}

void append_base64url(std::string& out, std::string_view bytes) {
  const std::size_t begin = out.size();
  out.resize(begin + digit_count(bytes.size()));
  write_digits(out.data() + begin, bytes, kUrlAlphabet);
}

std::optional<std::string> decode_base64url(std::string_view text) {
  return decode_digits(text, kUrlDigitOf);
}

}  // namespace tidegate
