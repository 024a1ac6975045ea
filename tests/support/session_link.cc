#include "tests/support/session_link.h"

#include <chrono>
#include <cstdlib>
#include <simdjson.h>
#include <utility>

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "tests/support/ws_client.h"
#include "tidegate/v1/event_service.grpc.pb.h"

namespace tidegate::test {
namespace {

using JsonElement = simdjson::dom::element;

std::string json_text_at(JsonElement element, std::string_view name) {
  std::string_view text;
  return element[name].get_string().get(text) ? std::string() : std::string(text);
}

std::uint64_t json_number_at(JsonElement element, std::string_view name) {
  std::uint64_t number = 0;
  return element[name].get_uint64().get(number) ? 0 : number;
}

std::string json_value_at(JsonElement element, std::string_view name) {
  JsonElement value;
  return element[name].get(value) ? std::string() : simdjson::minify(value);
}

Told::Row row_in(JsonElement element) {
  bool is_removed = false;
  if (element["removed"].get_bool().get(is_removed)) is_removed = false;
  Told::Row row;
  row.key = json_text_at(element, "key");
  row.sequence = json_number_at(element, "sequence");
  if (!is_removed) {
    row.document = json_value_at(element, "value");
    EXPECT_NE(row.document, "") << "a row without a value that is not removed: " << element;
  }
  return row;
}

Told::Event event_in(JsonElement element) {
  Told::Event event;
  event.sequence = json_number_at(element, "sequence");
  event.stream = json_text_at(element, "stream");
  JsonElement inner;
  if (element["event"].get(inner)) return event;
  event.type = json_text_at(inner, "type");
  event.data = json_value_at(inner, "data");
  return event;
}

std::string_view op_name(const v1::ServerMessage& message) {
  const auto* field =
      message.GetDescriptor()->FindFieldByNumber(static_cast<int>(message.op_case()));
  return field == nullptr ? std::string_view() : field->name();
}

void take_rows(Told& told, const google::protobuf::RepeatedPtrField<v1::ProjectionRow>& rows) {
  for (const v1::ProjectionRow& row : rows)
    told.rows.push_back({row.key(), row.document(), row.sequence()});
}

template <typename Placed>
void take_place(Told& told, const Placed& placed) {
  told.position = placed.position();
  told.version = placed.version();
}

class WsLink final : public SessionLink {
 public:
  WsLink(bool is_binary, const std::string& address)
      : is_binary_(is_binary),
        client_(WsClient::connect(
            address, {.protocol = is_binary ? "tidegate.v1.proto" : "tidegate.v1.json"})) {}

  void send(const std::string& json, const v1::ClientMessage& message) override {
    const bool is_sent =
        is_binary_ ? client_.send_binary(message.SerializeAsString()) : client_.send_text(json);
    EXPECT_TRUE(is_sent);
  }
  void cut() override { client_.cut(); }

 protected:
  Told receive(Milliseconds time) override {
    const std::optional<std::string> message = client_.read_message(time);
    if (!message) return {};
    if (!is_binary_) return Told::from_json(*message);
    v1::ServerMessage parsed;
    return parsed.ParseFromString(*message) ? Told::from_proto(parsed) : Told();
  }

 private:
  const bool is_binary_;
  WsClient client_;
};

class GrpcLink final : public SessionLink {
 public:
  explicit GrpcLink(const std::string& address)
      : stub_(v1::EventService::NewStub(
            grpc::CreateChannel(address, grpc::InsecureChannelCredentials()))) {
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(2));
    stream_ = stub_->Subscribe(&context_);
  }
  ~GrpcLink() override {
    context_.TryCancel();
    static_cast<void>(stream_->Finish());
  }

  void send(const std::string& /*json*/, const v1::ClientMessage& message) override {
    v1::SubscribeRequest request;
    *request.mutable_message() = message;
    EXPECT_TRUE(stream_->Write(request));
  }
  void cut() override { context_.TryCancel(); }

 protected:
  // The call's deadline ends a wait.
  Told receive(Milliseconds /*time*/) override {
    v1::SubscribeResponse response;
    return stream_->Read(&response) ? Told::from_proto(response.message()) : Told();
  }

 private:
  std::unique_ptr<v1::EventService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::SubscribeRequest, v1::SubscribeResponse>> stream_;
};

}  // namespace

Sequence Told::sequence() const {
  const std::size_t dot = position.find('.');
  return dot == std::string::npos ? 0 : std::strtoull(position.c_str() + dot + 1, nullptr, 10);
}

Told Told::from_json(std::string_view text) {
  thread_local simdjson::dom::parser parser;
  Told told;
  JsonElement message;
  if (parser.parse(text.data(), text.size()).get(message)) return told;
  told.op = json_text_at(message, "op");
  told.position = json_text_at(message, "position");
  told.version = static_cast<std::uint32_t>(json_number_at(message, "version"));
  told.code = json_text_at(message, "code");
  told.reason = json_text_at(message, "reason");
  simdjson::dom::array list;
  if (!message["rows"].get_array().get(list)) {
    for (const JsonElement row : list) told.rows.push_back(row_in(row));
  }
  if (!message["events"].get_array().get(list)) {
    for (const JsonElement event : list) told.events.push_back(event_in(event));
  }
  return told;
}

Told Told::from_proto(const v1::ServerMessage& message) {
  Told told;
  told.op = op_name(message);
  switch (message.op_case()) {
    case v1::ServerMessage::kSubscribed:
      told.position = message.subscribed().position();
      break;
    case v1::ServerMessage::kPosition:
      told.position = message.position().position();
      break;
    case v1::ServerMessage::kCaughtUp:
      told.position = message.caught_up().position();
      break;
    case v1::ServerMessage::kEvents:
      told.position = message.events().position();
      for (const v1::RecordedEvent& event : message.events().events()) {
        told.events.push_back(
            {event.sequence(), event.stream(), event.event().type(), event.event().text_data()});
      }
      break;
    case v1::ServerMessage::kGap:
      told.reason = v1::GapReason_Name(message.gap().reason());
      break;
    case v1::ServerMessage::kReset:
      told.reason = v1::ResetReason_Name(message.reset().reason());
      break;
    case v1::ServerMessage::kError:
      told.code = message.error().code();
      break;
    case v1::ServerMessage::kRows:
      take_rows(told, message.rows().rows());
      break;
    case v1::ServerMessage::kQueryResult:
      take_rows(told, message.query_result().rows());
      take_place(told, message.query_result());
      break;
    case v1::ServerMessage::kSnapshotEnd:
      take_place(told, message.snapshot_end());
      break;
    case v1::ServerMessage::kWatchPosition:
      take_place(told, message.watch_position());
      break;
    case v1::ServerMessage::kUnwatched:
      told.reason = message.unwatched().reason();
      break;
    default:
      break;
  }
  return told;
}

std::unique_ptr<SessionLink> SessionLink::open(SessionKind kind, const GatewayProcess& gateway) {
  std::unique_ptr<SessionLink> link;
  if (kind == SessionKind::kGrpc) {
    link = std::make_unique<GrpcLink>(gateway.grpc());
  } else {
    link = std::make_unique<WsLink>(kind == SessionKind::kProto, gateway.http());
  }
  EXPECT_EQ(link->next().op, "welcome");
  return link;
}

Told SessionLink::next(Milliseconds time) {
  const Deadline deadline(time);
  while (true) {
    Told told = receive(Milliseconds(deadline.left_ms()));
    if (told.op != "ping") return told;
  }
}

}  // namespace tidegate::test
