#include "gateway/api/start_place.h"

#include <limits>
#include <vector>

#include <fmt/format.h>

#include "eventstore/base/text.h"

namespace tidegate {
namespace {

// 9999-12-31T23:59:59Z, the last second that RFC 3339 can write.
constexpr std::int64_t kSecondsMax = 253'402'300'799;

std::string_view mismatch_reason(ResolvedStart::Outcome outcome) {
  switch (outcome) {
    case ResolvedStart::Outcome::kRewound:
      return "rewound";
    case ResolvedStart::Outcome::kAhead:
      return "ahead";
    default:
      return "unknown_log";
  }
}

Error with_field(Error error, std::string_view field) {
  error.details.push_back({ErrorDetail::Kind::kField, std::string(field), error.message});
  return error;
}

Result<StartPlace> to_edge(v1::Edge edge, std::string_view field) {
  if (edge == v1::EDGE_START) return StartPlace{FromStart{}};
  if (edge == v1::EDGE_HEAD) return StartPlace{FromHead{}};
  return field_error(fmt::format("{}.edge", field), "must be EDGE_START or EDGE_HEAD");
}

}  // namespace

Error field_error(std::string_view field, std::string description, Code code) {
  std::string message = fmt::format("{}: {}", field, description);
  return {code,
          std::move(message),
          {{ErrorDetail::Kind::kField, std::string(field), std::move(description)}}};
}

Result<StartPlace> to_start_place(const v1::Start& start, std::string_view field) {
  switch (start.place_case()) {
    case v1::Start::kAfter: {
      auto position = Position::parse(start.after());
      if (!position) return with_field(std::move(position).error(), fmt::format("{}.after", field));
      return StartPlace{AfterPosition{*position}};
    }
    case v1::Start::kAfterSequence:
      return StartPlace{AfterSequence{start.after_sequence()}};
    case v1::Start::kFromTime: {
      const auto time_us = to_time_us(start.from_time(), fmt::format("{}.from_time", field));
      if (!time_us) return time_us.error();
      return StartPlace{FromTime{*time_us}};
    }
    case v1::Start::kEdge:
      return to_edge(start.edge(), field);
    case v1::Start::kLast:
      if (start.last() < 1 || start.last() > kLastMax) {
        return field_error(fmt::format("{}.last", field),
                           fmt::format("must be 1-{}, is {}", kLastMax, start.last()));
      }
      return StartPlace{LastN{start.last()}};
    case v1::Start::PLACE_NOT_SET:
      break;
  }
  return field_error(field, "names no place in the log");
}

Result<ResolvedStart> require_ok(const ResolvedStart& start, const LogId& log) {
  if (start.outcome == ResolvedStart::Outcome::kOk) return start;
  const ErrorDetail floor{ErrorDetail::Kind::kFact, "floor", std::to_string(start.floor)};
  const ErrorDetail head{ErrorDetail::Kind::kFact, "head", std::to_string(start.head)};
  if (start.outcome == ResolvedStart::Outcome::kTrimmed) {
    return Error{
        Code::kTrimmed,
        fmt::format("events after {} are gone: the log begins at {}", start.after, start.floor),
        {floor, head}};
  }
  const std::string_view reason = mismatch_reason(start.outcome);
  return Error{Code::kHistoryMismatch,
               fmt::format("the place is not in the history of this log ({}); its head is {}",
                           reason, start.head),
               {{ErrorDetail::Kind::kFact, "reason", std::string(reason)},
                {ErrorDetail::Kind::kFact, "log", std::string(log.text())},
                floor,
                head}};
}

Result<Filter> to_filter(const v1::Filter& filter) {
  if (filter.streams_size() == 0 && filter.types_size() == 0) return Filter::everything();
  std::vector<std::string> streams(filter.streams().begin(), filter.streams().end());
  if (streams.empty()) streams.emplace_back(">");
  auto made = Filter::make(streams, {filter.types().begin(), filter.types().end()});
  if (!made && made.error().details.empty()) {
    return with_field(std::move(made).error(), "filter");
  }
  return made;
}

Result<std::int64_t> to_time_us(const google::protobuf::Timestamp& time, std::string_view field) {
  if (time.seconds() < 0 || time.seconds() > kSecondsMax) {
    return field_error(
        field, fmt::format("must be within the years 1970-9999, is {} seconds", time.seconds()));
  }
  if (time.nanos() < 0 || time.nanos() > 999'999'999) {
    return field_error(field, fmt::format("nanos must be 0-999999999, are {}", time.nanos()));
  }
  return time.seconds() * 1'000'000 + time.nanos() / 1000;
}

void set_time(google::protobuf::Timestamp& out, std::int64_t time_us) {
  out.set_seconds(time_us / 1'000'000);
  out.set_nanos(static_cast<std::int32_t>(time_us % 1'000'000) * 1000);
}

}  // namespace tidegate
