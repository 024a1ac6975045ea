#include "tests/api/api_fixture.h"

namespace tidegate::test {
namespace {

using Contents = std::vector<std::string>;

class PublishTest : public ApiTest {};

TEST_F(PublishTest, GivesThePlacesOfABatchAcrossStreams) {
  v1::PublishRequest request;
  add_event(request, "orders.1", "a");
  add_event(request, "orders.2", "b");
  add_event(request, "orders.1", "c");
  const v1::PublishResponse response = put(request);
  ASSERT_EQ(response.events_size(), 3);
  EXPECT_EQ(response.events(2).sequence(), 3u);
  EXPECT_EQ(response.events(2).revision(), 2u);
  EXPECT_EQ(response.events(1).revision(), 1u);
  EXPECT_FALSE(response.events(0).deduplicated());
  EXPECT_EQ(response.durability(), v1::DURABILITY_SYNCED);
  const Head head = store().tail().durable_head();
  EXPECT_EQ(response.position(), Position::at(store().log_id(), 3, head.chain).text());
  EXPECT_EQ(contents(), (Contents{"orders.1#1 a", "orders.2#1 b", "orders.1#2 c"}));
}

TEST_F(PublishTest, TheSameIdsKeepTheirPlaces) {
  put(publish_request("orders.1", "a", 3));
  v1::PublishRequest again = publish_request("orders.1", "a", 3);
  add_event(again, "orders.1", "new");
  const v1::PublishResponse response = put(again);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(response.events(i).deduplicated());
    EXPECT_EQ(response.events(i).sequence(), static_cast<std::uint64_t>(i + 1));
  }
  EXPECT_FALSE(response.events(3).deduplicated());
  EXPECT_EQ(contents().size(), 4u);
}

TEST_F(PublishTest, TheSameIdWithOtherContentIsRefused) {
  put(publish_request("orders.1", "a", 1));
  v1::PublishRequest other;
  add_event(other, "orders.1", "a1", "order.cancelled");
  const Failure failure = send(other);
  EXPECT_EQ(failure.code, grpc::ALREADY_EXISTS);
  EXPECT_EQ(failure.reason, "duplicate_id");
  EXPECT_EQ(contents().size(), 1u);
}

TEST_F(PublishTest, EveryFailingCheckIsReportedAndNothingIsAppended) {
  put(publish_request("orders.1", "a", 2));
  v1::PublishRequest request = publish_request("orders.2", "b", 1);
  const auto add_check = [&](const std::string& stream) {
    v1::Check* check = request.add_checks();
    check->set_stream(stream);
    return check;
  };
  add_check("orders.1")->set_revision(1);
  add_check("orders.1")->set_absent(true);
  add_check("orders.2")->set_absent(true);  // holds
  add_check("orders.9")->set_present(true);
  const Failure failure = send(request);
  EXPECT_EQ(failure.code, grpc::FAILED_PRECONDITION);
  EXPECT_EQ(failure.reason, "check_failed");
  EXPECT_EQ(failure.checks,
            (std::vector<std::string>{"REVISION orders.1", "ABSENT orders.1", "PRESENT orders.9"}));
  EXPECT_EQ(contents().size(), 2u);
}

TEST_F(PublishTest, ChecksThatHoldLetTheBatchThrough) {
  put(publish_request("orders.1", "a", 2));
  v1::PublishRequest request = publish_request("orders.1", "b", 1);
  request.add_checks()->set_stream("orders.1");
  request.mutable_checks(0)->set_revision(2);
  EXPECT_EQ(put(request).events(0).revision(), 3u);
}

TEST_F(PublishTest, OneBadEventRefusesTheWholeBatchWithItsIndex) {
  v1::PublishRequest request = publish_request("orders.1", "a", 5);
  request.mutable_events(3)->mutable_event()->clear_id();
  request.mutable_events(4)->set_stream("not a stream");
  const Failure failure = send(request);
  EXPECT_EQ(failure.code, grpc::INVALID_ARGUMENT);
  EXPECT_EQ(failure.reason, "bad_event");
  EXPECT_EQ(failure.fields, (std::vector<std::string>{"events[3].event.id", "events[4].stream"}));
  EXPECT_TRUE(contents().empty());
}

TEST_F(PublishTest, BufferedIsVisibleInTheAnswer) {
  v1::PublishRequest request = publish_request("orders.1", "a", 1);
  request.set_durability(v1::DURABILITY_BUFFERED);
  EXPECT_EQ(put(request).durability(), v1::DURABILITY_BUFFERED);
}

TEST_F(PublishTest, LowDiskSpaceRefusesWithADelayAndHeals) {
  free_bytes_ = options_.disk_soft_bytes / 2;
  int i = 0;
  Failure failure;
  ASSERT_TRUE(eventually([&] {
    failure = send(publish_request("orders.1", "x" + std::to_string(++i), 1));
    return failure.reason == "disk_low";
  }));
  EXPECT_EQ(failure.code, grpc::RESOURCE_EXHAUSTED);
  EXPECT_GT(failure.retry_ms, 0);
  free_bytes_ = std::uint64_t{1} << 40;
  EXPECT_TRUE(eventually([&] {
    return send(publish_request("orders.1", "x" + std::to_string(++i), 1)).reason == "ok";
  }));
}

TEST_F(PublishTest, ARetryAfterAMissedDeadlineStoresTheEventOnce) {
  for (int i = 0; i < 20; ++i) {
    const v1::PublishRequest request = publish_request("orders.1", fmt::format("{}-", i), 1);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::microseconds(100 * i));
    v1::PublishResponse response;
    const grpc::Status status = events_->Publish(&context, request, &response);
    EXPECT_TRUE(status.ok() || status.error_code() == grpc::DEADLINE_EXCEEDED)
        << status.error_message();
    put(request);
  }
  EXPECT_EQ(contents().size(), 20u);
}

TEST_F(PublishTest, DrainingRefusesNewRequests) {
  server_->begin_drain();
  const Failure failure = send(publish_request("orders.1", "a", 1));
  EXPECT_EQ(failure.code, grpc::UNAVAILABLE);
  EXPECT_EQ(failure.reason, "draining");
  EXPECT_GT(failure.retry_ms, 0);
}

}  // namespace
}  // namespace tidegate::test
