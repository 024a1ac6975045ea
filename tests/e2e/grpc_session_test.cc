// Sessions over gRPC's Subscribe: the same protocol as the WebSocket, on the same loops.

#include <csignal>
#include <memory>
#include <string>

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "tests/support/gateway_process.h"
#include "tests/support/ws_client.h"
#include "tidegate/v1/event_service.grpc.pb.h"

namespace tidegate::test {
namespace {

// One Subscribe call, cancelled when it goes.
class Subscriber {
 public:
  explicit Subscriber(const std::string& address)
      : stub_(v1::EventService::NewStub(
            grpc::CreateChannel(address, grpc::InsecureChannelCredentials()))) {
    context_.set_deadline(std::chrono::system_clock::now() + kPatience);
    stream_ = stub_->Subscribe(&context_);
  }
  ~Subscriber() {
    context_.TryCancel();
    if (!is_ended_) stream_->Finish();
  }
  Subscriber(const Subscriber&) = delete;
  Subscriber& operator=(const Subscriber&) = delete;

  void send(const v1::ClientMessage& message) {
    v1::SubscribeRequest request;
    *request.mutable_message() = message;
    EXPECT_TRUE(stream_->Write(request));
  }

  // The next message but pings and positions.
  v1::ServerMessage next() {
    v1::SubscribeResponse response;
    while (stream_->Read(&response)) {
      if (!response.message().has_ping() && !response.message().has_position()) break;
    }
    return response.message();
  }

  // The end of the call, when the gateway has ended it.
  grpc::Status end() {
    is_ended_ = true;
    return stream_->Finish();
  }

 private:
  std::unique_ptr<v1::EventService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::SubscribeRequest, v1::SubscribeResponse>> stream_;
  bool is_ended_ = false;
};

v1::ClientMessage subscribe_from_start() {
  v1::ClientMessage message;
  message.mutable_subscribe()->set_id("s");
  message.mutable_subscribe()->add_streams("a.>");
  message.mutable_subscribe()->mutable_start()->set_after_sequence(0);
  return message;
}

void publish(WsClient& client, int id) {
  client.send_text(
      R"({"op":"publish","request":"r","stream":"a.b","event":{"specversion":"1.0","source":"/s","type":"t","id":")" +
      std::to_string(id) + "\"}}");
  client.expect("published");
}

bool has_metric(const GatewayProcess& gateway, const std::string& line) {
  const Deadline deadline(kPatience);
  do {
    if (http_get(gateway.admin(), "/metrics").body.find(line + "\n") != std::string::npos)
      return true;
  } while (!deadline.is_over());
  return false;
}

TEST(GrpcSessionTest, DeliversOldAndNewEventsAndEndsWithItsClient) {
  GatewayProcess gateway;
  WsClient publisher = WsClient::connect(gateway.http());
  publisher.expect("welcome");
  publish(publisher, 1);
  {
    Subscriber subscriber(gateway.grpc());
    EXPECT_TRUE(subscriber.next().has_welcome());
    subscriber.send(subscribe_from_start());
    EXPECT_EQ(subscriber.next().subscribed().behind(), 1U);
    EXPECT_EQ(subscriber.next().events().events(0).sequence(), 1U);
    EXPECT_TRUE(subscriber.next().has_caught_up());
    publish(publisher, 2);
    EXPECT_EQ(subscriber.next().events().events(0).sequence(), 2U);
    EXPECT_TRUE(has_metric(gateway, "tidegate_connections{transport=\"grpc\"} 1"));
  }
  EXPECT_TRUE(has_metric(gateway, "tidegate_connections{transport=\"grpc\"} 0"));
  EXPECT_TRUE(has_metric(gateway, "tidegate_subscriptions 0"));
  publish(publisher, 3);
}

// The gateway takes messages no faster than its loop handles them, and loses none.
TEST(GrpcSessionTest, AnswersMessagesThatComeFasterThanTheyAreHandled) {
  GatewayProcess gateway;
  Subscriber subscriber(gateway.grpc());
  EXPECT_TRUE(subscriber.next().has_welcome());
  v1::ClientMessage message;
  auto& op = *message.mutable_publish();
  op.set_stream("a.b");
  auto& event = *op.mutable_event();
  event.set_spec_version("1.0");
  event.set_source("/s");
  event.set_type("t");
  event.set_binary_data(std::string(200'000, 'x'));
  constexpr int kMessages = 60;
  for (int i = 0; i < kMessages; ++i) {
    op.set_request(std::to_string(i));
    event.set_id(std::to_string(i));
    subscriber.send(message);
  }
  for (int i = 0; i < kMessages; ++i) {
    EXPECT_EQ(subscriber.next().published().request(), std::to_string(i));
  }
}

TEST(GrpcSessionTest, IsClosedByADrain) {
  GatewayProcess gateway;
  Subscriber subscriber(gateway.grpc());
  EXPECT_TRUE(subscriber.next().has_welcome());
  gateway.process().signal(SIGTERM);
  EXPECT_TRUE(subscriber.next().has_closing());
  EXPECT_EQ(subscriber.end().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(gateway.process().wait_exit(), 0);
}

}  // namespace
}  // namespace tidegate::test
