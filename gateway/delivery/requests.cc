#include "gateway/delivery/requests.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "eventstore/base/text.h"
#include "gateway/cloudevents/cloud_event.h"

namespace tidegate {

namespace {

constexpr std::int64_t kMicrosPerSecond = 1'000'000;
constexpr std::int64_t kYear10000Seconds = 253'402'300'800;

Result<Filter> make_filter(const google::protobuf::RepeatedPtrField<std::string>& streams,
                           const google::protobuf::RepeatedPtrField<std::string>& types) {
  return Filter::make(std::vector<std::string>(streams.begin(), streams.end()),
                      std::vector<std::string>(types.begin(), types.end()));
}

Result<StartPlace> place_of_time(const google::protobuf::Timestamp& time) {
  if (time.seconds() < 0 || time.seconds() >= kYear10000Seconds || time.nanos() < 0 ||
      time.nanos() > 999'999'999) {
    return Error{Code::kBadArgument, fmt::format("'from' is not a time of 1970-9999: {} s, {} ns",
                                                 time.seconds(), time.nanos())};
  }
  return StartPlace(FromTime{time.seconds() * kMicrosPerSecond + time.nanos() / 1000});
}

Result<StartPlace> place_of_text(const std::string& after) {
  if (const auto sequence = parse_u64(after)) return StartPlace(AfterSequence{*sequence});
  auto position = Position::parse(after);
  if (!position) return std::move(position).error();
  return StartPlace(AfterPosition{*position});
}

Result<StartPlace> check_start(const v1::Start& start, const SessionLimits& limits) {
  switch (start.place_case()) {
    case v1::Start::kAfter:
      return place_of_text(start.after());
    case v1::Start::kAfterSequence:
      return StartPlace(AfterSequence{start.after_sequence()});
    case v1::Start::kFromTime:
      return place_of_time(start.from_time());
    case v1::Start::kEdge:
      if (start.edge() == v1::EDGE_START) return StartPlace(FromStart{});
      if (start.edge() == v1::EDGE_HEAD) return StartPlace(FromHead{});
      return Error{Code::kBadArgument,
                   fmt::format("'edge' is {}, not start or head", static_cast<int>(start.edge()))};
    case v1::Start::kLast:
      if (start.last() == 0 || start.last() > limits.last_max) {
        return Error{Code::kBadArgument,
                     fmt::format("'last' is {}, not 1 to {}", start.last(), limits.last_max)};
      }
      return StartPlace(LastN{start.last()});
    case v1::Start::PLACE_NOT_SET:
      return StartPlace(FromHead{});
  }
  return StartPlace(FromHead{});
}

Result<GapAnswer> check_on_gap(v1::OnGap on_gap) {
  switch (on_gap) {
    case v1::ON_GAP_UNSPECIFIED:
    case v1::ON_GAP_FAIL:
      return GapAnswer::kEnd;
    case v1::ON_GAP_FLOOR:
      return GapAnswer::kGoOnFromFloor;
    case v1::ON_GAP_SNAPSHOT:
      return GapAnswer::kSnapshot;
    default:
      return Error{Code::kBadArgument, fmt::format("'on_gap' is {}, not fail, floor or snapshot",
                                                   static_cast<int>(on_gap))};
  }
}

Result<RowSelection> check_selection(const v1::RowSelection& selection) {
  return RowSelection::make(
      std::vector<std::string>(selection.keys().begin(), selection.keys().end()),
      selection.prefix());
}

// Null without on_gap snapshot.
Result<std::unique_ptr<const SnapshotSource>> check_snapshot(const v1::SubscribeOp& op) {
  if (op.on_gap() != v1::ON_GAP_SNAPSHOT) {
    if (op.projection().empty() && !op.has_rows()) return std::unique_ptr<const SnapshotSource>();
    return Error{Code::kBadArgument,
                 "'projection', 'keys' and 'prefix' of a subscription go with 'on_gap' snapshot"};
  }
  if (op.projection().empty()) {
    return Error{Code::kBadArgument, "'on_gap' snapshot needs a 'projection' to take it from"};
  }
  auto selection = check_selection(op.rows());
  if (!selection) return std::move(selection).error();
  return std::unique_ptr<const SnapshotSource>(
      std::make_unique<SnapshotSource>(SnapshotSource{op.projection(), *std::move(selection)}));
}

constexpr char kPageToken = 'k';

Result<std::optional<std::string>> key_of_page_token(const std::string& token) {
  if (token.empty()) return std::optional<std::string>();
  if (token.front() == kPageToken && token.size() <= 1 + kRowKeyBytesMax) {
    return std::optional<std::string>(token.substr(1));
  }
  return Error{Code::kBadArgument, "'page_token' is not the 'next' of a page"};
}

Result<Check> check_precondition(const v1::Check& check) {
  if (Status name = check_stream_name(check.stream()); !name) return std::move(name).error();
  switch (check.expected_case()) {
    case v1::Check::kRevision:
      return Check{check.stream(), Check::Kind::kRevision, check.revision()};
    case v1::Check::kAbsent:
      if (check.absent()) return Check{check.stream(), Check::Kind::kAbsent, 0};
      break;
    case v1::Check::kPresent:
      if (check.present()) return Check{check.stream(), Check::Kind::kPresent, 0};
      break;
    case v1::Check::EXPECTED_NOT_SET:
      break;
  }
  return Error{Code::kBadArgument,
               fmt::format("the check of stream '{}' says nothing: give revision, absent: true or "
                           "present: true",
                           check.stream())};
}

}  // namespace

Status check_id(std::string_view id, std::string_view what, const SessionLimits& limits) {
  if (id.empty() || id.size() > limits.id_bytes) {
    return Error{Code::kBadArgument,
                 fmt::format("'{}' has {} bytes, not 1 to {}", what, id.size(), limits.id_bytes)};
  }
  return {};
}

Result<SubscribeRequest> check_subscribe(const v1::SubscribeOp& op, const SessionLimits& limits) {
  auto on_gap = check_on_gap(op.on_gap());
  if (!on_gap) return std::move(on_gap).error();
  auto filter = make_filter(op.streams(), op.types());
  if (!filter) return std::move(filter).error();
  auto place = check_start(op.start(), limits);
  if (!place) return std::move(place).error();
  if (!op.cursor().empty()) {
    if (Status name = check_stream_name(op.cursor()); !name) {
      return Error{Code::kBadArgument, "'cursor': " + name.error().message};
    }
  }
  auto snapshot = check_snapshot(op);
  if (!snapshot) return std::move(snapshot).error();
  if (op.window() > limits.window_max) {
    return Error{Code::kBadArgument,
                 fmt::format("'window' is {}, at most {}", op.window(), limits.window_max)};
  }
  return SubscribeRequest{{.id = op.id(),
                           .filter = *std::move(filter),
                           .window = op.window(),
                           .on_gap = *on_gap,
                           .number = 0,
                           .cursor = {op.cursor(), 0},
                           .snapshot = *std::move(snapshot)},
                          *std::move(place)};
}

Result<Filter> check_update(const v1::UpdateOp& op) {
  return make_filter(op.streams(), op.types());
}

Result<Subscription::Claim> check_ack(const v1::AckOp& op) {
  switch (op.place_case()) {
    case v1::AckOp::kSequence:
      return Subscription::Claim{op.sequence(), std::nullopt};
    case v1::AckOp::kPosition: {
      if (const auto sequence = parse_u64(op.position())) {
        return Subscription::Claim{*sequence, std::nullopt};
      }
      auto position = Position::parse(op.position());
      if (!position) return std::move(position).error();
      return Subscription::Claim{position->sequence, *position};
    }
    case v1::AckOp::PLACE_NOT_SET:
      break;
  }
  return Error{Code::kBadArgument, "'ack' names no position"};
}

Result<QueryRequest> check_query(const v1::QueryOp& op, const SessionLimits& limits) {
  auto selection = check_selection(op.selection());
  if (!selection) return std::move(selection).error();
  auto after = key_of_page_token(op.page_token());
  if (!after) return std::move(after).error();
  if (op.limit() > limits.query_rows_max) {
    return Error{Code::kBadArgument,
                 fmt::format("'limit' is {}, at most {}", op.limit(), limits.query_rows_max)};
  }
  if (op.wait_ms() > limits.query_wait_ms_max) {
    return Error{Code::kBadArgument, fmt::format("'wait_ms' is {}, at most {}", op.wait_ms(),
                                                 limits.query_wait_ms_max)};
  }
  QueryRequest request;
  request.query.projection = op.projection();
  request.query.selection = *std::move(selection);
  request.query.after = *std::move(after);
  request.query.limit = op.limit() == 0 ? limits.query_rows : op.limit();
  // No more is read than one message takes.
  request.query.bytes = limits.batch_bytes;
  request.query.wait_ms = op.wait_ms();
  request.query.min_sequence = op.min_sequence();
  if (op.has_min_position()) {
    auto position = Position::parse(op.min_position());
    if (!position) return std::move(position).error();
    request.min_position = *position;
  }
  return request;
}

std::string page_token_of(std::string_view key) {
  std::string token(1, kPageToken);
  token += key;
  return token;
}

Result<WatchRequest> check_watch(const v1::WatchOp& op) {
  auto selection = check_selection(op.selection());
  if (!selection) return std::move(selection).error();
  WatchRequest request{op.projection(), *std::move(selection), std::nullopt};
  if (op.has_after()) {
    auto position = Position::parse(op.after().position());
    if (!position) return std::move(position).error();
    request.after = WatchPlace{op.after().version(), *position};
  }
  return request;
}

Result<AppendRequest> check_publish(const v1::PublishOp& op) {
  if (static_cast<std::size_t>(op.checks_size()) > kChecksMax) {
    return Error{Code::kLimit, fmt::format("{} checks given, at most {} are allowed",
                                           op.checks_size(), kChecksMax)};
  }
  AppendRequest request;
  for (const v1::Check& check : op.checks()) {
    auto checked = check_precondition(check);
    if (!checked) return std::move(checked).error();
    request.checks.push_back(*std::move(checked));
  }
  auto event = make_new_event(op.stream(), op.event());
  if (!event) return std::move(event).error();
  request.events.push_back(*std::move(event));
  return request;
}

}  // namespace tidegate
