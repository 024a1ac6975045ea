#include "gateway/auth/strict_json.h"

#include <fmt/format.h>

namespace tidegate {
namespace {

bool is_control(std::string_view rest) {
  const auto byte = [rest](std::size_t i) {
    return i < rest.size() ? static_cast<unsigned char>(rest[i]) : 0U;
  };
  if (byte(0) < 0x20 || byte(0) == 0x7F) return true;
  if (byte(0) == 0xC2 && byte(1) < 0xA0) return true;  // U+0080 to U+009F
  if (byte(0) != 0xE2) return false;
  if (byte(1) == 0x80 && byte(2) >= 0xA8 && byte(2) <= 0xAE) return true;  // U+2028 to U+202E
  return byte(1) == 0x81 && byte(2) >= 0xA6 && byte(2) <= 0xA9;            // U+2066 to U+2069
}

}  // namespace

Result<JsonValue> parse_strict_object(std::string_view text, std::string_view what, Code code) {
  const Result<JsonValue> value = parse_json(text, kStrictJsonDepthMax, code);
  if (!value) return Error{code, fmt::format("{}: {}", what, value.error().message)};
  if (!value->is(JsonKind::kObject)) return Error{code, fmt::format("{}: not an object", what)};
  if (repeats_a_name(*value)) {
    return Error{code, fmt::format("{}: an object has one name twice", what)};
  }
  return *value;
}

bool is_printable(std::string_view text, std::size_t bytes_max) {
  if (text.empty() || text.size() > bytes_max) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (is_control(text.substr(i))) return false;
  }
  return true;
}

std::optional<std::string> printable_string(const JsonValue& value, std::size_t bytes_max) {
  if (!value.is(JsonKind::kString)) return std::nullopt;
  std::string text = json_string(value);
  if (!is_printable(text, bytes_max)) return std::nullopt;
  return text;
}

}  // namespace tidegate
