#include <future>

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>

#include "tests/api/api_fixture.h"

namespace tidegate::test {
namespace {

class ServerTest : public ApiTest {
 protected:
  static std::string text_of(const grpc::ByteBuffer& buffer) {
    std::vector<grpc::Slice> slices;
    EXPECT_TRUE(buffer.Dump(&slices).ok());
    std::string text;
    for (const grpc::Slice& slice : slices) {
      text.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    }
    return text;
  }
  // A unary call whose messages have no generated code here.
  grpc::Status call_raw(const std::string& method, const std::string& request,
                        std::string& response) {
    grpc::GenericStub stub(channel_);
    grpc::ClientContext context;
    set_deadline(context);
    grpc::Slice slice(request);
    grpc::ByteBuffer in(&slice, 1);
    grpc::ByteBuffer out;
    std::promise<grpc::Status> done;
    stub.UnaryCall(&context, method, {}, &in, &out,
                   [&](grpc::Status status) { done.set_value(status); });
    const grpc::Status status = done.get_future().get();
    response = status.ok() ? text_of(out) : "";
    return status;
  }
};

TEST_F(ServerTest, HealthFollowsTheDrain) {
  const std::string method = "/grpc.health.v1.Health/Check";
  std::string response;
  ASSERT_TRUE(call_raw(method, "", response).ok());
  EXPECT_EQ(response, std::string("\x08\x01"));  // status: SERVING
  server_->begin_drain();
  ASSERT_TRUE(call_raw(method, "", response).ok());
  EXPECT_EQ(response, std::string("\x08\x02"));  // status: NOT_SERVING
}

// Sends one request on the reflection stream and gives the answer back.
class ReflectionCall final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  ReflectionCall(grpc::GenericStub& stub, const std::string& request) {
    grpc::Slice slice(request);
    request_ = grpc::ByteBuffer(&slice, 1);
    context_.set_deadline(std::chrono::system_clock::now() + kDeadline);
    stub.PrepareBidiStreamingCall(
        &context_, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", {}, this);
    StartWriteLast(&request_, {});
    StartRead(&response_);
    StartCall();
  }
  void OnDone(const grpc::Status& status) override { done_.set_value(status); }
  grpc::Status wait() { return done_.get_future().get(); }
  const grpc::ByteBuffer& response() const { return response_; }

 private:
  grpc::ClientContext context_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
  std::promise<grpc::Status> done_;
};

TEST_F(ServerTest, ReflectionListsTheServices) {
  grpc::GenericStub stub(channel_);
  ReflectionCall reflection(stub, std::string("\x3a\x01*"));  // list_services: "*"
  ASSERT_TRUE(reflection.wait().ok());
  const std::string answer = text_of(reflection.response());
  for (const char* service :
       {"tidegate.v1.EventService", "tidegate.v1.StreamService", "tidegate.v1.CursorService",
        "tidegate.v1.ProjectionService", "tidegate.v1.AdminService", "grpc.health.v1.Health"}) {
    EXPECT_NE(answer.find(service), std::string::npos) << service;
  }
}

TEST_F(ServerTest, AnAddressInUseIsNamed) {
  GrpcServer second({address_, "x"}, store(), host_, nullptr, authority_,
                    [] { return DeliveryCounts{}; });
  const auto started = second.start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, Code::kUnavailable);
  EXPECT_NE(started.error().message.find(address_), std::string::npos) << started.error().message;
  EXPECT_NE(started.error().message.find("in use"), std::string::npos) << started.error().message;
  // The first one does not notice.
  put(publish_request("orders.1", "a", 1));
}

TEST_F(ServerTest, BadAddressesAreRefused) {
  for (const char* listen :
       {"", "localhost", ":7090", "127.0.0.1:", "no.such.host.invalid:0", "127.0.0.1:99999"}) {
    GrpcServer server({listen, "x"}, store(), host_, nullptr, authority_,
                      [] { return DeliveryCounts{}; });
    EXPECT_FALSE(server.start()) << listen;
  }
}

TEST_F(ServerTest, AnUnknownMethodIsUnimplemented) {
  std::string response;
  EXPECT_EQ(call_raw("/tidegate.v1.EventService/Nothing", "", response).error_code(),
            grpc::UNIMPLEMENTED);
  EXPECT_EQ(call_raw("/tidegate.v2.EventService/Publish", "", response).error_code(),
            grpc::UNIMPLEMENTED);
  // The client's names are not kept.
  EXPECT_EQ(calls_.all(), (std::map<std::string, int>{{"other UNIMPLEMENTED", 2}}));
}

TEST_F(ServerTest, BytesThatAreNoRequestAreABadMessage) {
  std::string response;
  const std::string method = "/tidegate.v1.EventService/Publish";
  std::string nested;  // unknown groups, 1,000 deep
  for (int i = 0; i < 1000; ++i) nested += '\x7b';
  for (const std::string& request : {std::string("\xff\xff\xff"), std::string("\x0a\x7f"), nested,
                                     std::string("\x0a\x04\x0a\x02\xff\xfe")}) {
    const Failure failure = failure_of(call_raw(method, request, response));
    EXPECT_EQ(failure.code, grpc::INVALID_ARGUMENT);
    EXPECT_EQ(failure.reason, "bad_message");
  }
  put(publish_request("orders.1", "a", 1));
}

TEST_F(ServerTest, TooLargeMessagesAndMetadataHarmNobody) {
  v1::PublishRequest huge = publish_request("orders.1", "a", 1);
  huge.mutable_events(0)->mutable_event()->set_text_data(std::string(6 << 20, 'x'));
  EXPECT_EQ(send(huge).code, grpc::RESOURCE_EXHAUSTED);
  grpc::ClientContext context;
  set_deadline(context);
  context.AddMetadata("x-large", std::string(64 << 10, 'x'));
  v1::GetStatusResponse response;
  EXPECT_FALSE(admin_->GetStatus(&context, {}, &response).ok());
  // The connection that sent it may be closed for that; the next one works.
  EXPECT_TRUE(eventually([&] { return send(publish_request("orders.1", "b", 1)).reason == "ok"; }));
  EXPECT_EQ(contents().size(), 1u);
}

}  // namespace
}  // namespace tidegate::test
