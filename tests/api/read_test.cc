#include <algorithm>
#include <functional>

#include "tests/api/api_fixture.h"

namespace tidegate::test {
namespace {

class ReadTest : public ApiTest {
 protected:
  struct Outcome {
    std::vector<std::uint64_t> sequences;
    std::string position;
    int messages = 0;
    Failure failure;
  };

  Outcome read(const v1::ReadRequest& request) {
    Outcome outcome;
    grpc::ClientContext context;
    set_deadline(context);
    const auto reader = events_->Read(&context, request);
    v1::ReadResponse response;
    while (reader->Read(&response)) {
      ++outcome.messages;
      EXPECT_LE(response.events_size(), 256);
      EXPECT_FALSE(response.position().empty());
      outcome.position = response.position();
      for (const v1::RecordedEvent& event : response.events())
        outcome.sequences.push_back(event.sequence());
    }
    outcome.failure = failure_of(reader->Finish());
    return outcome;
  }
  // Events 1..10, alternating between two streams, one second apart from TestClock::kStart + 1 s
  // on.
  void fill_ten() {
    for (int i = 1; i <= 10; ++i) {
      clock_.advance_us(1'000'000);
      put(publish_request(i % 2 == 1 ? "odd.1" : "even.1", fmt::format("{}-", i), 1));
    }
  }
  std::string position(Sequence sequence) { return store().reader().position_at(sequence)->text(); }
};

using Sequences = std::vector<std::uint64_t>;

TEST_F(ReadTest, AnEmptyLogGivesAPosition) {
  const Outcome outcome = read({});
  EXPECT_EQ(outcome.failure.reason, "ok");
  EXPECT_TRUE(outcome.sequences.empty());
  EXPECT_EQ(outcome.position, position(0));
}

TEST_F(ReadTest, GivesEventsAsTheyWerePublished) {
  clock_.advance_us(1'234'567);
  put(publish_request("orders.1", "a", 1));
  grpc::ClientContext context;
  set_deadline(context);
  const auto reader = events_->Read(&context, {});
  v1::ReadResponse response;
  ASSERT_TRUE(reader->Read(&response));
  ASSERT_EQ(response.events_size(), 1);
  const v1::RecordedEvent& event = response.events(0);
  EXPECT_EQ(event.stream(), "orders.1");
  EXPECT_EQ(event.revision(), 1u);
  EXPECT_EQ(event.time().seconds(), TestClock::kStart / 1'000'000 + 1);
  EXPECT_EQ(event.time().nanos(), 234'567'000);
  EXPECT_EQ(event.event().id(), "a1");
  EXPECT_EQ(event.event().spec_version(), "1.0");
  EXPECT_EQ(event.event().text_data(), "{}");
}

TEST_F(ReadTest, LongReadsComeInSeveralMessagesInBothDirections) {
  for (int i = 0; i < 3; ++i) put(publish_request("orders.1", fmt::format("{}-", i), 1000));
  v1::ReadRequest request;
  const Outcome forward = read(request);
  EXPECT_EQ(forward.failure.reason, "ok");
  EXPECT_GE(forward.messages, 12);
  EXPECT_EQ(forward.position, position(3000));
  request.set_direction(v1::DIRECTION_BACKWARD);
  const Outcome backward = read(request);
  EXPECT_EQ(backward.failure.reason, "ok");
  EXPECT_EQ(backward.position, position(0));
  Sequences all(3000);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i + 1;
  EXPECT_EQ(forward.sequences, all);
  EXPECT_EQ(backward.sequences, Sequences(all.rbegin(), all.rend()));
}

TEST_F(ReadTest, LargeEventsTravelAlone) {
  for (int i = 0; i < 5; ++i) {
    v1::PublishRequest request = publish_request("orders.1", fmt::format("{}-", i), 1);
    request.mutable_events(0)->mutable_event()->set_text_data('"' + std::string(300'000, 'x') +
                                                              '"');
    put(request);
  }
  const Outcome outcome = read({});
  EXPECT_EQ(outcome.sequences, (Sequences{1, 2, 3, 4, 5}));
  EXPECT_EQ(outcome.messages, 5);
}

struct ReadCase {
  const char* name;
  std::function<void(v1::ReadRequest&)> ask;
  Sequences expected;
  Sequence position;  // of the last message
};

class ReadCaseTest : public ReadTest, public ::testing::WithParamInterface<ReadCase> {};

TEST_P(ReadCaseTest, GivesTheRightPart) {
  fill_ten();
  v1::ReadRequest request;
  GetParam().ask(request);
  const Outcome outcome = read(request);
  EXPECT_EQ(outcome.failure.reason, "ok") << outcome.failure.message;
  EXPECT_EQ(outcome.sequences, GetParam().expected);
  EXPECT_EQ(outcome.position, position(GetParam().position));
}

void second(google::protobuf::Timestamp& time, int value) {
  time.set_seconds(TestClock::kStart / 1'000'000 + value);
}

INSTANTIATE_TEST_SUITE_P(
    Places, ReadCaseTest,
    ::testing::Values(
        ReadCase{"exact_stream",
                 [](v1::ReadRequest& r) { r.mutable_filter()->add_streams("odd.1"); },
                 {1, 3, 5, 7, 9},
                 10},
        ReadCase{"pattern",
                 [](v1::ReadRequest& r) { r.mutable_filter()->add_streams("*.1"); },
                 {1, 2, 3, 4, 5, 6, 7, 8, 9, 10},
                 10},
        ReadCase{"no_match",
                 [](v1::ReadRequest& r) { r.mutable_filter()->add_streams("none"); },
                 {},
                 10},
        ReadCase{"other_type",
                 [](v1::ReadRequest& r) { r.mutable_filter()->add_types("other"); },
                 {},
                 10},
        ReadCase{"after_sequence",
                 [](v1::ReadRequest& r) { r.mutable_start()->set_after_sequence(7); },
                 {8, 9, 10},
                 10},
        ReadCase{"from_time",
                 [](v1::ReadRequest& r) { second(*r.mutable_start()->mutable_from_time(), 8); },
                 {8, 9, 10},
                 10},
        ReadCase{"last_matching",
                 [](v1::ReadRequest& r) {
                   r.mutable_start()->set_last(2);
                   r.mutable_filter()->add_streams("odd.1");
                 },
                 {7, 9},
                 10},
        ReadCase{
            "head", [](v1::ReadRequest& r) { r.mutable_start()->set_edge(v1::EDGE_HEAD); }, {}, 10},
        ReadCase{"until_sequence",
                 [](v1::ReadRequest& r) {
                   r.set_until_sequence(4);
                   r.mutable_filter()->add_streams("odd.1");
                 },
                 {1, 3},
                 4},
        ReadCase{"until_time",
                 [](v1::ReadRequest& r) { second(*r.mutable_until_time(), 3); },
                 {1, 2, 3},
                 3},
        ReadCase{"until_before_the_start",
                 [](v1::ReadRequest& r) {
                   r.mutable_start()->set_after_sequence(8);
                   r.set_until_sequence(3);
                 },
                 {},
                 8},
        ReadCase{"limit",
                 [](v1::ReadRequest& r) {
                   r.set_limit(2);
                   r.mutable_filter()->add_streams("even.1");
                 },
                 {2, 4},
                 4},
        ReadCase{"backward",
                 [](v1::ReadRequest& r) { r.set_direction(v1::DIRECTION_BACKWARD); },
                 {10, 9, 8, 7, 6, 5, 4, 3, 2, 1},
                 0},
        ReadCase{"backward_limit",
                 [](v1::ReadRequest& r) {
                   r.set_direction(v1::DIRECTION_BACKWARD);
                   r.set_limit(3);
                   r.mutable_filter()->add_streams("odd.1");
                 },
                 {9, 7, 5},
                 4},
        ReadCase{"backward_after_until",
                 [](v1::ReadRequest& r) {
                   r.set_direction(v1::DIRECTION_BACKWARD);
                   r.mutable_start()->set_after_sequence(6);
                   r.set_until_sequence(4);
                 },
                 {6, 5, 4},
                 3},
        ReadCase{"backward_times",
                 [](v1::ReadRequest& r) {
                   r.set_direction(v1::DIRECTION_BACKWARD);
                   second(*r.mutable_start()->mutable_from_time(), 6);
                   second(*r.mutable_until_time(), 4);
                 },
                 {6, 5, 4},
                 3},
        ReadCase{"backward_from_the_start",
                 [](v1::ReadRequest& r) {
                   r.set_direction(v1::DIRECTION_BACKWARD);
                   r.mutable_start()->set_edge(v1::EDGE_START);
                 },
                 {},
                 0}),
    [](const auto& each) { return std::string(each.param.name); });

TEST_F(ReadTest, PositionsContinueAReadInEitherDirection) {
  fill_ten();
  for (const v1::Direction direction : {v1::DIRECTION_FORWARD, v1::DIRECTION_BACKWARD}) {
    v1::ReadRequest request;
    request.set_direction(direction);
    request.set_limit(3);
    Sequences all;
    for (int page = 0; page < 4; ++page) {
      const Outcome outcome = read(request);
      ASSERT_EQ(outcome.failure.reason, "ok");
      all.insert(all.end(), outcome.sequences.begin(), outcome.sequences.end());
      request.mutable_start()->set_after(outcome.position);
    }
    EXPECT_EQ(all.size(), 10u);
    EXPECT_TRUE(direction == v1::DIRECTION_FORWARD ? std::is_sorted(all.begin(), all.end())
                                                   : std::is_sorted(all.rbegin(), all.rend()));
  }
}

TEST_F(ReadTest, APlaceBelowTheFloorIsRefusedWithTheFloor) {
  fill_ten();
  store().wait_for_index();
  ASSERT_TRUE(store().trim(6));
  v1::ReadRequest request;
  request.mutable_start()->set_after_sequence(2);
  const Failure failure = read(request).failure;
  EXPECT_EQ(failure.code, grpc::OUT_OF_RANGE);
  EXPECT_EQ(failure.reason, "trimmed");
  EXPECT_EQ(failure.facts.at("floor"), std::to_string(store().floor()));
  // From the start and backward there is no gap.
  EXPECT_EQ(read({}).sequences.front(), store().floor());
  v1::ReadRequest backward;
  backward.set_direction(v1::DIRECTION_BACKWARD);
  EXPECT_EQ(read(backward).sequences.back(), store().floor());
}

TEST_F(ReadTest, AnotherHistoryIsRefused) {
  fill_ten();
  Position foreign = *store().reader().position_at(5);
  foreign.check ^= 1;
  v1::ReadRequest request;
  request.mutable_start()->set_after(foreign.text());
  Failure failure = read(request).failure;
  EXPECT_EQ(failure.code, grpc::FAILED_PRECONDITION);
  EXPECT_EQ(failure.reason, "history_mismatch");
  EXPECT_EQ(failure.facts.at("reason"), "rewound");
  foreign = {LogId::random(), 5, 1};
  request.mutable_start()->set_after(foreign.text());
  EXPECT_EQ(read(request).failure.facts.at("reason"), "unknown_log");
}

TEST_F(ReadTest, ACancelledReadStops) {
  for (int i = 0; i < 5; ++i) put(publish_request("orders.1", fmt::format("{}-", i), 1000));
  for (int round = 0; round < 10; ++round) {
    grpc::ClientContext context;
    const auto reader = events_->Read(&context, {});
    v1::ReadResponse response;
    ASSERT_TRUE(reader->Read(&response));
    context.TryCancel();
    EXPECT_EQ(reader->Finish().error_code(), grpc::CANCELLED);
  }
  // Shutdown would wait for a call that did not end.
  stop();
}

}  // namespace
}  // namespace tidegate::test
