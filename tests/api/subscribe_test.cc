#include "tests/api/api_fixture.h"
#include "tidegate/v1/session.pb.h"

namespace tidegate::test {
namespace {

using Session = grpc::ClientReaderWriter<v1::SubscribeRequest, v1::SubscribeResponse>;

class SubscribeTest : public ApiTest {
 protected:
  void SetUp() override {
    ApiTest::SetUp();
    set_deadline(context_);
    call_ = events_->Subscribe(&context_);
    ASSERT_TRUE(eventually([this] { return host_.peer() != nullptr; }));
  }
  void TearDown() override {
    context_.TryCancel();
    ApiTest::TearDown();
  }
  static v1::SubscribeRequest subscribe_op(const std::string& id) {
    v1::SubscribeRequest request;
    request.mutable_message()->mutable_subscribe()->set_id(id);
    request.mutable_message()->mutable_subscribe()->add_streams("orders.>");
    return request;
  }
  static std::string position_message(const std::string& position) {
    v1::ServerMessage message;
    message.mutable_position()->set_id("s");
    message.mutable_position()->set_position(position);
    return message.SerializeAsString();
  }

  grpc::ClientContext context_;
  std::unique_ptr<Session> call_;
};

TEST_F(SubscribeTest, MessagesPassUnchangedToTheSession) {
  for (const char* id : {"a", "b", "c"}) call_->Write(subscribe_op(id));
  ASSERT_TRUE(eventually([this] { return host_.messages().size() == 3; }));
  const auto messages = host_.messages();
  EXPECT_EQ(messages[0], subscribe_op("a").message().SerializeAsString());
  EXPECT_EQ(messages[2], subscribe_op("c").message().SerializeAsString());
}

TEST_F(SubscribeTest, MessagesOfTheSessionReachTheClientInOrder) {
  for (int i = 0; i < 200; ++i) {
    host_.peer()->send(position_message(std::to_string(i)));
    v1::SubscribeResponse response;
    ASSERT_TRUE(call_->Read(&response));
    EXPECT_EQ(response.message().position().position(), std::to_string(i));
    ASSERT_TRUE(eventually([&] { return host_.written() == i + 1; }));
  }
}

TEST_F(SubscribeTest, ALargeMessagePasses) {
  const std::string large(3 << 20, 'x');
  host_.peer()->send(position_message(large));
  v1::SubscribeResponse response;
  ASSERT_TRUE(call_->Read(&response));
  EXPECT_EQ(response.message().position().position(), large);
}

TEST_F(SubscribeTest, ReadingStopsAndGoesOn) {
  call_->Write(subscribe_op("a"));
  ASSERT_TRUE(eventually([this] { return host_.messages().size() == 1; }));
  host_.peer()->set_reading(false);
  // One read may be under way already; what comes after it waits.
  for (const char* id : {"b", "c", "d"}) call_->Write(subscribe_op(id));
  host_.peer()->send(position_message("1"));
  v1::SubscribeResponse response;
  ASSERT_TRUE(call_->Read(&response));
  EXPECT_LE(host_.messages().size(), 2u);
  host_.peer()->set_reading(true);
  EXPECT_TRUE(eventually([this] { return host_.messages().size() == 4; }));
}

TEST_F(SubscribeTest, AClientThatFinishedItsSideIsStillServed) {
  call_->Write(subscribe_op("a"));
  call_->WritesDone();
  ASSERT_TRUE(eventually([this] { return host_.messages().size() == 1; }));
  host_.peer()->send(position_message("7"));
  v1::SubscribeResponse response;
  ASSERT_TRUE(call_->Read(&response));
  EXPECT_EQ(response.message().position().position(), "7");
}

TEST_F(SubscribeTest, CancellingEndsTheSession) {
  context_.TryCancel();
  EXPECT_EQ(call_->Finish().error_code(), grpc::CANCELLED);
  EXPECT_TRUE(eventually([this] { return host_.ended() == 1; }));
  EXPECT_TRUE(eventually([this] { return host_.peer() == nullptr; }));
}

TEST_F(SubscribeTest, TheMessageBeforeACloseArrives) {
  const auto peer = host_.peer();
  peer->send(position_message("last"));
  peer->close(CloseCode::kDrain, "shutting down");
  peer->send(position_message("too late"));
  v1::SubscribeResponse response;
  ASSERT_TRUE(call_->Read(&response));
  EXPECT_EQ(response.message().position().position(), "last");
  EXPECT_FALSE(call_->Read(&response));
  const Failure failure = failure_of(call_->Finish());
  EXPECT_EQ(failure.reason, "draining");
  EXPECT_NE(failure.message.find("shutting down"), std::string::npos);
}

TEST_F(SubscribeTest, WhatAMessageSaysIsTheSessionsBusiness) {
  v1::SubscribeRequest no_text;
  no_text.mutable_message()->mutable_ack()->set_id(std::string("\xff\xfe"));
  call_->Write(no_text);
  ASSERT_TRUE(eventually([this] { return host_.messages().size() == 1; }));
  EXPECT_EQ(host_.messages()[0], no_text.message().SerializeAsString());
}

TEST_F(SubscribeTest, DrainingRefusesNewSessions) {
  server_->begin_drain();
  grpc::ClientContext context;
  set_deadline(context);
  const auto refused = events_->Subscribe(&context);
  v1::SubscribeResponse response;
  EXPECT_FALSE(refused->Read(&response));
  EXPECT_EQ(failure_of(refused->Finish()).reason, "draining");
  EXPECT_EQ(host_.opened(), 1);
}

struct CloseCase {
  CloseCode close;
  grpc::StatusCode status;
  const char* reason;
};

class CloseTest : public SubscribeTest, public ::testing::WithParamInterface<CloseCase> {};

TEST_P(CloseTest, CloseCodesBecomeStatuses) {
  host_.peer()->close(GetParam().close, "because");
  v1::SubscribeResponse response;
  EXPECT_FALSE(call_->Read(&response));
  const Failure failure = failure_of(call_->Finish());
  EXPECT_EQ(failure.code, GetParam().status);
  EXPECT_EQ(failure.reason, GetParam().reason);
}

INSTANTIATE_TEST_SUITE_P(
    Codes, CloseTest,
    ::testing::Values(CloseCase{CloseCode::kNormal, grpc::OK, "ok"},
                      CloseCase{CloseCode::kDrain, grpc::UNAVAILABLE, "draining"},
                      CloseCase{CloseCode::kBadMessage, grpc::INVALID_ARGUMENT, "bad_message"},
                      CloseCase{CloseCode::kProtocol, grpc::INVALID_ARGUMENT, "bad_message"},
                      CloseCase{CloseCode::kTooBig, grpc::INVALID_ARGUMENT, "limit"},
                      CloseCase{CloseCode::kUnauthenticated, grpc::UNAUTHENTICATED,
                                "unauthenticated"},
                      CloseCase{CloseCode::kForbidden, grpc::PERMISSION_DENIED, "forbidden"},
                      CloseCase{CloseCode::kNoProgress, grpc::RESOURCE_EXHAUSTED, "overloaded"},
                      CloseCase{CloseCode::kRateLimited, grpc::RESOURCE_EXHAUSTED, "rate_limited"},
                      CloseCase{CloseCode::kPolicy, grpc::RESOURCE_EXHAUSTED, "rate_limited"},
                      CloseCase{CloseCode::kInternal, grpc::INTERNAL, "internal"}),
    [](const auto& each) { return std::to_string(static_cast<int>(each.param.close)); });

}  // namespace
}  // namespace tidegate::test
