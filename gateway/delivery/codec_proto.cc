#include <limits>

#include <google/protobuf/io/coded_stream.h>

#include "gateway/cloudevents/proto_wire.h"
#include "gateway/delivery/codec_forms.h"

namespace tidegate::codec {
namespace {

// ClientMessage, PublishOp, CloudEvent, an attribute's entry, its value, a timestamp; the rest is
// room for later fields.
constexpr int kProtoDepthMax = 16;

constexpr std::int64_t kMicrosPerSecond = 1'000'000;

// The smallest size of a uint64 field is nothing: protobuf leaves zero out.
std::size_t number_size(std::uint64_t value) {
  return value == 0 ? 0 : varint_field_size(value);
}

void append_number(std::string& out, std::uint32_t field, std::uint64_t value) {
  if (value != 0) append_varint_field(out, field, value);
}

void append_text(std::string& out, std::uint32_t field, std::string_view text) {
  if (!text.empty()) append_bytes_field(out, field, text);
}

void fill_reply_to(const v1::ClientMessage& message, ReplyTo& reply_to) {
  switch (message.op_case()) {
    case v1::ClientMessage::kSubscribe:
      return fill_name(reply_to.id, message.subscribe().id());
    case v1::ClientMessage::kAck:
      return fill_name(reply_to.id, message.ack().id());
    case v1::ClientMessage::kUpdate:
      return fill_name(reply_to.id, message.update().id());
    case v1::ClientMessage::kUnsubscribe:
      return fill_name(reply_to.id, message.unsubscribe().id());
    case v1::ClientMessage::kPublish:
      return fill_name(reply_to.request, message.publish().request());
    case v1::ClientMessage::kQuery:
      reply_to.is_query = true;
      return fill_name(reply_to.request, message.query().request());
    case v1::ClientMessage::kWatch:
      return fill_name(reply_to.id, message.watch().id());
    case v1::ClientMessage::kUnwatch:
      return fill_name(reply_to.id, message.unwatch().id());
    default:
      return;
  }
}

}  // namespace

Result<v1::ClientMessage> decode_proto(std::string_view bytes, ReplyTo& reply_to) {
  if (bytes.size() > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
    return Error{Code::kBadMessage, "the message is too large"};
  }
  google::protobuf::io::CodedInputStream input(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                               static_cast<int>(bytes.size()));
  input.SetRecursionLimit(kProtoDepthMax);
  v1::ClientMessage message;
  if (!message.ParseFromCodedStream(&input) || !input.ConsumedEntireMessage()) {
    return Error{Code::kBadMessage, "the bytes are not a tidegate.v1.ClientMessage"};
  }
  fill_reply_to(message, reply_to);
  return message;
}

void encode_event_proto(const RecordView& record, std::string& out) {
  using Record = v1::RecordedEvent;
  const auto seconds = static_cast<std::uint64_t>(record.append_time_us / kMicrosPerSecond);
  const auto nanos = static_cast<std::uint64_t>(record.append_time_us % kMicrosPerSecond * 1000);
  const std::size_t time_size = number_size(seconds) + number_size(nanos);
  const std::size_t size = number_size(record.sequence) + bytes_field_size(record.stream.size()) +
                           number_size(record.revision) + bytes_field_size(time_size) +
                           bytes_field_size(record.event.size());

  out.reserve(out.size() + bytes_field_size(size));
  append_tag(out, v1::Events::kEventsFieldNumber, WireType::kBytes);
  append_varint(out, size);
  append_number(out, Record::kSequenceFieldNumber, record.sequence);
  append_bytes_field(out, Record::kStreamFieldNumber, record.stream);
  append_number(out, Record::kRevisionFieldNumber, record.revision);
  append_tag(out, Record::kTimeFieldNumber, WireType::kBytes);
  append_varint(out, time_size);
  append_number(out, 1, seconds);
  append_number(out, 2, nanos);
  append_bytes_field(out, Record::kEventFieldNumber, record.event);
}

Envelope envelope_proto(std::string_view id, std::string_view position, std::size_t events_bytes) {
  std::string id_field;
  append_text(id_field, v1::Events::kIdFieldNumber, id);
  std::string after;
  append_text(after, v1::Events::kPositionFieldNumber, position);
  Envelope envelope;
  append_tag(envelope.own, v1::ServerMessage::kEventsFieldNumber, WireType::kBytes);
  append_varint(envelope.own, id_field.size() + events_bytes + after.size());
  envelope.own += id_field;
  envelope.before = envelope.own.size();
  envelope.own += after;
  return envelope;
}

}  // namespace tidegate::codec
