#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "eventstore/base/text.h"
#include "gateway/cloudevents/base64.h"
#include "gateway/cloudevents/cloud_event.h"
#include "gateway/cloudevents/json_text.h"
#include "gateway/cloudevents/proto_wire.h"
#include "gateway/cloudevents/timestamp_text.h"

namespace tidegate {
namespace {

using Value = v1::CloudEventAttributeValue;

// Four of the context, 32 attributes, data: what a valid event can have at most, null members
// included.
constexpr std::size_t kMembersMax = 38;

// Long enough for every valid name, so that an error does not repeat a megabyte.
std::string_view shortened(std::string_view name) {
  constexpr std::size_t kShownMax = 64;
  if (name.size() <= kShownMax) return name;
  std::size_t end = kShownMax;
  while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0) == 0x80) --end;
  return name.substr(0, end);
}

Error bad_member(std::string_view name, std::string what) {
  std::string path = fmt::format("event.{}", shortened(name));
  std::string message = fmt::format("{}: {}", path, what);
  return {Code::kBadEvent,
          std::move(message),
          {{ErrorDetail::Kind::kField, std::move(path), std::move(what)}}};
}

// The members of a CloudEvents object that are not extension attributes or that others depend on.
struct Members {
  bool has_version = false;
  std::optional<JsonValue> data;
  std::optional<JsonValue> base64;
};

Status take_text(std::string_view name, const JsonValue& value, std::string& out) {
  if (!value.is(JsonKind::kString)) return bad_member(name, "must be a string");
  out = json_string(value);
  return {};
}

Status take_version(const JsonValue& value, v1::CloudEvent& event, Members& members) {
  std::string version;
  if (Status text = take_text("specversion", value, version); !text) return text;
  if (version != "1.0") return bad_member("specversion", "must be \"1.0\"");
  event.set_spec_version(std::move(version));
  members.has_version = true;
  return {};
}

Status take_attribute(std::string_view name, const JsonValue& value, v1::CloudEvent& event) {
  Value& attribute = (*event.mutable_attributes())[std::string(name)];
  switch (value.kind) {
    case JsonKind::kTrue:
      attribute.set_ce_boolean(true);
      return {};
    case JsonKind::kFalse:
      attribute.set_ce_boolean(false);
      return {};
    case JsonKind::kString:
      attribute.set_ce_string(json_string(value));
      return {};
    case JsonKind::kNumber:
      break;
    default:
      return bad_member(name, "must be a string, a boolean or a 32-bit integer");
  }
  const std::optional<std::int32_t> number = json_i32(value);
  if (!number) return bad_member(name, "is a number but no 32-bit integer; write it as a string");
  attribute.set_ce_integer(*number);
  return {};
}

Status take_member(std::string_view name, const JsonValue& value, v1::CloudEvent& event,
                   Members& members) {
  if (name == "data") {
    members.data = value;
    return {};
  }
  if (value.is(JsonKind::kNull)) return {};
  if (name == "specversion") return take_version(value, event, members);
  if (name == "id") return take_text(name, value, *event.mutable_id());
  if (name == "source") return take_text(name, value, *event.mutable_source());
  if (name == "type") return take_text(name, value, *event.mutable_type());
  if (name == "data_base64") {
    members.base64 = value;
    return {};
  }
  return take_attribute(name, value, event);
}

Status take_base64(const JsonValue& value, v1::CloudEvent& event) {
  if (!value.is(JsonKind::kString)) return bad_member("data_base64", "must be a string");
  std::optional<std::string> bytes = decode_base64(json_string(value));
  if (!bytes) return bad_member("data_base64", "is not base64");
  event.set_binary_data(*std::move(bytes));
  return {};
}

Status take_data(const Members& members, v1::CloudEvent& event) {
  if (members.data && members.base64) {
    return bad_member("data", "an event has either data or data_base64");
  }
  if (members.base64) return take_base64(*members.base64, event);
  if (!members.data) return {};
  const auto type = event.attributes().find("datacontenttype");
  const bool is_json =
      type == event.attributes().end() || is_json_content_type(type->second.ce_string());
  if (is_json) {
    event.set_text_data(std::string(members.data->text));
    return {};
  }
  if (!members.data->is(JsonKind::kString)) {
    return bad_member("data", "must be a string, because datacontenttype is not JSON");
  }
  event.set_text_data(json_string(*members.data));
  return {};
}

void append_member_name(std::string& out, std::string_view name) {
  out += ',';
  append_json_string(out, name);
  out += ':';
}

void append_base64_string(std::string& out, std::string_view bytes) {
  out += '"';
  append_base64(out, bytes);
  out += '"';
}

void append_timestamp_string(std::string& out, std::string_view timestamp) {
  std::int64_t seconds = 0;
  std::int32_t nanos = 0;
  for (WireReader reader(timestamp); reader.next();) {
    if (reader.is(1, WireType::kVarint)) seconds = static_cast<std::int64_t>(reader.varint());
    if (reader.is(2, WireType::kVarint)) nanos = static_cast<std::int32_t>(reader.varint());
  }
  out += '"';
  if (is_valid_timestamp(seconds, nanos)) append_timestamp(out, seconds, nanos);
  out += '"';
}

void append_attribute_value(std::string& out, std::string_view value) {
  WireReader reader(value);
  if (!reader.next()) {
    out += "null";
    return;
  }
  switch (reader.field()) {
    case Value::kCeBooleanFieldNumber:
      out += reader.varint() != 0 ? "true" : "false";
      return;
    case Value::kCeIntegerFieldNumber:
      fmt::format_to(std::back_inserter(out), "{}", static_cast<std::int32_t>(reader.varint()));
      return;
    case Value::kCeBytesFieldNumber:
      append_base64_string(out, reader.bytes());
      return;
    case Value::kCeTimestampFieldNumber:
      append_timestamp_string(out, reader.bytes());
      return;
    default:
      append_json_string(out, reader.bytes());
  }
}

// The text of `datacontenttype` in a serialised attribute value.
std::string_view text_of_value(std::string_view value) {
  WireReader reader(value);
  return reader.next() ? reader.bytes() : std::string_view();
}

// What was seen of an event while its fields are walked in order: attributes come before the data.
class EventWriter {
 public:
  EventWriter(std::string& out, bool minify_data) : out_(out), minify_data_(minify_data) {}

  void take(const WireReader& field) {
    switch (field.field()) {
      case v1::CloudEvent::kSpecVersionFieldNumber:
        break;
      case v1::CloudEvent::kIdFieldNumber:
        append_text("id", field.bytes());
        break;
      case v1::CloudEvent::kSourceFieldNumber:
        append_text("source", field.bytes());
        break;
      case v1::CloudEvent::kTypeFieldNumber:
        append_text("type", field.bytes());
        break;
      case v1::CloudEvent::kAttributesFieldNumber:
        append_attribute(field.bytes());
        break;
      case v1::CloudEvent::kTextDataFieldNumber:
        append_text_data(field.bytes());
        break;
      case v1::CloudEvent::kBinaryDataFieldNumber:
        append_member_name(out_, "data_base64");
        append_base64_string(out_, field.bytes());
        break;
      default:
        break;
    }
  }

 private:
  void append_text(std::string_view name, std::string_view text) {
    append_member_name(out_, name);
    append_json_string(out_, text);
  }

  void append_attribute(std::string_view entry) {
    std::string_view name;
    std::string_view value;
    for (WireReader reader(entry); reader.next();) {
      if (reader.is(1, WireType::kBytes)) name = reader.bytes();
      if (reader.is(2, WireType::kBytes)) value = reader.bytes();
    }
    if (name == "datacontenttype") content_type_ = text_of_value(value);
    append_member_name(out_, name);
    append_attribute_value(out_, value);
  }

  void append_text_data(std::string_view data) {
    append_member_name(out_, "data");
    if (!is_json_content_type(content_type_)) {
      append_json_string(out_, data);
    } else if (minify_data_) {
      append_minified_json(out_, data);
    } else {
      out_.append(data);
    }
  }

  std::string& out_;
  const bool minify_data_;
  std::string_view content_type_;
};

}  // namespace

Result<v1::CloudEvent> cloud_event_from_json(std::string_view json) {
  // One level more than data has: the event around it.
  const Result<JsonValue> object = parse_json(json, kJsonDepthMax + 1, Code::kBadEvent);
  if (!object) return object.error();
  if (!object->is(JsonKind::kObject)) return Error{Code::kBadEvent, "event: must be a JSON object"};

  v1::CloudEvent event;
  Members members;
  std::vector<std::string> seen;
  for (JsonMembers walk(*object); walk.next();) {
    const std::string_view name = walk.name();
    if (std::find(seen.begin(), seen.end(), name) != seen.end()) {
      return bad_member(name, "is there twice");
    }
    if (seen.size() == kMembersMax) return bad_member(name, "is one attribute too many");
    seen.emplace_back(name);
    if (Status taken = take_member(name, walk.value(), event, members); !taken)
      return taken.error();
  }
  if (!members.has_version) return bad_member("specversion", "is missing");
  if (Status data = take_data(members, event); !data) return data.error();
  return event;
}

void append_cloud_event_json(std::string& out, std::string_view canonical, bool minify_data) {
  out += R"({"specversion":"1.0")";
  EventWriter writer(out, minify_data);
  for (WireReader reader(canonical); reader.next();) writer.take(reader);
  out += '}';
}

}  // namespace tidegate
