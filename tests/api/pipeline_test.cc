#include <thread>

#include "tests/api/api_fixture.h"

namespace tidegate::test {
namespace {

using Pipeline = grpc::ClientReaderWriter<v1::PublishPipelineRequest, v1::PublishPipelineResponse>;

class PipelineTest : public ApiTest {
 protected:
  std::unique_ptr<Pipeline> open_pipeline(grpc::ClientContext& context) {
    set_deadline(context);
    return events_->PublishPipeline(&context);
  }
  static v1::PublishPipelineRequest batch(std::uint64_t number, const std::string& stream,
                                          int events) {
    v1::PublishPipelineRequest request;
    request.set_batch(number);
    *request.mutable_request() = publish_request(stream, fmt::format("{}-", number), events);
    return request;
  }
  // Writes batches 1..count of a stream and expects the answers in order, each with ascending
  // revisions.
  void run_pipeline(const std::string& stream, std::uint64_t count, int events) {
    grpc::ClientContext context;
    const auto pipeline = open_pipeline(context);
    std::thread writer([&] {
      for (std::uint64_t i = 1; i <= count; ++i) {
        if (!pipeline->Write(batch(i, stream, events))) break;
      }
      pipeline->WritesDone();
    });
    v1::PublishPipelineResponse answer;
    std::uint64_t expected = 0;
    while (pipeline->Read(&answer)) {
      ASSERT_EQ(answer.batch(), ++expected);
      ASSERT_TRUE(answer.has_response()) << answer.error().message();
      ASSERT_EQ(answer.response().events_size(), events);
      ASSERT_EQ(answer.response().events(0).revision(),
                (expected - 1) * static_cast<std::uint64_t>(events) + 1);
    }
    writer.join();
    EXPECT_TRUE(pipeline->Finish().ok());
    EXPECT_EQ(expected, count);
  }
};

TEST_F(PipelineTest, Answers4000BatchesInOrder) {
  run_pipeline("orders.1", 4000, 5);
  EXPECT_EQ(store().tail().head(), 20000u);
}

TEST_F(PipelineTest, WaitsForRoomInsteadOfRefusing) {
  stop();
  // Room for one request at a time: whoever comes while one is queued is refused.
  options_.ingest_queue_bytes_max = 1;
  start();
  std::vector<std::thread> publishers;
  for (int i = 0; i < 3; ++i) {
    publishers.emplace_back([this, i] { run_pipeline(fmt::format("orders.{}", i), 400, 2); });
  }
  // Unary calls see the refusals that the pipelines wait out.
  int sent = 0;
  bool is_refused = false;
  for (; sent < 1000 && !is_refused; ++sent) {
    const Failure failure = send(publish_request("unary", fmt::format("{}-", sent), 1));
    is_refused = failure.reason == "overloaded";
    if (is_refused) {
      EXPECT_EQ(failure.code, grpc::RESOURCE_EXHAUSTED);
      EXPECT_GT(failure.retry_ms, 0);
    }
  }
  for (std::thread& publisher : publishers) publisher.join();
  EXPECT_TRUE(is_refused);
  EXPECT_EQ(store().tail().head(), 2400u + static_cast<std::uint64_t>(sent) - 1);
}

TEST_F(PipelineTest, ARefusedBatchIsAnsweredAndTheCallGoesOn) {
  grpc::ClientContext context;
  const auto pipeline = open_pipeline(context);
  v1::PublishPipelineRequest bad = batch(2, "orders.1", 2);
  bad.mutable_request()->mutable_events(1)->set_stream("orders.>");
  v1::PublishPipelineRequest checked = batch(3, "orders.1", 1);
  checked.mutable_request()->add_checks()->set_stream("orders.1");
  checked.mutable_request()->mutable_checks(0)->set_absent(true);
  pipeline->Write(batch(1, "orders.1", 1));
  pipeline->Write(bad);
  pipeline->Write(checked);
  pipeline->Write(batch(4, "orders.1", 1));
  pipeline->WritesDone();
  std::vector<std::string> outcomes;
  v1::PublishPipelineResponse answer;
  while (pipeline->Read(&answer)) {
    outcomes.push_back(
        fmt::format("{} {}", answer.batch(), answer.has_error() ? answer.error().code() : "ok"));
    if (answer.batch() == 2) {
      ASSERT_EQ(answer.error().details_size(), 1);
      EXPECT_EQ(answer.error().details(0).substr(0, 17), "events[1].stream:");
      EXPECT_FALSE(answer.error().retryable());
    }
  }
  EXPECT_TRUE(pipeline->Finish().ok());
  EXPECT_EQ(outcomes,
            (std::vector<std::string>{"1 ok", "2 bad_argument", "3 check_failed", "4 ok"}));
  EXPECT_EQ(contents(), (std::vector<std::string>{"orders.1#1 1-1", "orders.1#2 4-1"}));
}

TEST_F(PipelineTest, ACapacityRefusalEndsTheCall) {
  grpc::ClientContext context;
  const auto pipeline = open_pipeline(context);
  pipeline->Write(batch(1, "orders.1", 1));
  v1::PublishPipelineResponse answer;
  ASSERT_TRUE(pipeline->Read(&answer));
  EXPECT_EQ(answer.batch(), 1u);
  free_bytes_ = options_.disk_soft_bytes / 2;
  ASSERT_TRUE(eventually([&] { return store().status().disk_low; }));
  pipeline->Write(batch(2, "orders.1", 1));
  pipeline->Write(batch(3, "orders.1", 1));
  EXPECT_FALSE(pipeline->Read(&answer));
  const Failure failure = failure_of(pipeline->Finish());
  EXPECT_EQ(failure.reason, "disk_low");
  EXPECT_EQ(failure.code, grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(contents().size(), 1u);
}

TEST_F(PipelineTest, DrainingEndsAnIdleCall) {
  grpc::ClientContext context;
  const auto pipeline = open_pipeline(context);
  pipeline->Write(batch(1, "orders.1", 1));
  v1::PublishPipelineResponse answer;
  ASSERT_TRUE(pipeline->Read(&answer));
  server_->begin_drain();
  EXPECT_FALSE(pipeline->Read(&answer));
  EXPECT_EQ(failure_of(pipeline->Finish()).reason, "draining");
  grpc::ClientContext later;
  const auto refused = open_pipeline(later);
  EXPECT_FALSE(refused->Read(&answer));
  EXPECT_EQ(failure_of(refused->Finish()).reason, "draining");
}

TEST_F(PipelineTest, ACancelledCallLeavesWholeBatches) {
  for (int round = 0; round < 20; ++round) {
    grpc::ClientContext context;
    const auto pipeline = open_pipeline(context);
    const std::string stream = fmt::format("round.{}", round);
    for (std::uint64_t i = 1; i <= 30; ++i) pipeline->Write(batch(i, stream, 4));
    v1::PublishPipelineResponse answer;
    for (int i = 0; i < round; ++i) ASSERT_TRUE(pipeline->Read(&answer));
    context.TryCancel();
    while (pipeline->Read(&answer)) {
    }
    EXPECT_EQ(pipeline->Finish().error_code(), grpc::CANCELLED);
  }
  stop();
  std::map<std::string, std::size_t> per_stream;
  for (const std::string& line : contents()) ++per_stream[line.substr(0, line.find('#'))];
  for (int round = 0; round < 20; ++round) {
    const std::size_t events = per_stream[fmt::format("round.{}", round)];
    EXPECT_EQ(events % 4, 0u);
    EXPECT_GE(events, static_cast<std::size_t>(round) * 4) << "an answered batch is missing";
  }
}

TEST_F(PipelineTest, ShutdownEndsOpenCalls) {
  grpc::ClientContext context;
  const auto pipeline = open_pipeline(context);
  for (std::uint64_t i = 1; i <= 50; ++i) pipeline->Write(batch(i, "orders.1", 10));
  v1::PublishPipelineResponse answer;
  // A call that gRPC has not handed over yet is ended by gRPC itself, as cancelled; so is every
  // call when there is no patience.
  ASSERT_TRUE(pipeline->Read(&answer));
  server_->shutdown(kDeadline);
  while (pipeline->Read(&answer)) {
  }
  EXPECT_EQ(pipeline->Finish().error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(contents().size() % 10, 0u);
}

}  // namespace
}  // namespace tidegate::test
