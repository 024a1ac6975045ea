#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "eventstore/base/result.h"

namespace tidegate {

// A JSON value of its own, as rows hold it. Integers have 64 bits and a sign; every other number is
// a double, and stays one through printing and parsing ("2.0"), so that a fold goes on after a
// restart as if there had been none. Objects are sorted by name: equal values have equal text.
// Thread: caller serialises (a value type).
class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::map<std::string, Json, std::less<>>;

  Json() = default;  // null
  // Not of a pointer, which would convert to bool.
  explicit Json(std::same_as<bool> auto value) : value_(value) {}
  explicit Json(std::int64_t value) : value_(value) {}
  explicit Json(double value) : value_(value) {}  // finite
  explicit Json(std::string value) : value_(std::move(value)) {}
  explicit Json(Array value) : value_(std::move(value)) {}
  explicit Json(Object value) : value_(std::move(value)) {}

  // kBadArgument with what is wrong. Of repeated names in an object the first one counts.
  static Result<Json> parse(std::string_view text);

  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  // Null when it is of another type: bool, std::int64_t, double, std::string, Array, Object.
  template <typename Type>
  const Type* as() const {
    return std::get_if<Type>(&value_);
  }
  template <typename Type>
  Type* as() {
    return std::get_if<Type>(&value_);
  }

  // Makes it this text in the memory that it has.
  void assign_text(std::string_view text);

  // Minified.
  void append_to(std::string& out) const;
  std::string text() const;
  // How many bytes `append_to` appends.
  std::size_t text_bytes() const;

  // RFC 7396: members of `patch` replace those of the same name, null removes, objects merge.
  void merge(const Json& patch);

  friend bool operator==(const Json& left, const Json& right);

 private:
  std::variant<std::monostate, bool, std::int64_t, double, std::string, Array, Object> value_;
};

// Appends a double in the shortest form that reads back as the same double, and as no integer.
void append_json_double(std::string& out, double value);

}  // namespace tidegate
