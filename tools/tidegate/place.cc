#include "tools/tidegate/place.h"

#include <array>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "eventstore/base/text.h"

namespace tidegate {
namespace {

constexpr std::int64_t kSecondUs = 1'000'000;

struct Unit {
  std::string_view name;
  std::int64_t us;
};
// "ms" stands before "s" and "m", because the first that fits is taken.
constexpr std::array<Unit, 5> kUnits = {{{"ms", 1000},
                                         {"s", kSecondUs},
                                         {"m", 60 * kSecondUs},
                                         {"h", 3600 * kSecondUs},
                                         {"d", 86400 * kSecondUs}}};

std::optional<std::int64_t> duration_us(std::string_view text) {
  for (const Unit& unit : kUnits) {
    if (!text.ends_with(unit.name)) continue;
    const auto count = parse_u64(text.substr(0, text.size() - unit.name.size()));
    const auto most =
        static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max() / unit.us);
    if (!count || *count > most) return std::nullopt;
    return static_cast<std::int64_t>(*count) * unit.us;
  }
  return std::nullopt;
}

std::optional<std::int64_t> time_us(std::string_view text) {
  if (const auto time = parse_time(text)) return time;
  return text.size() == 10 ? parse_time(std::string(text) + "T00:00:00Z") : std::nullopt;
}

Error bad_place(std::string_view text) {
  return {Code::kBadArgument,
          fmt::format(
              "'{}' is not a place in the log; it is start, head, a sequence (1042), a position "
              "(<log id>.<sequence>.<check>), a time (2026-01-02T03:04:05Z) or how long ago (-15m)",
              text.substr(0, 80))};
}

Error contradiction(std::string message) {
  return {Code::kBadArgument, std::move(message)};
}

// What `lower` (exclusive or not) leaves must not lie wholly above `until`.
Status check_order(std::string_view option, const Place& lower, const Place& until) {
  const auto numbered = [](const Place& place) {
    return place.kind == Place::Kind::kSequence || place.kind == Place::Kind::kPosition;
  };
  const bool both_times = lower.kind == Place::Kind::kTime && until.kind == Place::Kind::kTime;
  const bool exclusive = option == "--after" || lower.kind == Place::Kind::kPosition;
  bool wrong = both_times && lower.time_us > until.time_us;
  if (numbered(lower) && numbered(until)) {
    wrong = exclusive ? lower.sequence >= until.sequence : lower.sequence > until.sequence;
  }
  if (!wrong) return {};
  return contradiction(fmt::format("{} {} is not before --until {}: there is nothing in between",
                                   option, lower.text, until.text));
}

Result<std::optional<Place>> parse_optional(std::string_view text, std::int64_t now_us) {
  if (text.empty()) return std::optional<Place>();
  Result<Place> place = parse_place(text, now_us);
  if (!place) return place.error();
  return std::optional<Place>(*std::move(place));
}

}  // namespace

Result<Place> parse_place(std::string_view text, std::int64_t now_us) {
  Place place;
  place.text = text;
  if (text == "start") {
    place.kind = Place::Kind::kStart;
  } else if (text == "head") {
    place.kind = Place::Kind::kHead;
  } else if (const auto sequence = parse_u64(text)) {
    place.kind = Place::Kind::kSequence;
    place.sequence = *sequence;
  } else if (text.starts_with('-')) {
    const auto ago = duration_us(text.substr(1));
    if (!ago || *ago > now_us) return bad_place(text);
    place.kind = Place::Kind::kTime;
    place.time_us = now_us - *ago;
  } else if (const auto time = time_us(text)) {
    place.kind = Place::Kind::kTime;
    place.time_us = *time;
  } else if (Result<Position> position = Position::parse(text)) {
    place.kind = Place::Kind::kPosition;
    place.position = *position;
    place.sequence = position->sequence;
  } else {
    return bad_place(text);
  }
  return place;
}

Result<std::int64_t> parse_duration(std::string_view text) {
  const auto duration = duration_us(text);
  if (duration) return *duration;
  return Error{
      Code::kBadArgument,
      fmt::format("'{}' is not a duration, e.g. 500ms, 5s, 2m, 1h or 1d", text.substr(0, 80))};
}

Result<Range> parse_range(std::string_view from, std::string_view after, std::string_view until,
                          std::int64_t now_us) {
  if (!from.empty() && !after.empty()) {
    return contradiction("--from and --after both say where to begin: give one of them");
  }
  Range range;
  for (const auto& [text, place] : {std::pair(from, &range.from), std::pair(after, &range.after),
                                    std::pair(until, &range.until)}) {
    Result<std::optional<Place>> parsed = parse_optional(text, now_us);
    if (!parsed) return parsed.error();
    *place = *std::move(parsed);
  }
  if (range.after && range.after->kind == Place::Kind::kStart) {
    return contradiction(
        "--after start has no meaning: --from start is the oldest event that is held");
  }
  if (range.until && range.until->kind == Place::Kind::kStart) {
    return contradiction("--until start leaves nothing to read");
  }
  if (!range.until) return range;
  if (range.from) {
    if (Status ordered = check_order("--from", *range.from, *range.until); !ordered)
      return ordered.error();
  }
  if (range.after) {
    if (Status ordered = check_order("--after", *range.after, *range.until); !ordered)
      return ordered.error();
  }
  return range;
}

Sequence first_sequence(const Range& range) {
  if (range.after && range.after->sequence > 0) return range.after->sequence + 1;
  if (range.from && range.from->kind == Place::Kind::kPosition) return range.from->sequence + 1;
  if (range.from && range.from->sequence > 0) return range.from->sequence;
  return 1;
}

}  // namespace tidegate
