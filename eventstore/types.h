#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "eventstore/base/result.h"

namespace tidegate {

// Thread: immutable (value types of this file).

// Place in the whole log: first is 1, gapless, strictly increasing. 0 is "before the first event".
using Sequence = std::uint64_t;

// Place in one stream: first is 1, gapless. 0 is "the stream has no event".
using Revision = std::uint64_t;

// Running hash over the log (record.h). Makes two histories with equal numbers distinguishable.
using Chain = std::uint64_t;

// Random identity of one history of the log: 16 characters of base32 (a-z2-7), 80 bits.
class LogId {
 public:
  static constexpr std::size_t kLength = 16;

  LogId() { text_.fill('a'); }
  static LogId random();
  // kBadPosition when it is not 16 characters of base32.
  static Result<LogId> parse(std::string_view text);

  std::string_view text() const { return {text_.data(), text_.size()}; }
  friend bool operator==(const LogId&, const LogId&) = default;
  friend auto operator<=>(const LogId&, const LogId&) = default;

 private:
  std::array<char, kLength> text_;
};

// "After this event of this history": `<log id>.<sequence>.<check>`, where `check` is 8 hex digits,
// the upper half of the chain at the sequence. Exclusive everywhere.
struct Position {
  LogId log;
  Sequence sequence = 0;
  std::uint32_t check = 0;

  static Position at(const LogId& log, Sequence sequence, Chain chain) {
    return {log, sequence, static_cast<std::uint32_t>(chain >> 32)};
  }
  // kBadPosition with the offending text (cut to 64 bytes).
  static Result<Position> parse(std::string_view text);
  std::string text() const;
  void append_to(std::string& out) const;
  friend bool operator==(const Position&, const Position&) = default;
};

// A durable end of the log.
struct Head {
  Sequence sequence = 0;
  Chain chain = 0;
};

}  // namespace tidegate
