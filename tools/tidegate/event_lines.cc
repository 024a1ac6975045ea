#include "tools/tidegate/event_lines.h"

#include <optional>
#include <simdjson.h>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "eventstore/base/text.h"
#include "gateway/cloudevents/cloud_event.h"

namespace tidegate {
namespace {

Error bad_line(std::string message) {
  return {Code::kBadEvent, std::move(message)};
}

// The log's canonical bytes have their attributes sorted; protobuf's deterministic form sorts map
// keys.
std::string canonical_bytes(const v1::CloudEvent& event) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    event.SerializeToCodedStream(&coded);
  }
  return bytes;
}

std::int64_t microseconds(const google::protobuf::Timestamp& time) {
  return time.seconds() * 1'000'000 + time.nanos() / 1000;
}

struct RawLine {
  std::optional<std::string> stream;
  std::optional<std::string_view> event;
};

// Returns what is wrong, or nothing.
simdjson::error_code collect(simdjson::ondemand::document& document, RawLine& raw) {
  simdjson::ondemand::object object;
  if (const auto error = document.get_object().get(object)) return error;
  for (auto field : object) {
    std::string_view key;
    if (const auto error = field.unescaped_key().get(key)) return error;
    if (key == "stream" && !raw.stream) {
      std::string_view stream;
      if (const auto error = field.value().get_string().get(stream)) return error;
      raw.stream = std::string(stream);
    } else if (key == "event" && !raw.event) {
      simdjson::ondemand::object event;
      if (const auto error = field.value().get_object().get(event)) return error;
      std::string_view json;
      if (const auto error = event.raw_json().get(json)) return error;
      raw.event = json;
    } else if (key == "stream" || key == "event") {
      return simdjson::TAPE_ERROR;
    }
  }
  // There is no place to read on from when the object was all.
  const bool at_end = document.current_location().error() == simdjson::OUT_OF_BOUNDS;
  return at_end ? simdjson::SUCCESS : simdjson::TRAILING_CONTENT;
}

}  // namespace

void append_event_json(std::string& out, const v1::CloudEvent& event) {
  append_cloud_event_json(out, canonical_bytes(event), true);
}

void append_event_line(std::string& out, const v1::RecordedEvent& record) {
  out += "{\"sequence\":";
  out += std::to_string(record.sequence());
  out += ",\"stream\":";
  append_json_string(out, record.stream());
  out += ",\"revision\":";
  out += std::to_string(record.revision());
  out += ",\"time\":\"";
  append_time(out, microseconds(record.time()));
  out += "\",\"event\":";
  append_event_json(out, record.event());
  out += '}';
}

struct EventLineParser::Parser {
  simdjson::ondemand::parser json;
};

EventLineParser::EventLineParser() : parser_(std::make_unique<Parser>()) {}
EventLineParser::~EventLineParser() = default;

Result<EventLine> EventLineParser::parse(std::string_view line) {
  if (!is_valid_utf8(line)) return bad_line("the line is not UTF-8");
  const simdjson::padded_string padded(line);
  simdjson::ondemand::document document;
  RawLine raw;
  auto error = parser_->json.iterate(padded).get(document);
  if (!error) error = collect(document, raw);
  if (error == simdjson::TAPE_ERROR)
    return bad_line("the line is not one JSON object with each member once");
  if (error)
    return bad_line(std::string("not a line of events: ") + simdjson::error_message(error));
  if (!raw.stream) return bad_line("`stream` is missing");
  if (!raw.event) return bad_line("`event` is missing");
  Result<v1::CloudEvent> event = cloud_event_from_json(*raw.event);
  if (!event) return event.error();
  // What the gateway would refuse is refused here, so that one bad line does not cost its whole
  // batch.
  if (Result<NewEvent> checked = make_new_event(*raw.stream, *event); !checked)
    return checked.error();
  return EventLine{*std::move(raw.stream), *std::move(event)};
}

}  // namespace tidegate
