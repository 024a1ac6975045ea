#include "gateway/delivery/codec.h"

#include <utility>

#include <fmt/format.h>

#include "eventstore/base/text.h"
#include "gateway/cloudevents/timestamp_text.h"
#include "gateway/delivery/codec_forms.h"

namespace tidegate {
namespace codec {

Error bad_field(Code code, std::string_view field, std::string_view what) {
  return {code,
          fmt::format("{}: {}", field, what),
          {{ErrorDetail::Kind::kField, std::string(field), std::string(what)}}};
}

void fill_name(std::string& out, std::string_view name) {
  if (name.size() <= kNameBytesMax) out = name;
}

}  // namespace codec

namespace {

using codec::bad_field;

Status check_name(std::string_view field, const std::string& name) {
  if (!name.empty() && name.size() <= codec::kNameBytesMax) return {};
  return bad_field(Code::kBadMessage, field,
                   fmt::format("must have 1 to {} bytes", codec::kNameBytesMax));
}

// A sequence in quotes is refused: taken as a position it would be one without a history check by
// mistake.
Status check_position_text(std::string_view field, const std::string& position) {
  if (!parse_u64(position)) return {};
  return bad_field(Code::kBadPosition, field,
                   fmt::format("\"{}\" is no position; give a sequence as a number", position));
}

Status check_start(const v1::Start& start) {
  switch (start.place_case()) {
    case v1::Start::kAfter:
      return check_position_text("after", start.after());
    case v1::Start::kFromTime:
      if (is_valid_timestamp(start.from_time().seconds(), start.from_time().nanos())) return {};
      return bad_field(Code::kBadPosition, "from", "is not a time of the years 1970 to 9999");
    case v1::Start::kEdge:
      if (start.edge() == v1::EDGE_START || start.edge() == v1::EDGE_HEAD) return {};
      return bad_field(Code::kBadMessage, "from", "is neither end of the log");
    default:
      return {};
  }
}

Status check_subscribe(const v1::SubscribeOp& op) {
  if (Status id = check_name("id", op.id()); !id) return id;
  if (!v1::OnGap_IsValid(op.on_gap())) {
    return bad_field(Code::kBadMessage, "on_gap", "must be fail, floor or snapshot");
  }
  return check_start(op.start());
}

Status check_ack(const v1::AckOp& op) {
  if (Status id = check_name("id", op.id()); !id) return id;
  if (op.place_case() == v1::AckOp::PLACE_NOT_SET) {
    return bad_field(Code::kBadMessage, "position", "is missing");
  }
  if (op.has_position()) return check_position_text("position", op.position());
  return {};
}

Status check_publish(const v1::PublishOp& op) {
  if (Status request = check_name("request", op.request()); !request) return request;
  if (op.stream().empty()) return bad_field(Code::kBadMessage, "stream", "is missing");
  if (!op.has_event()) return bad_field(Code::kBadMessage, "event", "is missing");
  for (const v1::Check& check : op.checks()) {
    if (check.stream().empty()) {
      return bad_field(Code::kBadMessage, "checks", "one of them has no stream");
    }
    const bool is_statement = check.has_revision() || (check.has_absent() && check.absent()) ||
                              (check.has_present() && check.present());
    if (!is_statement) {
      return bad_field(Code::kBadMessage, "checks",
                       "each needs exactly one of revision, absent: true, present: true");
    }
  }
  return {};
}

Status check_given_projection(const std::string& projection) {
  if (!projection.empty()) return {};
  return bad_field(Code::kBadMessage, "projection", "is missing");
}

Status check_query_fields(const v1::QueryOp& op) {
  if (Status request = check_name("request", op.request()); !request) return request;
  if (Status projection = check_given_projection(op.projection()); !projection) return projection;
  return op.has_min_position() ? check_position_text("min_position", op.min_position()) : Status();
}

Status check_watch_fields(const v1::WatchOp& op) {
  if (Status id = check_name("id", op.id()); !id) return id;
  if (Status projection = check_given_projection(op.projection()); !projection) return projection;
  if (!op.has_after()) return {};
  if (op.after().position().empty()) {
    return bad_field(Code::kBadMessage, "after",
                     "is missing: a version says nothing without the position told with it");
  }
  if (op.after().version() == 0) {
    return bad_field(Code::kBadMessage, "version",
                     "is missing: a watch goes on after a position and the version told with it");
  }
  return check_position_text("after", op.after().position());
}

// What both wire forms can get wrong. Patterns, positions and events are judged where they are
// used.
Status check_client_message(const v1::ClientMessage& message) {
  switch (message.op_case()) {
    case v1::ClientMessage::kSubscribe:
      return check_subscribe(message.subscribe());
    case v1::ClientMessage::kAck:
      return check_ack(message.ack());
    case v1::ClientMessage::kUpdate:
      return check_name("id", message.update().id());
    case v1::ClientMessage::kUnsubscribe:
      return check_name("id", message.unsubscribe().id());
    case v1::ClientMessage::kPublish:
      return check_publish(message.publish());
    case v1::ClientMessage::kRefresh:
      if (!message.refresh().token().empty()) return {};
      return bad_field(Code::kBadMessage, "token", "is missing");
    case v1::ClientMessage::kQuery:
      return check_query_fields(message.query());
    case v1::ClientMessage::kWatch:
      return check_watch_fields(message.watch());
    case v1::ClientMessage::kUnwatch:
      return check_name("id", message.unwatch().id());
    case v1::ClientMessage::kPing:
    case v1::ClientMessage::kPong:
      return {};
    case v1::ClientMessage::OP_NOT_SET:
      break;
  }
  return Error{Code::kUnknownOp, "the message has no op of this version"};
}

}  // namespace

Result<v1::ClientMessage> decode_client_message(WireForm form, std::string_view bytes,
                                                ReplyTo& reply_to) {
  Result<v1::ClientMessage> message = form == WireForm::kJson
                                          ? codec::decode_json(bytes, reply_to)
                                          : codec::decode_proto(bytes, reply_to);
  if (!message) return message;
  if (Status good = check_client_message(*message); !good) return good.error();
  return message;
}

std::string encode_server_message(WireForm form, const v1::ServerMessage& message) {
  TG_CHECK(message.op_case() != v1::ServerMessage::OP_NOT_SET);
  TG_CHECK(message.events().events().empty(), "EventsMessage carries events");
  return form == WireForm::kJson ? codec::encode_json(message) : message.SerializeAsString();
}

void encode_event(WireForm form, const RecordView& record, std::string& out) {
  if (form == WireForm::kJson) {
    codec::encode_event_json(record, out);
  } else {
    codec::encode_event_proto(record, out);
  }
}

EventsMessage::EventsMessage(WireForm form, std::string_view subscription_id)
    : form_(form), id_(subscription_id) {}

void EventsMessage::add(std::string_view event, const SegmentRef& pin) {
  // Every event of the JSON form begins with the comma that separates it from the one before.
  if (form_ == WireForm::kJson && events_ == 0) event.remove_prefix(1);
  ++events_;
  bytes_ += event.size();
  auto& runs = message_.runs;
  if (message_.pins.empty() || message_.pins.back() != pin) {
    message_.pins.push_back(pin);
  } else if (std::string_view& run = runs.back(); run.data() + run.size() == event.data()) {
    run = {run.data(), run.size() + event.size()};
    return;
  }
  runs.push_back(event);
}

OutgoingMessage EventsMessage::finish(std::string_view position) && {
  auto [own, before] = form_ == WireForm::kJson ? codec::envelope_json(id_, position)
                                                : codec::envelope_proto(id_, position, bytes_);
  message_.own = std::move(own);
  message_.before = before;
  message_.bytes = message_.own.size() + bytes_;
  return std::move(message_);
}

}  // namespace tidegate
