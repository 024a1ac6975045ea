// What the server tells its probe of calls.

#include "tests/api/api_fixture.h"

namespace tidegate::test {
namespace {

using Counts = std::map<std::string, int>;

class CallCounterTest : public ApiTest {
 protected:
  // One pipeline with so many batches.
  void publish_batches(int count) {
    grpc::ClientContext context;
    set_deadline(context);
    const auto pipeline = events_->PublishPipeline(&context);
    v1::PublishPipelineRequest request;
    v1::PublishPipelineResponse answer;
    for (int i = 0; i < count; ++i) {
      *request.mutable_request() = publish_request("orders.1", fmt::format("{}-", i), 1);
      ASSERT_TRUE(pipeline->Write(request));
      ASSERT_TRUE(pipeline->Read(&answer));
    }
    pipeline->WritesDone();
    EXPECT_TRUE(pipeline->Finish().ok());
  }
};

TEST_F(CallCounterTest, ACallCountsOnceWithItsStatusHoweverManyMessagesItHas) {
  put(publish_request("orders.1", "a", 1));
  put(publish_request("orders.1", "b", 1));
  send({});
  publish_batches(10);
  v1::GetStreamResponse none;
  v1::GetStreamRequest request;
  request.set_name("none");
  call(*streams_, &v1::StreamService::Stub::GetStream, request, none);
  EXPECT_EQ(calls_.all(), (Counts{{"EventService/Publish OK", 2},
                                  {"EventService/Publish INVALID_ARGUMENT", 1},
                                  {"EventService/PublishPipeline OK", 1},
                                  {"StreamService/GetStream NOT_FOUND", 1}}));
}

TEST_F(CallCounterTest, WhoIsRefusedCountsInEveryKindOfCall) {
  authority_.know("reader", Principal());
  send(publish_request("orders.1", "a", 1));
  grpc::ClientContext reading;
  set_deadline(reading);
  reading.AddMetadata("authorization", "Bearer reader");
  events_->Read(&reading, {})->Finish();
  grpc::ClientContext subscribing;
  set_deadline(subscribing);
  events_->Subscribe(&subscribing)->Finish();
  EXPECT_EQ(calls_.all(), (Counts{{"EventService/Publish UNAUTHENTICATED", 1},
                                  {"EventService/Read PERMISSION_DENIED", 1},
                                  {"EventService/Subscribe UNAUTHENTICATED", 1}}));
}

TEST_F(CallCounterTest, ACallThatTheClientLeavesIsCancelled) {
  grpc::ClientContext context;
  const auto session = events_->Subscribe(&context);
  ASSERT_TRUE(eventually([&] { return host_.opened() == 1; }));
  context.TryCancel();
  EXPECT_TRUE(eventually([&] {
    return calls_.all() == Counts{{"EventService/Subscribe CANCELLED", 1}};
  }));
  session->Finish();
}

}  // namespace
}  // namespace tidegate::test
