#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/base/result.h"
#include "projections/json_value.h"
#include "projections/pointer_finder.h"

namespace tidegate {

// What a declarative fold reads of an event:
//
//   /json/pointer      a value inside of the JSON data (RFC 6901)
//   data               the whole data: JSON, or text that is none; opaque bytes have no value
//   stream, stream[1]  the stream's name; one of its tokens, counted from 0
//   type, source, id, subject
//   time, append_time  RFC 3339 in UTC with microseconds; without a `time` attribute `time` is the
//                      append time
//   sequence, revision, bytes (the size of the event)
//   attribute.NAME     another attribute; opaque bytes in one have no value
//   'text'             itself; two single quotes stand for one
//
// and, where TOML writes them: numbers, booleans, and tables and arrays of expressions.
// Thread: immutable.
struct Expression {
  enum class Kind : std::uint8_t {
    kPointer,
    kData,
    kStream,
    kToken,
    kType,
    kSource,
    kId,
    kSubject,
    kTime,
    kAppendTime,
    kSequence,
    kRevision,
    kBytes,
    kAttribute,
    kLiteral,
    kObject,
    kArray,
  };
  static constexpr std::size_t kTextBytesMax = 1024;
  static constexpr std::size_t kPointerTokensMax = 32;
  static constexpr int kDepthMax = 8;  // of tables and arrays in each other

  Kind kind = Kind::kLiteral;
  std::string text;                  // as it was written
  std::vector<std::string> pointer;  // kPointer: its tokens without escapes
  std::size_t number = 0;            // kToken: which; kPointer, kData: see bind_pointers
  std::string attribute;             // kAttribute
  Json literal;                      // kLiteral
  std::vector<std::string> names;    // kObject: of `items`
  std::vector<Expression> items;     // kObject, kArray

  bool is_composite() const { return kind == Kind::kObject || kind == Kind::kArray; }
  bool is_time() const { return kind == Kind::kTime || kind == Kind::kAppendTime; }
};

// kBadArgument that says what can be written instead. Never a composite.
Result<Expression> parse_expression(std::string_view text);

// A piece of a key: text, and an expression behind it.
struct KeyPart {
  std::string text;
  std::optional<Expression> expression;
};

// Text with expressions in braces, "{stream[1]}-{/to}"; two braces stand for one.
Result<std::vector<KeyPart>> parse_key(std::string_view text);

// Enters the pointers of an expression into the finder and notes their numbers.
void bind_pointers(Expression& expression, PointerFinder& finder);

}  // namespace tidegate
