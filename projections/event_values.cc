#include "projections/event_values.h"

#include <charconv>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "eventstore/base/text.h"
#include "eventstore/filter.h"

namespace tidegate {
namespace {

EventValue integer_event_value(std::uint64_t number) {
  EventValue value;
  value.kind = EventValue::Kind::kInteger;
  value.integer = static_cast<std::int64_t>(number);
  return value;
}

EventValue text_event_value(std::string_view text) {
  EventValue value;
  value.kind = EventValue::Kind::kText;
  value.text = text;
  return value;
}

// Of what an event may lack.
EventValue optional_event_value(std::string_view text) {
  return text.empty() ? EventValue() : text_event_value(text);
}

EventValue token_event_value(std::string_view stream, std::size_t number) {
  for (; number > 0 && !stream.empty(); --number) next_token(stream);
  return optional_event_value(next_token(stream));
}

EventValue literal_event_value(const Json& literal) {
  EventValue value;
  if (const auto* text = literal.as<std::string>()) return text_event_value(*text);
  if (const auto* integer = literal.as<std::int64_t>()) {
    value.kind = EventValue::Kind::kInteger;
    value.integer = *integer;
  } else if (const auto* number = literal.as<double>()) {
    value.kind = EventValue::Kind::kDouble;
    value.number = *number;
  } else if (const auto* boolean = literal.as<bool>()) {
    value.kind = EventValue::Kind::kBool;
    value.boolean = *boolean;
  }
  return value;
}

}  // namespace

std::string EventValue::shown() const {
  switch (kind) {
    case Kind::kAbsent:
      return "nothing";
    case Kind::kNull:
      return "null";
    case Kind::kBool:
      return boolean ? "true" : "false";
    case Kind::kInteger:
      return fmt::format("{}", integer);
    case Kind::kDouble:
      return fmt::format("{}", number);
    case Kind::kText:
      return fmt::format("the text \"{}\"", printable(text));
    case Kind::kTree:
      return printable(text);
    case Kind::kBroken:
      break;
  }
  return "data that is not valid JSON";
}

void EventValues::begin(const RecordView& event, PointerFinder& finder) {
  event_.begin(event);
  finder_ = &finder;
  search_ = Search::kNotYet;
  if (!texts_.empty()) texts_.clear();
}

std::string_view EventValues::keep(std::string text) {
  return texts_.emplace_back(std::move(text));
}

EventValue EventValues::time(std::int64_t time_us) {
  return text_event_value(keep(format_time(time_us)));
}

EventValue EventValues::attribute(std::string_view name) {
  const EventAttribute* const attribute = event_.attribute(name);
  if (attribute == nullptr) return {};
  EventValue value;
  switch (attribute->kind) {
    case EventAttribute::Kind::kBool:
      value.kind = EventValue::Kind::kBool;
      value.boolean = attribute->number != 0;
      return value;
    case EventAttribute::Kind::kInteger:
      value.kind = EventValue::Kind::kInteger;
      value.integer = attribute->number;
      return value;
    case EventAttribute::Kind::kText:
      return text_event_value(attribute->text);
    case EventAttribute::Kind::kTime:
      return time(attribute->number);
    case EventAttribute::Kind::kBytes:
      break;
  }
  return value;
}

EventValue EventValues::found(std::size_t pointer) {
  if (search_ == Search::kNotYet) {
    search_ = !event_.has_json()             ? Search::kNoJson
              : finder_->find(event_.data()) ? Search::kDone
                                             : Search::kBroken;
  }
  if (search_ == Search::kNoJson) return {};
  if (search_ == Search::kDone) return json_value(finder_->found(pointer));
  EventValue broken;
  broken.kind = EventValue::Kind::kBroken;
  return broken;
}

EventValue EventValues::data(std::size_t pointer) {
  if (!event_.has_data() || event_.has_json()) return found(pointer);
  return event_.has_text() ? text_event_value(event_.data()) : EventValue();
}

EventValue EventValues::json_value(std::string_view json) {
  EventValue value;
  if (json.empty()) return value;
  switch (json.front()) {
    case '{':
    case '[':
      value.kind = EventValue::Kind::kTree;
      value.text = json;
      return value;
    case 'n':
      value.kind = json == "null" ? EventValue::Kind::kNull : EventValue::Kind::kBroken;
      return value;
    case 't':
    case 'f':
      value.boolean = json == "true";
      value.kind =
          value.boolean || json == "false" ? EventValue::Kind::kBool : EventValue::Kind::kBroken;
      return value;
    case '"':
      break;
    default:
      return json_number(json);
  }
  if (json.find('\\') == std::string_view::npos)
    return text_event_value(json.substr(1, json.size() - 2));
  const Result<Json> text = Json::parse(json);
  if (text) return text_event_value(keep(*text->as<std::string>()));
  value.kind = EventValue::Kind::kBroken;
  return value;
}

EventValue EventValues::json_number(std::string_view json) {
  EventValue value;
  const char* const end = json.data() + json.size();
  if (json.find_first_of(".eE") == std::string_view::npos) {
    const auto read = std::from_chars(json.data(), end, value.integer);
    value.kind = EventValue::Kind::kInteger;
    if (read.ec == std::errc() && read.ptr == end) return value;
  } else if (json.front() == '-' || (json.front() >= '0' && json.front() <= '9')) {
    // Not what from_chars reads beyond JSON, such as "inf".
    const auto read = std::from_chars(json.data(), end, value.number);
    value.kind = EventValue::Kind::kDouble;
    if (read.ec == std::errc() && read.ptr == end && std::isfinite(value.number)) return value;
  }
  // Beyond 64 bits, nearly zero, too large, or no number: as the parser has it.
  const Result<Json> parsed = Json::parse(json);
  if (parsed && (parsed->as<std::int64_t>() != nullptr || parsed->as<double>() != nullptr))
    return literal_event_value(*parsed);
  value.kind = EventValue::Kind::kBroken;
  return value;
}

EventValue EventValues::of(const Expression& expression) {
  const RecordView& record = event_.record();
  switch (expression.kind) {
    case Expression::Kind::kPointer:
      return found(expression.number);
    case Expression::Kind::kData:
      return data(expression.number);
    case Expression::Kind::kStream:
      return text_event_value(record.stream);
    case Expression::Kind::kToken:
      return token_event_value(record.stream, expression.number);
    case Expression::Kind::kType:
      return text_event_value(record.type);
    case Expression::Kind::kSource:
      return text_event_value(event_.source());
    case Expression::Kind::kId:
      return text_event_value(event_.id());
    case Expression::Kind::kSubject:
      return optional_event_value(event_.subject());
    case Expression::Kind::kTime:
      return time(event_.time_us());
    case Expression::Kind::kAppendTime:
      return time(record.append_time_us);
    case Expression::Kind::kSequence:
      return integer_event_value(record.sequence);
    case Expression::Kind::kRevision:
      return integer_event_value(record.revision);
    case Expression::Kind::kBytes:
      return integer_event_value(record.event.size());
    case Expression::Kind::kAttribute:
      return attribute(expression.attribute);
    case Expression::Kind::kLiteral:
      return literal_event_value(expression.literal);
    case Expression::Kind::kObject:
    case Expression::Kind::kArray:
      break;
  }
  TG_CHECK(!expression.is_composite(), expression.text);
  return {};
}

bool EventValues::make(const Expression& expression, Json& out) {
  if (!expression.is_composite()) return make(of(expression), out);
  if (expression.kind == Expression::Kind::kArray) {
    Json::Array items(expression.items.size());
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (!make(expression.items[i], items[i])) return false;
    }
    out = Json(std::move(items));
    return true;
  }
  Json::Object members;
  for (std::size_t i = 0; i < expression.items.size(); ++i) {
    if (!make(expression.items[i], members[expression.names[i]])) return false;
  }
  out = Json(std::move(members));
  return true;
}

bool EventValues::make(const EventValue& value, Json& out) {
  switch (value.kind) {
    case EventValue::Kind::kAbsent:
    case EventValue::Kind::kNull:
      out = Json();
      return true;
    case EventValue::Kind::kBool:
      out = Json(value.boolean);
      return true;
    case EventValue::Kind::kInteger:
      out = Json(value.integer);
      return true;
    case EventValue::Kind::kDouble:
      out = Json(value.number);
      return true;
    case EventValue::Kind::kText:
      out.assign_text(value.text);
      return true;
    case EventValue::Kind::kTree: {
      Result<Json> tree = Json::parse(value.text);
      if (!tree) return false;
      out = *std::move(tree);
      return true;
    }
    case EventValue::Kind::kBroken:
      break;
  }
  return false;
}

}  // namespace tidegate
