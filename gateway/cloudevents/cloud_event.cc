#include "gateway/cloudevents/cloud_event.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "eventstore/base/text.h"
#include "eventstore/filter.h"
#include "gateway/cloudevents/json_text.h"
#include "gateway/cloudevents/proto_wire.h"
#include "gateway/cloudevents/timestamp_text.h"

namespace tidegate {
namespace {

constexpr std::size_t kIdBytesMax = 256;
constexpr std::size_t kSourceBytesMax = 512;
constexpr std::size_t kAttributesMax = 32;
constexpr std::size_t kAttributeNameBytesMax = 20;

using Value = v1::CloudEventAttributeValue;

// Attributes that have fields of their own, and the two names of the data.
constexpr std::array<std::string_view, 6> kNotAttributes = {"id",          "source", "type",
                                                            "specversion", "data",   "data_base64"};

Error bad_event(std::string_view field, std::string what) {
  std::string path = fmt::format("event.{}", field);
  std::string message = fmt::format("{}: {}", path, what);
  return {Code::kBadEvent,
          std::move(message),
          {{ErrorDetail::Kind::kField, std::move(path), std::move(what)}}};
}

Error too_large(std::size_t bytes) {
  std::string what = fmt::format("has {} bytes; at most {} are stored", bytes, kEventBytesMax);
  std::string message = fmt::format("event: {}", what);
  return {Code::kEventTooLarge,
          std::move(message),
          {{ErrorDetail::Kind::kField, "event", std::move(what)}}};
}

// U+0000-1F, U+007F and U+0080-9F, which CloudEvents forbids in attributes. `text` is UTF-8, where
// only C2 begins the last ones.
bool has_control_character(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x20 || c == 0x7F) return true;
    if (c == 0xC2 && static_cast<unsigned char>(text[i + 1]) < 0xA0) return true;
  }
  return false;
}

Status check_characters(std::string_view field, std::string_view text) {
  // Nearly always.
  const auto is_plain = [](char c) { return c >= 0x20 && c < 0x7F; };
  if (std::all_of(text.begin(), text.end(), is_plain)) return {};
  if (!is_valid_utf8(text)) return bad_event(field, "is not UTF-8");
  if (has_control_character(text)) return bad_event(field, "contains a control character");
  return {};
}

Status check_required(std::string_view field, std::string_view text, std::size_t bytes_max) {
  if (text.empty()) return bad_event(field, "is missing");
  if (text.size() > bytes_max) {
    return bad_event(field,
                     fmt::format("has {} bytes; at most {} are allowed", text.size(), bytes_max));
  }
  return check_characters(field, text);
}

Status check_context(const v1::CloudEvent& event) {
  if (Status id = check_required("id", event.id(), kIdBytesMax); !id) return id;
  if (Status source = check_required("source", event.source(), kSourceBytesMax); !source) {
    return source;
  }
  if (Status type = check_required("type", event.type(), kTypeBytesMax); !type) return type;
  if (!event.spec_version().empty() && event.spec_version() != "1.0") {
    return bad_event("specversion", "must be \"1.0\"");
  }
  return {};
}

bool is_attribute_name(std::string_view name) {
  const auto is_allowed = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !name.empty() && name.size() <= kAttributeNameBytesMax &&
         std::all_of(name.begin(), name.end(), is_allowed);
}

Status check_attribute_name(std::string_view name) {
  if (!is_attribute_name(name)) {
    const bool can_show = name.size() <= 64 && is_valid_utf8(name);
    return bad_event("attributes",
                     fmt::format("the name \"{}\" is not 1 to {} characters of [a-z0-9]",
                                 can_show ? name : "..", kAttributeNameBytesMax));
  }
  if (std::find(kNotAttributes.begin(), kNotAttributes.end(), name) != kNotAttributes.end()) {
    return bad_event("attributes", fmt::format("\"{}\" is not the name of an attribute", name));
  }
  return {};
}

// The text of a string, URI or URI-reference; nullptr for other kinds.
const std::string* text_of(const Value& value) {
  switch (value.attr_case()) {
    case Value::kCeString:
      return &value.ce_string();
    case Value::kCeUri:
      return &value.ce_uri();
    case Value::kCeUriRef:
      return &value.ce_uri_ref();
    default:
      return nullptr;
  }
}

std::string time_value(const google::protobuf::Timestamp& time) {
  std::string inner;
  if (time.seconds() != 0)
    append_varint_field(inner, 1, static_cast<std::uint64_t>(time.seconds()));
  if (time.nanos() != 0) append_varint_field(inner, 2, static_cast<std::uint64_t>(time.nanos()));
  std::string out;
  append_bytes_field(out, Value::kCeTimestampFieldNumber, inner);
  return out;
}

std::string text_value(int field, std::string_view text) {
  std::string out;
  append_bytes_field(out, static_cast<std::uint32_t>(field), text);
  return out;
}

Result<std::string> canonical_time(std::string_view name, const google::protobuf::Timestamp& time) {
  if (!is_valid_timestamp(time.seconds(), time.nanos())) {
    return bad_event(name, "is not a time of the years 1970 to 9999");
  }
  return time_value(time);
}

// `time`, however it was written.
Result<std::string> canonical_event_time(const Value& value) {
  if (value.has_ce_timestamp()) return canonical_time("time", value.ce_timestamp());
  if (!value.has_ce_string()) return bad_event("time", "must be a timestamp");
  const auto time = parse_timestamp(value.ce_string());
  if (!time) return bad_event("time", "is not an RFC 3339 time of the years 1970 to 9999");
  return time_value(*time);
}

// The optional attributes of CloudEvents that are text: not empty, and of one kind each, so that an
// event has the same bytes on whichever surface it arrived.
Result<std::string> canonical_known_text(std::string_view name, int field, const Value& value) {
  const std::string* const text = text_of(value);
  if (text == nullptr) return bad_event(name, "must be a string");
  if (text->empty()) return bad_event(name, "is empty; leave it out instead");
  if (Status good = check_characters(name, *text); !good) return good.error();
  return text_value(field, *text);
}

Result<std::string> canonical_extension(std::string_view name, const Value& value) {
  std::string out;
  switch (value.attr_case()) {
    case Value::kCeBoolean:
      append_varint_field(out, Value::kCeBooleanFieldNumber, value.ce_boolean() ? 1 : 0);
      return out;
    case Value::kCeInteger:
      // Protobuf writes a negative int32 as a 64-bit number.
      append_varint_field(out, Value::kCeIntegerFieldNumber,
                          static_cast<std::uint64_t>(std::int64_t{value.ce_integer()}));
      return out;
    case Value::kCeBytes:
      return text_value(Value::kCeBytesFieldNumber, value.ce_bytes());
    case Value::kCeTimestamp:
      return canonical_time(name, value.ce_timestamp());
    case Value::ATTR_NOT_SET:
      return bad_event(name, "has no value; leave it out instead");
    default:
      break;
  }
  const std::string& text = *text_of(value);
  if (Status good = check_characters(name, text); !good) return good.error();
  // The field's number is the case's number.
  return text_value(static_cast<int>(value.attr_case()), text);
}

Result<std::string> canonical_value(std::string_view name, const Value& value) {
  if (name == "time") return canonical_event_time(value);
  if (name == "dataschema") return canonical_known_text(name, Value::kCeUriFieldNumber, value);
  if (name == "subject" || name == "datacontenttype") {
    return canonical_known_text(name, Value::kCeStringFieldNumber, value);
  }
  return canonical_extension(name, value);
}

Status append_attributes(std::string& out, const v1::CloudEvent& event) {
  if (event.attributes().size() > kAttributesMax) {
    return bad_event("attributes", fmt::format("there are {}; at most {} are allowed",
                                               event.attributes().size(), kAttributesMax));
  }
  std::vector<std::pair<std::string_view, const Value*>> sorted;
  sorted.reserve(event.attributes().size());
  for (const auto& [name, value] : event.attributes()) sorted.emplace_back(name, &value);
  std::sort(sorted.begin(), sorted.end());
  for (const auto& [name, value] : sorted) {
    if (Status good = check_attribute_name(name); !good) return good;
    const Result<std::string> bytes = canonical_value(name, *value);
    if (!bytes) return bytes.error();
    append_tag(out, v1::CloudEvent::kAttributesFieldNumber, WireType::kBytes);
    append_varint(out, bytes_field_size(name.size()) + bytes_field_size(bytes->size()));
    append_bytes_field(out, 1, name);
    append_bytes_field(out, 2, *bytes);
  }
  return {};
}

Status check_json_data(std::string_view data, bool is_declared) {
  const Result<JsonValue> json = parse_json(data, kJsonDepthMax, Code::kBadEvent);
  if (json) return {};
  const char* const hint = is_declared ? "" : "; set datacontenttype when the data is not JSON";
  return bad_event("data", json.error().message + hint);
}

Status append_data(std::string& out, const v1::CloudEvent& event) {
  if (event.has_proto_data()) {
    Error error = bad_event("proto_data",
                            "publish the message's bytes as binary_data with its datacontenttype");
    error.code = Code::kUnsupported;
    return error;
  }
  if (!event.has_binary_data() && !event.has_text_data()) return {};
  const std::string& data = event.has_text_data() ? event.text_data() : event.binary_data();
  if (data.size() > kEventBytesMax) return too_large(data.size());

  // A string, whichever kind of text it came as: the attributes are checked before the data.
  const auto type = event.attributes().find("datacontenttype");
  const bool is_declared = type != event.attributes().end();
  if (is_declared ? is_json_content_type(*text_of(type->second)) : event.has_text_data()) {
    if (Status good = check_json_data(data, is_declared); !good) return good;
    append_bytes_field(out, v1::CloudEvent::kTextDataFieldNumber, data);
  } else if (event.has_text_data()) {
    if (!is_valid_utf8(data)) return bad_event("data", "is not UTF-8; publish it as binary data");
    append_bytes_field(out, v1::CloudEvent::kTextDataFieldNumber, data);
  } else {
    append_bytes_field(out, v1::CloudEvent::kBinaryDataFieldNumber, data);
  }
  return {};
}

std::string_view trimmed(std::string_view text) {
  const std::size_t from = std::min(text.find_first_not_of(" \t"), text.size());
  text.remove_prefix(from);
  return text.substr(0, text.find_last_not_of(" \t") + 1);
}

bool ends_with_ignoring_case(std::string_view text, std::string_view lower_case_end) {
  if (text.size() < lower_case_end.size()) return false;
  text.remove_prefix(text.size() - lower_case_end.size());
  return std::equal(text.begin(), text.end(), lower_case_end.begin(), [](char c, char lower) {
    return (c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c) == lower;
  });
}

}  // namespace

Result<NewEvent> make_new_event(std::string_view stream, const v1::CloudEvent& event) {
  if (Status name = check_publishable_name(stream); !name) {
    Error error = name.error();
    if (error.details.empty()) {
      error.details.push_back({ErrorDetail::Kind::kField, "stream", error.message});
    }
    return error;
  }
  if (Status context = check_context(event); !context) return context.error();

  NewEvent made;
  made.stream = stream;
  std::string& out = made.event;
  out.reserve(event.id().size() + event.source().size() + event.type().size() +
              event.text_data().size() + event.binary_data().size() +
              64 * event.attributes().size() + 32);
  append_bytes_field(out, v1::CloudEvent::kIdFieldNumber, event.id());
  append_bytes_field(out, v1::CloudEvent::kSourceFieldNumber, event.source());
  append_bytes_field(out, v1::CloudEvent::kSpecVersionFieldNumber, "1.0");
  append_bytes_field(out, v1::CloudEvent::kTypeFieldNumber, event.type());
  if (Status attributes = append_attributes(out, event); !attributes) return attributes.error();
  if (Status data = append_data(out, event); !data) return data.error();
  if (out.size() > kEventBytesMax) return too_large(out.size());
  return made;
}

std::optional<std::int64_t> cloud_event_time_us(const v1::CloudEvent& event) {
  const auto time = event.attributes().find("time");
  if (time == event.attributes().end()) return std::nullopt;
  if (time->second.has_ce_string()) return parse_time(time->second.ce_string());
  if (!time->second.has_ce_timestamp()) return std::nullopt;
  const google::protobuf::Timestamp& stamp = time->second.ce_timestamp();
  if (!is_valid_timestamp(stamp.seconds(), stamp.nanos())) return std::nullopt;
  return stamp.seconds() * 1'000'000 + stamp.nanos() / 1000;
}

bool is_json_content_type(std::string_view content_type) {
  const std::string_view media_type = trimmed(content_type.substr(0, content_type.find(';')));
  return content_type.empty() || ends_with_ignoring_case(media_type, "/json") ||
         ends_with_ignoring_case(media_type, "+json");
}

}  // namespace tidegate
