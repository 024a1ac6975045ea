#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <google/protobuf/timestamp.pb.h>

namespace tidegate {

// Times of events keep their nanoseconds, which eventstore/base/text.h has no need of.
// Thread: any (pure functions).

// Years 1970 to 9999, the range that RFC 3339 and every reader can show.
bool is_valid_timestamp(std::int64_t seconds, std::int32_t nanos);

// Strict RFC 3339 with any offset and up to nine digits of fraction; years 1970-9999.
std::optional<google::protobuf::Timestamp> parse_timestamp(std::string_view text);

// Appends RFC 3339 in UTC with as many groups of three digits of fraction as are needed. The
// timestamp must be valid.
void append_timestamp(std::string& out, std::int64_t seconds, std::int32_t nanos);

}  // namespace tidegate
