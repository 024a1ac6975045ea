#include "tests/delivery/seen_message.h"

#include <algorithm>
#include <cctype>
#include <simdjson.h>

#include <gtest/gtest.h>

#include "tidegate/v1/session.pb.h"

namespace tidegate::test {

namespace {

namespace dom = simdjson::dom;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

std::string scalar_text(dom::element value) {
  switch (value.type()) {
    case dom::element_type::STRING:
      return std::string(std::string_view(value));
    case dom::element_type::BOOL:
      return bool(value) ? "true" : "false";
    case dom::element_type::INT64:
    case dom::element_type::UINT64:
      return simdjson::minify(value);
    default:
      return {};
  }
}

SeenMessage::Event json_event(dom::element entry) {
  return {std::uint64_t(entry["sequence"]), std::uint64_t(entry["revision"]),
          std::string(std::string_view(entry["stream"])),
          std::string(std::string_view(entry["event"]["type"]))};
}

SeenMessage::Row json_row(dom::element entry) {
  SeenMessage::Row row{
      std::string(std::string_view(entry["key"])), {}, std::uint64_t(entry["sequence"])};
  dom::element value;
  bool is_removed = false;
  if (!entry["value"].get(value)) row.value = simdjson::minify(value);
  EXPECT_EQ(entry["removed"].get(is_removed) != simdjson::SUCCESS, !row.value.empty());
  return row;
}

SeenMessage read_json(const std::string& bytes) {
  SeenMessage seen;
  dom::parser parser;
  dom::object object;
  const auto error = parser.parse(bytes).get(object);
  EXPECT_FALSE(error) << simdjson::error_message(error) << ": " << bytes;
  if (error) return seen;
  for (const auto [name, value] : object) {
    if (name == "events") {
      for (const dom::element entry : dom::array(value)) seen.events.push_back(json_event(entry));
    } else if (name == "rows") {
      for (const dom::element entry : dom::array(value)) seen.rows.push_back(json_row(entry));
    } else {
      seen.fields[std::string(name)] = scalar_text(value);
    }
  }
  seen.op = seen.field("op");
  return seen;
}

std::string scalar_text(const Message& message, const FieldDescriptor& field) {
  const auto& reflection = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return reflection.GetString(message, &field);
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection.GetBool(message, &field) ? "true" : "false";
    case FieldDescriptor::CPPTYPE_UINT32:
      return std::to_string(reflection.GetUInt32(message, &field));
    case FieldDescriptor::CPPTYPE_UINT64:
      return std::to_string(reflection.GetUInt64(message, &field));
    case FieldDescriptor::CPPTYPE_ENUM: {
      std::string name = reflection.GetEnum(message, &field)->name();
      name.erase(0, name.find("REASON_") + 7);
      std::transform(name.begin(), name.end(), name.begin(),
                     [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      return name;
    }
    default:
      return {};
  }
}

SeenMessage read_proto(const std::string& bytes) {
  SeenMessage seen;
  v1::ServerMessage message;
  EXPECT_TRUE(message.ParseFromString(bytes));
  const auto* chosen = message.GetReflection()->GetOneofFieldDescriptor(
      message, message.GetDescriptor()->oneof_decl(0));
  EXPECT_NE(chosen, nullptr);
  if (chosen == nullptr) return seen;
  seen.op = chosen->name();
  const Message& inner = message.GetReflection()->GetMessage(message, chosen);
  for (int i = 0; i < inner.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *inner.GetDescriptor()->field(i);
    if (!field.is_repeated()) seen.fields[field.name()] = scalar_text(inner, field);
  }
  for (const v1::RecordedEvent& event : message.events().events()) {
    seen.events.push_back(
        {event.sequence(), event.revision(), event.stream(), event.event().type()});
  }
  const auto& rows = message.has_rows() ? message.rows().rows() : message.query_result().rows();
  for (const v1::ProjectionRow& row : rows) {
    seen.rows.push_back({row.key(), row.document(), row.sequence()});
  }
  return seen;
}

}  // namespace

std::string SeenMessage::field(const std::string& name) const {
  const auto at = fields.find(name);
  return at == fields.end() ? std::string() : at->second;
}

std::uint64_t SeenMessage::number(const std::string& name) const {
  const std::string text = field(name);
  return text.empty() ? 0 : std::stoull(text);
}

std::uint64_t SeenMessage::position_sequence() const {
  const std::string text = field("position");
  const std::size_t dot = text.find('.');
  return dot == std::string::npos ? 0 : std::stoull(text.substr(dot + 1));
}

SeenMessage read_server_message(WireForm form, const std::string& bytes) {
  return form == WireForm::kJson ? read_json(bytes) : read_proto(bytes);
}

}  // namespace tidegate::test
