#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/base/result.h"

namespace tidegate {

// Thread: immutable (value types and pure functions of this file).

// Grammar of a stream name: that of a NATS subject. 1-16 tokens of [A-Za-z0-9_-] joined by '.', at
// most 255 bytes.
inline constexpr std::size_t kStreamNameBytesMax = 255;
inline constexpr std::size_t kTokensMax = 16;
inline constexpr std::size_t kPatternsMax = 32;
inline constexpr std::size_t kTypesMax = 32;
inline constexpr std::size_t kTypeBytesMax = 256;

// kBadArgument with what is wrong, or ok.
Status check_stream_name(std::string_view name);

// As above, and names beginning with '_' or '$' are refused: they are reserved.
Status check_publishable_name(std::string_view name);

// Cuts the first token off a name or pattern.
std::string_view next_token(std::string_view& rest);

// A stream pattern: an exact name, `*` for exactly one token, `>` for one or more trailing tokens.
// A wildcard as first token does not match reserved names.
class Pattern {
 public:
  // kBadPattern with the offending text.
  static Result<Pattern> parse(std::string_view text);

  bool matches(std::string_view stream) const;
  bool is_exact() const { return exact_; }
  const std::string& text() const { return text_; }
  friend bool operator==(const Pattern&, const Pattern&) = default;

 private:
  Pattern(std::string text, bool exact) : text_(std::move(text)), exact_(exact) {}
  std::string text_;
  bool exact_;
};

// Whether every stream name that `requested` matches is matched by one of `granted`: inclusion of
// languages, so `orders.>` is not within `orders.*`, and `a.>` is within {`a.*`, `a.*.>`}.
bool is_within(const Pattern& requested, std::span<const Pattern> granted);

// Stream patterns AND event types. An empty list of types means every type.
class Filter {
 public:
  // Validates everything: 1-32 patterns, 0-32 types of 1-256 bytes. Repeated ones are dropped.
  static Result<Filter> make(const std::vector<std::string>& streams,
                             const std::vector<std::string>& types);
  // Every stream but the reserved ones, every type.
  static Filter everything();

  bool matches(std::string_view stream, std::string_view type) const {
    return matches_type(type) && matches_stream(stream);
  }
  bool matches_stream(std::string_view stream) const;
  bool matches_type(std::string_view type) const;

  const std::vector<Pattern>& patterns() const { return patterns_; }
  const std::vector<std::string>& types() const { return types_; }

 private:
  std::vector<Pattern> patterns_;
  std::vector<std::string> types_;
};

}  // namespace tidegate
