#include <iterator>

#include <fmt/format.h>

#include "eventstore/base/text.h"
#include "gateway/cloudevents/cloud_event.h"
#include "gateway/cloudevents/timestamp_text.h"
#include "gateway/delivery/codec_forms.h"

// Server messages as JSON. When you add a message or a field, also add it to docs/protocol.md and
// to the golden texts of tests/delivery/codec_json_test.cc.

namespace tidegate::codec {
namespace {

void append_number(std::string& out, std::uint64_t value) {
  const fmt::format_int digits(value);
  out.append(digits.data(), digits.size());
}

// Writes one object, member by member.
class ObjectWriter {
 public:
  explicit ObjectWriter(std::string_view op) { text("op", op); }

  ObjectWriter& text(std::string_view name, std::string_view value) {
    append_name(name);
    append_json_string(out_, value);
    return *this;
  }
  ObjectWriter& number(std::string_view name, std::uint64_t value) {
    append_name(name);
    append_number(out_, value);
    return *this;
  }
  ObjectWriter& boolean(std::string_view name, bool value) {
    append_name(name);
    out_ += value ? "true" : "false";
    return *this;
  }
  // Text that is JSON already.
  ObjectWriter& json(std::string_view name, std::string_view value) {
    append_name(name);
    out_ += value;
    return *this;
  }
  // Until `close`, members go into an object inside.
  ObjectWriter& open(std::string_view name) {
    append_name(name);
    out_ += '{';
    return *this;
  }
  ObjectWriter& close() {
    out_ += '}';
    return *this;
  }
  std::string done() {
    out_ += '}';
    return std::move(out_);
  }

 private:
  void append_name(std::string_view name) {
    if (out_.back() != '{') out_ += ',';
    out_ += '"';
    out_ += name;
    out_ += "\":";
  }

  std::string out_ = "{";
};

using ProjectionRows = google::protobuf::RepeatedPtrField<v1::ProjectionRow>;

std::string rows_text(const ProjectionRows& rows) {
  std::size_t size = 2;
  // 64: the names and the number around a row.
  for (const v1::ProjectionRow& row : rows) size += row.key().size() + row.document().size() + 64;
  std::string out;
  out.reserve(size);
  out += '[';
  for (const v1::ProjectionRow& row : rows) {
    if (out.size() > 1) out += ',';
    out += R"({"key":)";
    append_json_string(out, row.key());
    if (row.document().empty()) {
      out += R"(,"removed":true)";
    } else {
      out += R"(,"value":)";
      out += row.document();
    }
    out += R"(,"sequence":)";
    append_number(out, row.sequence());
    out += '}';
  }
  out += ']';
  return out;
}

std::string encode(const v1::QueryResult& op) {
  ObjectWriter object("query_result");
  object.text("request", op.request())
      .json("rows", rows_text(op.rows()))
      .text("position", op.position())
      .number("version", op.version());
  if (!op.next().empty()) object.text("next", op.next());
  return object.done();
}

std::string encode(const v1::Rows& op) {
  return ObjectWriter("rows").text("id", op.id()).json("rows", rows_text(op.rows())).done();
}

// `snapshot_end` and `watch_position`.
template <typename Op>
std::string encode_version_place(std::string_view name, const Op& op) {
  return ObjectWriter(name)
      .text("id", op.id())
      .text("position", op.position())
      .number("version", op.version())
      .done();
}

// `unsubscribed` and `unwatched`.
template <typename Op>
std::string encode_ended(std::string_view name, const Op& op) {
  return ObjectWriter(name).text("id", op.id()).text("reason", op.reason()).done();
}

std::string_view word_of(v1::GapReason reason) {
  return reason == v1::GAP_REASON_DATA_LOSS ? "data_loss" : "trimmed";
}

std::string_view word_of(v1::ResetReason reason) {
  switch (reason) {
    case v1::RESET_REASON_AHEAD:
      return "ahead";
    case v1::RESET_REASON_UNKNOWN_LOG:
      return "unknown_log";
    default:
      return "rewound";
  }
}

std::string encode(const v1::Welcome& op) {
  const v1::Limits& limits = op.limits();
  return ObjectWriter("welcome")
      .text("connection", op.connection())
      .text("log", op.log())
      .number("head", op.head())
      .number("floor", op.floor())
      .number("heartbeat_ms", op.heartbeat_ms())
      .open("limits")
      .number("event_bytes", limits.event_bytes())
      .number("message_bytes", limits.message_bytes())
      .number("subscriptions", limits.subscriptions())
      .number("patterns", limits.patterns())
      .number("types", limits.types())
      .number("window", limits.window())
      .number("messages_per_second", limits.messages_per_second())
      .close()
      .text("server", op.server())
      .done();
}

std::string encode(const v1::Subscribed& op) {
  return ObjectWriter("subscribed")
      .text("id", op.id())
      .text("position", op.position())
      .number("head", op.head())
      .number("behind", op.behind())
      .boolean("resumed", op.resumed())
      .done();
}

std::string encode(const v1::Gap& op) {
  return ObjectWriter("gap")
      .text("id", op.id())
      .text("requested", op.requested())
      .number("floor", op.floor())
      .text("reason", word_of(op.reason()))
      .done();
}

std::string encode(const v1::Reset& op) {
  return ObjectWriter("reset")
      .text("id", op.id())
      .text("reason", word_of(op.reason()))
      .text("log", op.log())
      .number("floor", op.floor())
      .number("head", op.head())
      .done();
}

std::string encode(const v1::Published& op) {
  return ObjectWriter("published")
      .text("request", op.request())
      .text("position", op.position())
      .number("revision", op.revision())
      .boolean("deduplicated", op.deduplicated())
      .done();
}

std::string timestamp_text(const google::protobuf::Timestamp& time) {
  std::string text;
  if (is_valid_timestamp(time.seconds(), time.nanos())) {
    append_timestamp(text, time.seconds(), time.nanos());
  }
  return text;
}

std::string encode(const v1::TokenExpiring& op) {
  return ObjectWriter("token_expiring").text("expires", timestamp_text(op.expires())).done();
}

std::string encode(const v1::Refreshed& op) {
  return ObjectWriter("refreshed").text("expires", timestamp_text(op.expires())).done();
}

std::string encode(const v1::ErrorReply& op) {
  ObjectWriter object("error");
  if (!op.id().empty()) object.text("id", op.id());
  if (!op.request().empty()) object.text("request", op.request());
  object.text("code", op.code()).text("message", op.message()).boolean("retryable", op.retryable());
  if (op.retry_after_ms() != 0) object.number("retry_after_ms", op.retry_after_ms());
  return object.done();
}

std::string encode(const v1::Closing& op) {
  return ObjectWriter("closing")
      .text("reason", op.reason())
      .number("reconnect_after_ms", op.reconnect_after_ms())
      .done();
}

// The messages that have only these two fields.
template <typename Op>
std::string encode_place(std::string_view name, const Op& op) {
  return ObjectWriter(name).text("id", op.id()).text("position", op.position()).done();
}

}  // namespace

std::string encode_json(const v1::ServerMessage& message) {
  switch (message.op_case()) {
    case v1::ServerMessage::kWelcome:
      return encode(message.welcome());
    case v1::ServerMessage::kSubscribed:
      return encode(message.subscribed());
    case v1::ServerMessage::kEvents: {
      return envelope_json(message.events().id(), message.events().position()).own;
    }
    case v1::ServerMessage::kPosition:
      return encode_place("position", message.position());
    case v1::ServerMessage::kCaughtUp:
      return encode_place("caught_up", message.caught_up());
    case v1::ServerMessage::kFellBehind:
      return encode_place("fell_behind", message.fell_behind());
    case v1::ServerMessage::kGap:
      return encode(message.gap());
    case v1::ServerMessage::kReset:
      return encode(message.reset());
    case v1::ServerMessage::kAcked:
      return encode_place("acked", message.acked());
    case v1::ServerMessage::kPublished:
      return encode(message.published());
    case v1::ServerMessage::kPing:
      return ObjectWriter("ping").done();
    case v1::ServerMessage::kPong:
      return ObjectWriter("pong").done();
    case v1::ServerMessage::kUnsubscribed:
      return encode_ended("unsubscribed", message.unsubscribed());
    case v1::ServerMessage::kUpdated:
      return encode_place("updated", message.updated());
    case v1::ServerMessage::kTokenExpiring:
      return encode(message.token_expiring());
    case v1::ServerMessage::kRefreshed:
      return encode(message.refreshed());
    case v1::ServerMessage::kError:
      return encode(message.error());
    case v1::ServerMessage::kClosing:
      return encode(message.closing());
    case v1::ServerMessage::kQueryResult:
      return encode(message.query_result());
    case v1::ServerMessage::kRows:
      return encode(message.rows());
    case v1::ServerMessage::kSnapshotEnd:
      return encode_version_place("snapshot_end", message.snapshot_end());
    case v1::ServerMessage::kWatchPosition:
      return encode_version_place("watch_position", message.watch_position());
    case v1::ServerMessage::kWatchReset:
      return ObjectWriter("watch_reset").text("id", message.watch_reset().id()).done();
    case v1::ServerMessage::kUnwatched:
      return encode_ended("unwatched", message.unwatched());
    case v1::ServerMessage::OP_NOT_SET:
      break;
  }
  return "{}";
}

void encode_event_json(const RecordView& record, std::string& out) {
  // 160: the names, numbers and times around an event.
  out.reserve(out.size() + record.event.size() + record.stream.size() + 160);
  out += R"(,{"sequence":)";
  append_number(out, record.sequence);
  out += R"(,"stream":)";
  append_json_string(out, record.stream);
  out += R"(,"revision":)";
  append_number(out, record.revision);
  out += R"(,"time":")";
  append_time(out, record.append_time_us);
  out += R"(","event":)";
  append_cloud_event_json(out, record.event, false);
  out += '}';
}

Envelope envelope_json(std::string_view id, std::string_view position) {
  Envelope envelope;
  envelope.own.reserve(id.size() + position.size() + 64);  // the names and quotes around them
  envelope.own = R"({"op":"events","id":)";
  append_json_string(envelope.own, id);
  envelope.own += R"(,"events":[)";
  envelope.before = envelope.own.size();
  envelope.own += R"(],"position":")";
  envelope.own += position;  // has nothing to escape
  envelope.own += "\"}";
  return envelope;
}

}  // namespace tidegate::codec
