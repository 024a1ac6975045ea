#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "eventstore/base/result.h"

// Strict JSON (RFC 8259), checked once and then read where it stands: a value is a view of its
// text, so that what must be kept verbatim is a substring. simdjson's DOM has no such views, and
// refuses integers beyond 64 bits, which are legal in data that is only kept; its on-demand parser
// checks only what is asked for.

namespace tidegate {

// Thread: any (pure functions; the iterators: caller serialises). All views live as long as the
// text they came from.

// How deep arrays and objects of an event's data may be nested. Readers walk data recursively, so
// this bounds their stack.
inline constexpr int kJsonDepthMax = 64;

enum class JsonKind : std::uint8_t { kObject, kArray, kString, kNumber, kTrue, kFalse, kNull };

// A value of a text that was checked.
struct JsonValue {
  JsonKind kind = JsonKind::kNull;
  std::string_view text;  // as it was written, without white space around it

  bool is(JsonKind other) const { return kind == other; }
};

// Checks that `text` is exactly one JSON value in UTF-8, whose strings are Unicode (no lone
// surrogates) and which is nested at most `depth_max` deep. Repeated names in an object are
// allowed. Otherwise an error with `code` that says what was expected at which byte.
Result<JsonValue> parse_json(std::string_view text, int depth_max, Code code);

// Walks the members of a checked object.
class JsonMembers {
 public:
  explicit JsonMembers(const JsonValue& object);

  // Goes to the next member; false after the last one.
  bool next();
  // Without escapes. Until the next call of `next`.
  std::string_view name() const { return name_; }
  const JsonValue& value() const { return value_; }

 private:
  const char* at_;
  std::string_view name_;
  std::string unescaped_;
  JsonValue value_;
};

// Walks the elements of a checked array.
class JsonElements {
 public:
  explicit JsonElements(const JsonValue& array);

  bool next();
  const JsonValue& value() const { return value_; }

 private:
  const char* at_;
  JsonValue value_;
};

// The text of a checked string, without quotes and escapes.
std::string json_string(const JsonValue& string);

// A number written as an integer that fits; neither 1.0 nor 1e3 is one.
std::optional<std::uint64_t> json_u64(const JsonValue& value);
std::optional<std::int32_t> json_i32(const JsonValue& value);

// The value of a number that is a whole one, not negative and below 2^64, however it is written:
// 17, 17.0 and 1.7e1 are equal.
std::optional<std::uint64_t> json_whole_number(const JsonValue& value);

// Whether an object has one name twice, in the value or anywhere inside of it. Escapes do not hide
// a repetition.
bool repeats_a_name(const JsonValue& value);

// Appends checked JSON without the white space outside of strings.
void append_minified_json(std::string& out, std::string_view json);

}  // namespace tidegate
