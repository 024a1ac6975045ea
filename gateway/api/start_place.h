#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "eventstore/base/result.h"
#include "eventstore/filter.h"
#include "eventstore/reader.h"
#include "tidegate/v1/event.pb.h"

namespace tidegate {

// The vocabulary of requests, mapped to the store's. `field` is the path that an error names
// ("start", "to"). Thread: any (pure functions of this file).

// Largest `last` of a Start.
inline constexpr std::uint32_t kLastMax = 10'000;

// kBadArgument when no place or more than the field allows is given, kBadPosition for a position
// that is none.
Result<StartPlace> to_start_place(const v1::Start& start, std::string_view field);

// What a resolved place means to a caller who cannot go on elsewhere: kTrimmed with the floor,
// kHistoryMismatch with `reason` (rewound, ahead, unknown_log), floor, head and log, or the place.
Result<ResolvedStart> require_ok(const ResolvedStart& start, const LogId& log);

// No streams: every stream. kBadPattern, kBadArgument with the field "filter".
Result<Filter> to_filter(const v1::Filter& filter);

// Microseconds since 1970, from a timestamp within the years 1970-9999; kBadArgument otherwise.
Result<std::int64_t> to_time_us(const google::protobuf::Timestamp& time, std::string_view field);
void set_time(google::protobuf::Timestamp& out, std::int64_t time_us);

// kBadArgument (or another code) for one field.
Error field_error(std::string_view field, std::string description, Code code = Code::kBadArgument);

}  // namespace tidegate
