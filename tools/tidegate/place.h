#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "eventstore/base/result.h"
#include "eventstore/types.h"

namespace tidegate {

// A place in the log as a user types it, the same everywhere: `start`, `head`, a sequence, a
// position, an RFC 3339 time (a date alone is its midnight in UTC), or how long ago: `-15m` (s, m,
// h, d). Thread: immutable.
struct Place {
  enum class Kind : std::uint8_t { kStart, kHead, kSequence, kPosition, kTime };
  Kind kind = Kind::kStart;
  Sequence sequence = 0;  // kSequence, kPosition
  Position position;
  std::int64_t time_us = 0;
  std::string text;  // as it was typed
};

// The sentence for every --help that takes a place.
inline constexpr std::string_view kPlaceHelp =
    "PLACE is one of: start, head, a sequence (1042), a position (<log id>.<sequence>.<check>), a "
    "time\n"
    "(2026-01-02T03:04:05Z, 2026-01-02), or how long ago (-15m, -2h, -1d).";

// kBadArgument with the forms that are possible. `now_us` is what `-15m` counts from.
Result<Place> parse_place(std::string_view text, std::int64_t now_us);

// "500ms", "5s", "2m", "1h", "1d"; microseconds. kBadArgument.
Result<std::int64_t> parse_duration(std::string_view text);

// Where reading begins and ends. At most one of `from` and `after` is set.
struct Range {
  std::optional<Place> from;   // inclusive, but a position is exclusive
  std::optional<Place> after;  // exclusive
  std::optional<Place> until;  // inclusive
};

// The texts of --from, --after and --until; empty: not given. kBadArgument for contradictions:
// --from with --after, an end before the beginning.
Result<Range> parse_range(std::string_view from, std::string_view after, std::string_view until,
                          std::int64_t now_us);

// The first sequence that the range can hold, as far as its text tells; 1 when a time or an end
// decides.
Sequence first_sequence(const Range& range);

}  // namespace tidegate
