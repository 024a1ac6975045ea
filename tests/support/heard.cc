#include "tests/support/heard.h"

#include <cstdlib>
#include <simdjson.h>

#include "tests/support/history_checker.h"
#include "tidegate/v1/session.pb.h"

namespace tidegate::test {
namespace {

std::string_view name_of(const v1::ServerMessage& message) {
  const auto* field =
      message.GetDescriptor()->FindFieldByNumber(static_cast<int>(message.op_case()));
  return field == nullptr ? std::string_view() : field->name();
}

}  // namespace

Sequence Heard::sequence() const {
  const std::size_t dot = position.find('.');
  return dot == std::string::npos ? 0 : std::strtoull(position.c_str() + dot + 1, nullptr, 10);
}

Heard Heard::from_json(std::string_view text) {
  thread_local simdjson::ondemand::parser parser;
  thread_local std::string padded;
  padded.assign(text);
  padded.append(simdjson::SIMDJSON_PADDING, ' ');
  Heard heard;
  simdjson::ondemand::document document;
  if (parser.iterate(padded.data(), text.size(), padded.size()).get(document)) return heard;
  const auto text_at = [&](const char* name) {
    std::string_view found;
    return document[name].get_string().get(found) ? std::string() : std::string(found);
  };
  heard.op = text_at("op");
  heard.position = text_at("position");
  if (heard.op == "error") {
    heard.code = text_at("code");
    heard.reason = text_at("message");
  }
  if (heard.op == "gap" || heard.op == "reset" || heard.op == "unsubscribed")
    heard.reason = text_at("reason");
  if (heard.op == "gap" && document["floor"].get_uint64().get(heard.floor)) heard.op.clear();
  if (heard.op != "events") return heard;
  simdjson::ondemand::array events;
  if (document["events"].get_array().get(events)) return {};
  for (auto element : events) {
    std::uint64_t sequence = 0;
    std::string_view stream, type, id, data;
    simdjson::ondemand::object event, data_object;
    if (element["sequence"].get_uint64().get(sequence) ||
        element["stream"].get_string().get(stream) || element["event"].get_object().get(event) ||
        event["type"].get_string().get(type) || event["id"].get_string().get(id) ||
        event["data"].get_object().get(data_object) || data_object.raw_json().get(data)) {
      return {};
    }
    heard.events.push_back({sequence, event_hash(stream, type, id, data)});
  }
  return heard;
}

Heard Heard::from_proto(std::string_view bytes) {
  v1::ServerMessage message;
  Heard heard;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return heard;
  heard.op = name_of(message);
  switch (message.op_case()) {
    case v1::ServerMessage::kSubscribed:
      heard.position = message.subscribed().position();
      break;
    case v1::ServerMessage::kEvents:
      heard.position = message.events().position();
      for (const v1::RecordedEvent& recorded : message.events().events()) {
        const v1::CloudEvent& event = recorded.event();
        heard.events.push_back({recorded.sequence(), event_hash(recorded.stream(), event.type(),
                                                                event.id(), event.text_data())});
      }
      break;
    case v1::ServerMessage::kPosition:
      heard.position = message.position().position();
      break;
    case v1::ServerMessage::kCaughtUp:
      heard.position = message.caught_up().position();
      break;
    case v1::ServerMessage::kFellBehind:
      heard.position = message.fell_behind().position();
      break;
    case v1::ServerMessage::kAcked:
      heard.position = message.acked().position();
      break;
    case v1::ServerMessage::kGap:
      heard.floor = message.gap().floor();
      heard.reason = v1::GapReason_Name(message.gap().reason());
      break;
    case v1::ServerMessage::kReset:
      heard.reason = v1::ResetReason_Name(message.reset().reason());
      break;
    case v1::ServerMessage::kUnsubscribed:
      heard.reason = message.unsubscribed().reason();
      break;
    case v1::ServerMessage::kError:
      heard.code = message.error().code();
      heard.reason = message.error().message();
      break;
    default:
      break;
  }
  return heard;
}

}  // namespace tidegate::test
