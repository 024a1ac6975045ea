#include <array>
#include <limits>
#include <optional>

#include <fmt/format.h>

#include "eventstore/base/text.h"
#include "gateway/cloudevents/cloud_event.h"
#include "gateway/cloudevents/json_text.h"
#include "gateway/cloudevents/timestamp_text.h"
#include "gateway/delivery/codec_forms.h"

namespace tidegate::codec {
namespace {

// The message and the event around an event's data.
constexpr int kMessageDepthMax = kJsonDepthMax + 2;

// Fields of all client messages. A field that the op has no use for is ignored, as unknown ones
// are.
enum class Field : std::uint8_t {
  kOp,
  kId,
  kStreams,
  kTypes,
  kAfter,
  kFrom,
  kLast,
  kCursor,
  kOnGap,
  kWindow,
  kPosition,
  kRequest,
  kStream,
  kEvent,
  kChecks,
  kToken,
  kProjection,
  kKeys,
  kPrefix,
  kLimit,
  kPageToken,
  kMinPosition,
  kWaitMs,
  kVersion,
};

constexpr std::array<std::string_view, 24> kFieldNames = {
    "op",     "id",     "streams",    "types",        "after",      "from",
    "last",   "cursor", "on_gap",     "window",       "position",   "request",
    "stream", "event",  "checks",     "token",        "projection", "keys",
    "prefix", "limit",  "page_token", "min_position", "wait_ms",    "version"};

std::string_view name_of(Field field) {
  return kFieldNames[static_cast<std::size_t>(field)];
}

Error bad_message(std::string_view field, std::string_view what) {
  return bad_field(Code::kBadMessage, field, what);
}

// The known fields of a message. `null` is as good as absent: that is how many writers leave a
// field out.
class Fields {
 public:
  Status collect(const JsonValue& object) {
    for (JsonMembers walk(object); walk.next();) {
      for (std::size_t i = 0; i < kFieldNames.size(); ++i) {
        if (kFieldNames[i] != walk.name()) continue;
        if (values_[i]) return bad_message(kFieldNames[i], "is there twice");
        values_[i] = walk.value();
        break;
      }
    }
    return {};
  }

  const JsonValue* find(Field field) const {
    const std::optional<JsonValue>& value = values_[static_cast<std::size_t>(field)];
    return value && !value->is(JsonKind::kNull) ? &*value : nullptr;
  }

  // An absent field leaves `out` alone, here and below.
  Status take_text(Field field, std::string& out) const {
    const JsonValue* const value = find(field);
    if (value == nullptr) return {};
    if (!value->is(JsonKind::kString)) return bad_message(name_of(field), "must be a string");
    out = json_string(*value);
    return {};
  }

  template <typename Texts>
  Status take_texts(Field field, Texts& out) const {
    const JsonValue* const value = find(field);
    if (value == nullptr) return {};
    if (!value->is(JsonKind::kArray)) {
      return bad_message(name_of(field), "must be an array of strings");
    }
    for (JsonElements walk(*value); walk.next();) {
      if (!walk.value().is(JsonKind::kString)) {
        return bad_message(name_of(field), "must be an array of strings");
      }
      *out.Add() = json_string(walk.value());
    }
    return {};
  }

  Result<std::uint32_t> number(Field field) const {
    const JsonValue* const value = find(field);
    if (value == nullptr) return 0U;
    const std::optional<std::uint64_t> number = json_u64(*value);
    if (!number || *number > std::numeric_limits<std::uint32_t>::max()) {
      return bad_message(name_of(field), "must be an integer from 0 to 4294967295");
    }
    return static_cast<std::uint32_t>(*number);
  }

 private:
  std::array<std::optional<JsonValue>, kFieldNames.size()> values_;
};

// The name of a subscription or request for an error's answer, as far as it can be known.
void fill_from(const Fields& fields, Field field, std::string& out) {
  const JsonValue* const value = fields.find(field);
  if (value != nullptr && value->is(JsonKind::kString)) fill_name(out, json_string(*value));
}

// A position as text, or a bare sequence.
template <typename SetText, typename SetSequence>
Status take_place(Field field, const JsonValue& value, SetText set_text, SetSequence set_sequence) {
  if (value.is(JsonKind::kString)) {
    set_text(json_string(value));
    return {};
  }
  const std::optional<std::uint64_t> sequence = json_u64(value);
  if (!sequence) {
    return bad_message(name_of(field), "must be a position or an integer from 0 to 2^64-1");
  }
  set_sequence(*sequence);
  return {};
}

Status take_from(const JsonValue& value, v1::Start& start) {
  if (!value.is(JsonKind::kString)) return bad_message("from", "must be a string");
  const std::string text = json_string(value);
  if (text == "head") {
    start.set_edge(v1::EDGE_HEAD);
  } else if (text == "start") {
    start.set_edge(v1::EDGE_START);
  } else if (const auto time = parse_timestamp(text)) {
    *start.mutable_from_time() = *time;
  } else {
    return bad_field(Code::kBadPosition, "from", "is neither head nor start nor an RFC 3339 time");
  }
  return {};
}

Status take_start(const Fields& fields, v1::SubscribeOp& op) {
  const JsonValue* const after = fields.find(Field::kAfter);
  const JsonValue* const from = fields.find(Field::kFrom);
  const JsonValue* const last = fields.find(Field::kLast);
  const int given = (after != nullptr) + (from != nullptr) + (last != nullptr);
  if (given == 0) return {};
  if (given > 1) return bad_message("after", "give only one of after, from and last");
  v1::Start& start = *op.mutable_start();
  if (after != nullptr) {
    return take_place(
        Field::kAfter, *after, [&](std::string text) { start.set_after(std::move(text)); },
        [&](std::uint64_t sequence) { start.set_after_sequence(sequence); });
  }
  if (from != nullptr) return take_from(*from, start);
  const Result<std::uint32_t> count = fields.number(Field::kLast);
  if (!count) return count.error();
  start.set_last(*count);
  return {};
}

Status take_on_gap(const Fields& fields, v1::SubscribeOp& op) {
  std::string word;
  if (Status text = fields.take_text(Field::kOnGap, word); !text) return text;
  if (fields.find(Field::kOnGap) == nullptr) return {};
  if (word == "fail") {
    op.set_on_gap(v1::ON_GAP_FAIL);
  } else if (word == "floor") {
    op.set_on_gap(v1::ON_GAP_FLOOR);
  } else if (word == "snapshot") {
    op.set_on_gap(v1::ON_GAP_SNAPSHOT);
  } else {
    return bad_message("on_gap", "must be fail, floor or snapshot");
  }
  return {};
}

// `keys` or `prefix`; `rows` makes the selection, when there is one.
template <typename Rows>
Status take_selection(const Fields& fields, const Rows& rows) {
  if (fields.find(Field::kKeys) != nullptr) {
    v1::RowSelection& selection = *rows();
    if (Status keys = fields.take_texts(Field::kKeys, *selection.mutable_keys()); !keys) {
      return keys;
    }
    // Taken for "no choice" it would bring every row.
    if (selection.keys().empty()) return bad_message("keys", "name at least one, or leave it out");
  }
  if (fields.find(Field::kPrefix) == nullptr) return {};
  return fields.take_text(Field::kPrefix, *rows()->mutable_prefix());
}

Status take_query(const Fields& fields, v1::QueryOp& op) {
  if (Status text = fields.take_text(Field::kRequest, *op.mutable_request()); !text) return text;
  if (Status text = fields.take_text(Field::kProjection, *op.mutable_projection()); !text) {
    return text;
  }
  if (Status text = fields.take_text(Field::kPageToken, *op.mutable_page_token()); !text) {
    return text;
  }
  const Result<std::uint32_t> limit = fields.number(Field::kLimit);
  if (!limit) return limit.error();
  op.set_limit(*limit);
  const Result<std::uint32_t> wait_ms = fields.number(Field::kWaitMs);
  if (!wait_ms) return wait_ms.error();
  op.set_wait_ms(*wait_ms);
  if (const JsonValue* const place = fields.find(Field::kMinPosition)) {
    Status taken = take_place(
        Field::kMinPosition, *place,
        [&](std::string text) { op.set_min_position(std::move(text)); },
        [&](std::uint64_t sequence) { op.set_min_sequence(sequence); });
    if (!taken) return taken;
  }
  return take_selection(fields, [&] { return op.mutable_selection(); });
}

Status take_watch(const Fields& fields, v1::WatchOp& op) {
  if (Status text = fields.take_text(Field::kId, *op.mutable_id()); !text) return text;
  if (Status text = fields.take_text(Field::kProjection, *op.mutable_projection()); !text) {
    return text;
  }
  if (fields.find(Field::kAfter) != nullptr) {
    std::string& position = *op.mutable_after()->mutable_position();
    if (Status after = fields.take_text(Field::kAfter, position); !after) return after;
  }
  if (fields.find(Field::kVersion) != nullptr) {
    const Result<std::uint32_t> version = fields.number(Field::kVersion);
    if (!version) return version.error();
    op.mutable_after()->set_version(*version);
  }
  return take_selection(fields, [&] { return op.mutable_selection(); });
}

// `id`, `streams` and `types`, which two ops have.
template <typename Op>
Status take_filter(const Fields& fields, Op& op) {
  if (Status id = fields.take_text(Field::kId, *op.mutable_id()); !id) return id;
  if (Status streams = fields.take_texts(Field::kStreams, *op.mutable_streams()); !streams) {
    return streams;
  }
  return fields.take_texts(Field::kTypes, *op.mutable_types());
}

Status take_subscribe(const Fields& fields, v1::SubscribeOp& op) {
  if (Status filter = take_filter(fields, op); !filter) return filter;
  if (Status start = take_start(fields, op); !start) return start;
  if (Status cursor = fields.take_text(Field::kCursor, *op.mutable_cursor()); !cursor) {
    return cursor;
  }
  const Result<std::uint32_t> window = fields.number(Field::kWindow);
  if (!window) return window.error();
  op.set_window(*window);
  if (Status on_gap = take_on_gap(fields, op); !on_gap) return on_gap;
  if (Status text = fields.take_text(Field::kProjection, *op.mutable_projection()); !text) {
    return text;
  }
  return take_selection(fields, [&] { return op.mutable_rows(); });
}

Status take_ack(const Fields& fields, v1::AckOp& op) {
  if (Status id = fields.take_text(Field::kId, *op.mutable_id()); !id) return id;
  const JsonValue* const position = fields.find(Field::kPosition);
  if (position == nullptr) return {};
  return take_place(
      Field::kPosition, *position, [&](std::string text) { op.set_position(std::move(text)); },
      [&](std::uint64_t sequence) { op.set_sequence(sequence); });
}

Status take_check(const JsonValue& object, v1::Check& check) {
  if (!object.is(JsonKind::kObject)) return bad_message("checks", "must be an array of objects");
  int expectations = 0;
  bool has_stream = false;
  for (JsonMembers walk(object); walk.next();) {
    const JsonValue& value = walk.value();
    if (walk.name() == "stream") {
      if (has_stream || !value.is(JsonKind::kString)) {
        return bad_message("checks", "stream must be one string");
      }
      check.set_stream(json_string(value));
      has_stream = true;
    } else if (walk.name() == "revision") {
      const std::optional<std::uint64_t> revision = json_u64(value);
      if (!revision) return bad_message("checks", "revision must be an integer from 0 to 2^64-1");
      check.set_revision(*revision);
      ++expectations;
    } else if (walk.name() == "absent") {
      check.set_absent(value.is(JsonKind::kTrue));
      ++expectations;
    } else if (walk.name() == "present") {
      check.set_present(value.is(JsonKind::kTrue));
      ++expectations;
    }
  }
  if (expectations == 1) return {};
  return bad_message("checks", "each needs exactly one of revision, absent: true, present: true");
}

Status take_publish(const Fields& fields, v1::PublishOp& op) {
  if (Status text = fields.take_text(Field::kRequest, *op.mutable_request()); !text) return text;
  if (Status text = fields.take_text(Field::kStream, *op.mutable_stream()); !text) return text;
  if (const JsonValue* const event = fields.find(Field::kEvent)) {
    Result<v1::CloudEvent> parsed = cloud_event_from_json(event->text);
    if (!parsed) return parsed.error();
    *op.mutable_event() = *std::move(parsed);
  }
  const JsonValue* const checks = fields.find(Field::kChecks);
  if (checks == nullptr) return {};
  if (!checks->is(JsonKind::kArray)) return bad_message("checks", "must be an array of objects");
  for (JsonElements walk(*checks); walk.next();) {
    if (Status check = take_check(walk.value(), *op.add_checks()); !check) return check;
  }
  return {};
}

Error unknown_op(std::string_view op) {
  constexpr std::size_t kShownMax = 64;
  const std::string_view shown = op.size() <= kShownMax ? op : "(a long text)";
  return {Code::kUnknownOp, fmt::format("op: \"{}\" is not one of this version", shown)};
}

// Fills the op that `op` names. An error leaves `message` half filled.
Status take_op(std::string_view op, const Fields& fields, v1::ClientMessage& message,
               ReplyTo& reply_to) {
  if (op == "ping" || op == "pong") {
    if (op == "ping") message.mutable_ping();
    if (op == "pong") message.mutable_pong();
    return {};
  }
  if (op == "refresh") {
    return fields.take_text(Field::kToken, *message.mutable_refresh()->mutable_token());
  }
  if (op == "publish") {
    fill_from(fields, Field::kRequest, reply_to.request);
    return take_publish(fields, *message.mutable_publish());
  }
  if (op == "query") {
    reply_to.is_query = true;
    fill_from(fields, Field::kRequest, reply_to.request);
    return take_query(fields, *message.mutable_query());
  }
  fill_from(fields, Field::kId, reply_to.id);
  if (op == "subscribe") return take_subscribe(fields, *message.mutable_subscribe());
  if (op == "ack") return take_ack(fields, *message.mutable_ack());
  if (op == "update") return take_filter(fields, *message.mutable_update());
  if (op == "unsubscribe") {
    return fields.take_text(Field::kId, *message.mutable_unsubscribe()->mutable_id());
  }
  if (op == "watch") return take_watch(fields, *message.mutable_watch());
  if (op == "unwatch") {
    return fields.take_text(Field::kId, *message.mutable_unwatch()->mutable_id());
  }
  fill_from(fields, Field::kRequest, reply_to.request);
  return unknown_op(op);
}

}  // namespace

Result<v1::ClientMessage> decode_json(std::string_view bytes, ReplyTo& reply_to) {
  const Result<JsonValue> object = parse_json(bytes, kMessageDepthMax, Code::kBadMessage);
  if (!object) return object.error();
  if (!object->is(JsonKind::kObject)) {
    return Error{Code::kBadMessage, "the message is not a JSON object"};
  }
  Fields fields;
  const Status collected = fields.collect(*object);
  const JsonValue* const op = fields.find(Field::kOp);
  if (!collected) {
    // Which of two ids or requests was meant is not known; the first is as good as any.
    fill_from(fields, Field::kId, reply_to.id);
    fill_from(fields, Field::kRequest, reply_to.request);
    return collected.error();
  }
  if (op == nullptr) return bad_message("op", "is missing");
  if (!op->is(JsonKind::kString)) return bad_message("op", "must be a string");

  v1::ClientMessage message;
  if (Status taken = take_op(json_string(*op), fields, message, reply_to); !taken) {
    return taken.error();
  }
  return message;
}

}  // namespace tidegate::codec
