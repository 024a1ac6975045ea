#include "gateway/cloudevents/json_text.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <simdjson.h>
#include <vector>

#include <fmt/format.h>

#include "eventstore/base/text.h"

namespace tidegate {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Four hex digits at `p`, or -1.
int hex4(const char* p, const char* end) {
  if (end - p < 4) return -1;
  int value = 0;
  for (int i = 0; i < 4; ++i) {
    const int digit = hex_digit(p[i]);
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

bool is_high_surrogate(int unit) {
  return unit >= 0xD800 && unit <= 0xDBFF;
}
bool is_low_surrogate(int unit) {
  return unit >= 0xDC00 && unit <= 0xDFFF;
}

JsonKind kind_of(char first) {
  switch (first) {
    case '{':
      return JsonKind::kObject;
    case '[':
      return JsonKind::kArray;
    case '"':
      return JsonKind::kString;
    case 't':
      return JsonKind::kTrue;
    case 'f':
      return JsonKind::kFalse;
    case 'n':
      return JsonKind::kNull;
    default:
      return JsonKind::kNumber;
  }
}

// Checks the grammar. Each function begins at `p_` and leaves it behind what it read, or sets
// `expected_` and returns false with `p_` at the offending byte. The recursion is bounded by
// `depth_max`.
class Grammar {
 public:
  Grammar(std::string_view text, int depth_max)
      : p_(text.data()), end_(text.data() + text.size()), depth_left_(depth_max) {}

  // One value with white space around it. The value itself is put into `out`.
  bool whole(JsonValue& out) {
    skip_space();
    const char* const begin = p_;
    if (!value()) return false;
    out = {kind_of(*begin), {begin, static_cast<std::size_t>(p_ - begin)}};
    skip_space();
    return p_ == end_ || fail("the end after the value");
  }

  const char* at() const { return p_; }
  const char* expected() const { return expected_; }

 private:
  bool fail(const char* expected) {
    expected_ = expected;
    return false;
  }

  void skip_space() {
    while (p_ != end_ && is_space(*p_)) ++p_;
  }

  bool take(char c) {
    if (p_ == end_ || *p_ != c) return false;
    ++p_;
    return true;
  }

  bool value() {
    if (p_ == end_) return fail("a value");
    switch (*p_) {
      case '{':
        return nested([this] { return object(); });
      case '[':
        return nested([this] { return array(); });
      case '"':
        return string();
      case 't':
        return literal("true");
      case 'f':
        return literal("false");
      case 'n':
        return literal("null");
      default:
        return number();
    }
  }

  template <typename Inner>
  bool nested(Inner inner) {
    if (depth_left_ == 0) return fail("less deeply nested arrays and objects");
    --depth_left_;
    ++p_;
    skip_space();
    const bool good = inner();
    ++depth_left_;
    return good;
  }

  bool object() {
    if (take('}')) return true;
    while (true) {
      if (p_ == end_ || *p_ != '"') return fail("a name in quotes");
      if (!string()) return false;
      skip_space();
      if (!take(':')) return fail("':'");
      skip_space();
      if (!value()) return false;
      skip_space();
      if (take('}')) return true;
      if (!take(',')) return fail("',' or '}'");
      skip_space();
    }
  }

  bool array() {
    if (take(']')) return true;
    while (true) {
      if (!value()) return false;
      skip_space();
      if (take(']')) return true;
      if (!take(',')) return fail("',' or ']'");
      skip_space();
    }
  }

  bool string() {
    ++p_;
    while (true) {
      p_ += plain_json_run({p_, static_cast<std::size_t>(end_ - p_)});
      if (p_ == end_) return fail("the closing quote of a string");
      if (take('"')) return true;
      if (take('\x7f')) continue;  // a control character that JSON allows
      if (*p_ != '\\') return fail("an escape in place of a control character");
      if (!escape()) return false;
    }
  }

  bool escape() {
    if (end_ - p_ < 2) return fail("an escape");
    if (p_[1] != 'u') {
      if (std::strchr("\"\\/bfnrt", p_[1]) == nullptr || p_[1] == '\0') return fail("an escape");
      p_ += 2;
      return true;
    }
    const int unit = hex4(p_ + 2, end_);
    if (unit < 0) return fail("four hex digits after \\u");
    if (is_low_surrogate(unit)) return fail("a high surrogate before a low one");
    if (is_high_surrogate(unit)) {
      const bool pair =
          end_ - p_ >= 12 && p_[6] == '\\' && p_[7] == 'u' && is_low_surrogate(hex4(p_ + 8, end_));
      if (!pair) return fail("a low surrogate after the high one");
      p_ += 6;
    }
    p_ += 6;
    return true;
  }

  bool literal(std::string_view word) {
    if (!std::string_view(p_, static_cast<std::size_t>(end_ - p_)).starts_with(word)) {
      return fail("a value");
    }
    p_ += word.size();
    return true;
  }

  bool digits(const char* expected) {
    if (p_ == end_ || !is_digit(*p_)) return fail(expected);
    while (p_ != end_ && is_digit(*p_)) ++p_;
    return true;
  }

  bool number() {
    const bool negative = take('-');
    if (!take('0') && !digits(negative ? "a digit after '-'" : "a value")) return false;
    if (take('.') && !digits("a digit after '.'")) return false;
    if (p_ != end_ && (*p_ == 'e' || *p_ == 'E')) {
      ++p_;
      if (!take('+')) take('-');
      if (!digits("a digit of the exponent")) return false;
    }
    return true;
  }

  const char* p_;
  const char* const end_;
  int depth_left_;
  const char* expected_ = "";
};

// The functions below walk text that Grammar has accepted, so that they need no bounds: every
// string is closed, every bracket has its partner, and a scalar inside of an array or object has
// one of ",]}" or a space behind it.

const char* skip_spaces(const char* p) {
  while (is_space(*p)) ++p;
  return p;
}

const char* skip_string(const char* p) {
  for (++p; *p != '"'; ++p) {
    if (*p == '\\') ++p;
  }
  return p + 1;
}

const char* skip_nested(const char* p) {
  int depth = 0;
  do {
    if (*p == '"') {
      p = skip_string(p);
      continue;
    }
    if (*p == '{' || *p == '[') ++depth;
    if (*p == '}' || *p == ']') --depth;
    ++p;
  } while (depth > 0);
  return p;
}

JsonValue value_at(const char* p) {
  const char* end = p;
  const JsonKind kind = kind_of(*p);
  switch (kind) {
    case JsonKind::kObject:
    case JsonKind::kArray:
      end = skip_nested(p);
      break;
    case JsonKind::kString:
      end = skip_string(p);
      break;
    default:
      while (!is_space(*end) && *end != ',' && *end != ']' && *end != '}') ++end;
  }
  return {kind, {p, static_cast<std::size_t>(end - p)}};
}

const char* end_of(const JsonValue& value) {
  return value.text.data() + value.text.size();
}

void append_code_point(std::string& out, std::uint32_t c) {
  const auto put = [&out](std::uint32_t byte) { out += static_cast<char>(byte); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

// `p` is behind the backslash; returns the place behind the escape.
const char* append_escape(std::string& out, const char* p, const char* end) {
  switch (*p) {
    case 'b':
      out += '\b';
      return p + 1;
    case 'f':
      out += '\f';
      return p + 1;
    case 'n':
      out += '\n';
      return p + 1;
    case 'r':
      out += '\r';
      return p + 1;
    case 't':
      out += '\t';
      return p + 1;
    case 'u':
      break;
    default:
      out += *p;
      return p + 1;
  }
  const auto unit = static_cast<std::uint32_t>(hex4(p + 1, end));
  if (!is_high_surrogate(static_cast<int>(unit))) {
    append_code_point(out, unit);
    return p + 5;
  }
  const auto low = static_cast<std::uint32_t>(hex4(p + 7, end));
  append_code_point(out, 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00));
  return p + 11;
}

// `inside`: the string without its quotes.
void append_unescaped(std::string& out, std::string_view inside) {
  while (true) {
    const std::size_t backslash = inside.find('\\');
    out.append(inside.substr(0, backslash));
    if (backslash == std::string_view::npos) return;
    const char* const end = inside.data() + inside.size();
    const char* const rest = append_escape(out, inside.data() + backslash + 1, end);
    inside = {rest, static_cast<std::size_t>(end - rest)};
  }
}

std::string_view inside_quotes(std::string_view text) {
  return text.substr(1, text.size() - 2);
}

}  // namespace

Result<JsonValue> parse_json(std::string_view text, int depth_max, Code code) {
  Grammar grammar(text, depth_max);
  JsonValue value;
  if (!grammar.whole(value)) {
    return Error{code, fmt::format("not valid JSON: expected {} at byte {}", grammar.expected(),
                                   grammar.at() - text.data())};
  }
  if (!simdjson::validate_utf8(text.data(), text.size())) {
    return Error{code, "not valid JSON: the text is not UTF-8"};
  }
  return value;
}

JsonMembers::JsonMembers(const JsonValue& object) : at_(object.text.data() + 1) {}

bool JsonMembers::next() {
  at_ = skip_spaces(at_);
  if (*at_ == ',') at_ = skip_spaces(at_ + 1);
  if (*at_ == '}') return false;
  const JsonValue quoted = value_at(at_);
  name_ = inside_quotes(quoted.text);
  if (name_.find('\\') != std::string_view::npos) {
    unescaped_.clear();
    append_unescaped(unescaped_, name_);
    name_ = unescaped_;
  }
  value_ = value_at(skip_spaces(skip_spaces(end_of(quoted)) + 1));
  at_ = end_of(value_);
  return true;
}

JsonElements::JsonElements(const JsonValue& array) : at_(array.text.data() + 1) {}

bool JsonElements::next() {
  at_ = skip_spaces(at_);
  if (*at_ == ',') at_ = skip_spaces(at_ + 1);
  if (*at_ == ']') return false;
  value_ = value_at(at_);
  at_ = end_of(value_);
  return true;
}

std::string json_string(const JsonValue& string) {
  std::string out;
  append_unescaped(out, inside_quotes(string.text));
  return out;
}

std::optional<std::uint64_t> json_u64(const JsonValue& value) {
  if (!value.is(JsonKind::kNumber)) return std::nullopt;
  return parse_u64(value.text);
}

std::optional<std::int32_t> json_i32(const JsonValue& value) {
  if (!value.is(JsonKind::kNumber)) return std::nullopt;
  std::int32_t number = 0;
  const char* const end = end_of(value);
  const auto [stop, error] = std::from_chars(value.text.data(), end, number);
  if (error != std::errc() || stop != end) return std::nullopt;
  return number;
}

std::optional<std::uint64_t> json_whole_number(const JsonValue& value) {
  if (!value.is(JsonKind::kNumber)) return std::nullopt;
  const std::string_view text = value.text;
  if (text.front() == '-') return std::nullopt;
  const std::size_t e = std::min(text.find_first_of("eE"), text.size());
  const std::size_t point = std::min(text.find('.'), e);
  std::string digits(text.substr(0, point));
  if (point < e) digits += text.substr(point + 1, e - point - 1);
  const bool is_zero = digits.find_first_not_of('0') == std::string::npos;
  if (is_zero) return 0;
  std::int64_t exponent = 0;
  if (e < text.size()) {
    const std::size_t sign = text[e + 1] == '+' ? 1 : 0;
    const char* const from = text.data() + e + 1 + sign;
    if (std::from_chars(from, end_of(value), exponent).ec != std::errc()) return std::nullopt;
  }
  // Beyond this the value is not whole or too large, and the sums below could overflow.
  constexpr std::int64_t kExponentMax = 1'000'000;
  if (exponent < -kExponentMax || exponent > kExponentMax) return std::nullopt;
  // The value is `digits` with the point behind the first `whole` of them.
  std::int64_t whole = static_cast<std::int64_t>(point) + exponent;
  const std::size_t zeros = digits.find_first_not_of('0');
  digits.erase(0, zeros);
  whole -= static_cast<std::int64_t>(zeros);
  digits.erase(digits.find_last_not_of('0') + 1);
  constexpr std::int64_t kDigitsMax = 20;  // of 2^64
  if (whole < static_cast<std::int64_t>(digits.size()) || whole > kDigitsMax) return std::nullopt;
  digits.resize(static_cast<std::size_t>(whole), '0');
  return parse_u64(digits);
}

bool repeats_a_name(const JsonValue& value) {
  if (value.is(JsonKind::kArray)) {
    for (JsonElements elements(value); elements.next();) {
      if (repeats_a_name(elements.value())) return true;
    }
  }
  if (!value.is(JsonKind::kObject)) return false;
  std::vector<std::string> names;
  for (JsonMembers members(value); members.next();) {
    names.emplace_back(members.name());
    if (repeats_a_name(members.value())) return true;
  }
  std::sort(names.begin(), names.end());
  return std::adjacent_find(names.begin(), names.end()) != names.end();
}

void append_minified_json(std::string& out, std::string_view json) {
  bool is_in_string = false;
  std::size_t from = 0;  // what is not yet appended
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (c == '"') {
      is_in_string = !is_in_string;
    } else if (is_in_string) {
      if (c == '\\') ++i;
    } else if (is_space(c)) {
      out.append(json.substr(from, i - from));
      from = i + 1;
    }
  }
  out.append(json.substr(from));
}

}  // namespace tidegate
