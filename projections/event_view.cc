#include "projections/event_view.h"

#include <algorithm>
#include <cstddef>

#include "eventstore/base/text.h"

namespace tidegate {
namespace {

// The wire format of Protocol Buffers, of tidegate.v1.CloudEvent. The bytes are canonical when
// publishing made them; others are read as far as they make sense.
struct EventField {
  std::uint64_t number = 0;
  std::uint64_t value = 0;  // of a varint
  std::string_view bytes;
};

bool take_event_varint(std::string_view& in, std::uint64_t& value) {
  value = 0;
  for (unsigned shift = 0; shift < 64 && !in.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(in.front());
    in.remove_prefix(1);
    value |= std::uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

bool take_event_field(std::string_view& in, EventField& field) {
  constexpr std::uint64_t kVarint = 0;
  constexpr std::uint64_t kLengthDelimited = 2;
  std::uint64_t tag = 0;
  field.bytes = {};
  if (in.empty() || !take_event_varint(in, tag)) return false;
  field.number = tag >> 3;
  if (!take_event_varint(in, field.value)) return false;
  if ((tag & 7) == kVarint) return true;
  if ((tag & 7) != kLengthDelimited || field.value > in.size()) return false;
  field.bytes = in.substr(0, field.value);
  in.remove_prefix(field.value);
  return true;
}

// A google.protobuf.Timestamp.
std::int64_t event_timestamp_us(std::string_view in) {
  std::int64_t seconds = 0;
  std::int64_t nanos = 0;
  for (EventField field; take_event_field(in, field);) {
    if (field.number == 1) seconds = static_cast<std::int64_t>(field.value);
    if (field.number == 2) nanos = static_cast<std::int64_t>(field.value);
  }
  // Publishing admits the years 1970 to 9999; nothing else may overflow here.
  constexpr std::int64_t kSecondsMax = 253'402'300'799;
  return std::clamp<std::int64_t>(seconds, 0, kSecondsMax) * 1'000'000 +
         std::clamp<std::int64_t>(nanos, 0, 999'999'999) / 1000;
}

// A tidegate.v1.CloudEventAttributeValue.
void read_attribute_value(std::string_view in, EventAttribute& attribute) {
  using Kind = EventAttribute::Kind;
  for (EventField field; take_event_field(in, field);) {
    switch (field.number) {
      case 1:
        attribute.kind = Kind::kBool;
        attribute.number = field.value != 0 ? 1 : 0;
        break;
      case 2:
        attribute.kind = Kind::kInteger;
        attribute.number = static_cast<std::int32_t>(field.value);
        break;
      case 3:
      case 5:
      case 6:
        attribute.kind = Kind::kText;
        attribute.text = field.bytes;
        break;
      case 4:
        attribute.kind = Kind::kBytes;
        attribute.text = field.bytes;
        break;
      case 7:
        attribute.kind = Kind::kTime;
        attribute.number = event_timestamp_us(field.bytes);
        break;
      default:
        break;
    }
  }
}

// An entry of the map of attributes.
EventAttribute read_event_attribute(std::string_view in) {
  EventAttribute attribute;
  for (EventField field; take_event_field(in, field);) {
    if (field.number == 1) attribute.name = field.bytes;
    if (field.number == 2) read_attribute_value(field.bytes, attribute);
  }
  return attribute;
}

bool has_json_suffix(std::string_view media_type, std::string_view lower_case_suffix) {
  if (media_type.size() < lower_case_suffix.size()) return false;
  media_type.remove_prefix(media_type.size() - lower_case_suffix.size());
  return std::equal(media_type.begin(), media_type.end(), lower_case_suffix.begin(),
                    [](char c, char lower) {
                      return (c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c) == lower;
                    });
}

// As publishing judges it: application/json, text/json, anything+json, with parameters.
bool is_json_media_type(std::string_view content_type) {
  std::string_view media_type = content_type.substr(0, content_type.find(';'));
  media_type = media_type.substr(0, media_type.find_last_not_of(" \t") + 1);
  return content_type.empty() || has_json_suffix(media_type, "/json") ||
         has_json_suffix(media_type, "+json");
}

}  // namespace

void EventView::begin(const RecordView& record) {
  record_ = record;
  is_scanned_ = false;
}

void EventView::scan() {
  is_scanned_ = true;
  id_ = source_ = data_ = {};
  attributes_.clear();
  has_data_ = has_text_ = false;
  std::string_view in = record_.event;
  for (EventField field; take_event_field(in, field);) {
    switch (field.number) {
      case 1:
        id_ = field.bytes;
        break;
      case 2:
        source_ = field.bytes;
        break;
      case 5:
        attributes_.push_back(read_event_attribute(field.bytes));
        break;
      case 6:
      case 7:
        data_ = field.bytes;
        has_data_ = true;
        has_text_ = field.number == 7;
        break;
      default:
        break;  // the version of CloudEvents, and the type, which the record has
    }
  }
}

const EventAttribute* EventView::attribute(std::string_view name) {
  for (const EventAttribute& attribute : attributes()) {
    if (attribute.name == name) return &attribute;
  }
  return nullptr;
}

std::string_view EventView::subject() {
  const EventAttribute* const subject = attribute("subject");
  return subject == nullptr ? std::string_view() : subject->text;
}

std::int64_t EventView::time_us() {
  const EventAttribute* const time = attribute("time");
  if (time == nullptr) return record_.append_time_us;
  if (time->kind == EventAttribute::Kind::kTime) return time->number;
  return parse_time(time->text).value_or(record_.append_time_us);
}

bool EventView::has_json() {
  if (!has_data()) return false;
  const EventAttribute* const content_type = attribute("datacontenttype");
  return content_type == nullptr ? has_text_ : is_json_media_type(content_type->text);
}

}  // namespace tidegate
