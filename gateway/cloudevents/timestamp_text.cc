#include "gateway/cloudevents/timestamp_text.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "eventstore/base/text.h"

namespace tidegate {
namespace {

constexpr std::int64_t kMicrosPerSecond = 1'000'000;
constexpr std::int64_t kSecondsMax = 253'402'300'799;  // 9999-12-31T23:59:59Z

// What the seventh to ninth digit of the fraction of a valid RFC 3339 time say.
std::int32_t nanos_below_micros(std::string_view text) {
  const std::size_t point = text.find('.');
  if (point == std::string_view::npos) return 0;
  const std::size_t end = std::min(text.find_first_not_of("0123456789", point + 1), text.size());
  std::int32_t nanos = 0;
  for (std::size_t i = point + 7; i < point + 10; ++i) {
    nanos = nanos * 10 + (i < end ? text[i] - '0' : 0);
  }
  return nanos;
}

}  // namespace

bool is_valid_timestamp(std::int64_t seconds, std::int32_t nanos) {
  return seconds >= 0 && seconds <= kSecondsMax && nanos >= 0 && nanos <= 999'999'999;
}

std::optional<google::protobuf::Timestamp> parse_timestamp(std::string_view text) {
  const std::optional<std::int64_t> time_us = parse_time(text);
  if (!time_us) return std::nullopt;
  google::protobuf::Timestamp time;
  time.set_seconds(*time_us / kMicrosPerSecond);
  time.set_nanos(static_cast<std::int32_t>(*time_us % kMicrosPerSecond * 1000) +
                 nanos_below_micros(text));
  // An offset can carry the last hours of 9999 into the next year.
  if (!is_valid_timestamp(time.seconds(), time.nanos())) return std::nullopt;
  return time;
}

void append_timestamp(std::string& out, std::int64_t seconds, std::int32_t nanos) {
  if (nanos % 1000 == 0) return append_time(out, seconds * kMicrosPerSecond + nanos / 1000);
  append_time(out, seconds * kMicrosPerSecond);
  out.pop_back();
  fmt::format_to(std::back_inserter(out), ".{:09}Z", nanos);
}

}  // namespace tidegate
