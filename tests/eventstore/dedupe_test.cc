#include "tests/support/store_fixture.h"

namespace tidegate::test {
namespace {

using Kind = Check::Kind;

class DedupeTest : public StoreTest {
 protected:
  // Sequences of the answer; known events are marked with a minus.
  std::vector<std::int64_t> places(const Result<AppendResult>& result) {
    std::vector<std::int64_t> out;
    EXPECT_TRUE(result) << (result ? "" : result.error().message);
    if (!result) return out;
    for (const Appended& event : result->events) {
      const auto sequence = static_cast<std::int64_t>(event.sequence);
      out.push_back(event.deduplicated ? -sequence : sequence);
    }
    return out;
  }
  using Places = std::vector<std::int64_t>;
};

TEST_F(DedupeTest, ARepeatedRequestKeepsItsPlaces) {
  EXPECT_EQ(places(publish(make_events("a", "n", 3))), (Places{1, 2, 3}));
  const auto repeated = publish(make_events("a", "n", 3));
  EXPECT_EQ(places(repeated), (Places{-1, -2, -3}));
  EXPECT_EQ(repeated->events[1].revision, 2u);
  EXPECT_EQ(repeated->position.sequence, 3u);
  EXPECT_EQ(contents().size(), 3u);
}

TEST_F(DedupeTest, NewEventsOfAMixedRequestAreAppended) {
  EXPECT_EQ(places(publish({make_event("a", "1"), make_event("a", "2")})), (Places{1, 2}));
  const auto mixed = publish({make_event("a", "2"), make_event("a", "3"), make_event("a", "1")});
  EXPECT_EQ(places(mixed), (Places{-2, 3, -1}));
  EXPECT_EQ(mixed->events[1].revision, 3u);
}

TEST_F(DedupeTest, ThePositionOfAnAnswerIsAfterItsLastEvent) {
  ASSERT_TRUE(publish({make_event("a", "1")}));
  const auto first = publish({make_event("a", "2")});
  ASSERT_TRUE(publish({make_event("a", "3")}));
  const auto again = publish({make_event("a", "2")});
  ASSERT_TRUE(first && again);
  EXPECT_EQ(again->position, first->position);
}

TEST_F(DedupeTest, ThePositionOfAnAnswerIsAfterTheNewestOfItsEvents) {
  const auto last = publish(make_events("a", "n", 3));
  const auto again = publish({make_event("a", "n3"), make_event("a", "n1")});
  EXPECT_EQ(places(again), (Places{-3, -1}));
  ASSERT_TRUE(last && again);
  EXPECT_EQ(again->position, last->position);
}

TEST_F(DedupeTest, ARepetitionWithinARequestIsOneEvent) {
  EXPECT_EQ(places(publish({make_event("a", "1"), make_event("a", "1"), make_event("a", "2")})),
            (Places{1, -1, 2}));
  EXPECT_EQ(contents().size(), 2u);
}

TEST_F(DedupeTest, TheKeyIsStreamSourceAndId) {
  const EventBuilder base{.id = "1", .stream = "a"};
  EventBuilder other_stream = base;
  other_stream.stream = "b";
  EventBuilder other_source = base;
  other_source.source = "/other";
  EXPECT_EQ(places(publish({base.build(), other_stream.build(), other_source.build()})),
            (Places{1, 2, 3}));
  // The boundary between source and id counts.
  EXPECT_EQ(places(publish({EventBuilder{.id = "bc", .stream = "a", .source = "a"}.build(),
                            EventBuilder{.id = "c", .stream = "a", .source = "ab"}.build()})),
            (Places{4, 5}));
}

TEST_F(DedupeTest, TheSameKeyWithOtherContentIsRefused) {
  const EventBuilder base{.id = "1", .stream = "a", .data = "1"};
  EventBuilder changed = base;
  changed.data = "2";
  ASSERT_TRUE(publish({base.build()}));
  for (const auto& batch : {std::vector<NewEvent>{changed.build()},
                            std::vector<NewEvent>{make_event("a", "new"), changed.build()}}) {
    const auto refused = publish(batch);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::kDuplicateId);
  }
  EXPECT_EQ(contents().size(), 1u) << "a refused request is appended in part";
  changed.type = "order.changed";
  changed.data = base.data;
  EXPECT_FALSE(publish({changed.build()}));
}

TEST_F(DedupeTest, OtherContentWithinARequestIsRefused) {
  const auto refused = publish(
      {EventBuilder{.id = "1", .data = "1"}.build(), EventBuilder{.id = "1", .data = "2"}.build()});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kDuplicateId);
  EXPECT_TRUE(contents().empty());
  EXPECT_TRUE(publish({EventBuilder{.id = "1", .data = "3"}.build()}))
      << "a refused event is remembered";
}

TEST_F(DedupeTest, KnownEventsAreFoundBeforeTheChecksAreJudged) {
  const std::vector<Check> absent = {{"a", Kind::kAbsent}};
  EXPECT_EQ(places(publish({make_event("a", "1")}, absent)), (Places{1}));
  EXPECT_EQ(places(publish({make_event("a", "1")}, absent)), (Places{-1}))
      << "a retry of an accepted request must be accepted";
  const auto mixed = publish({make_event("a", "1"), make_event("a", "2")}, absent);
  ASSERT_FALSE(mixed) << "new events need the checks";
  EXPECT_EQ(mixed.error().code, Code::kCheckFailed);
}

TEST_F(DedupeTest, HoldsAcrossRestarts) {
  EXPECT_EQ(places(publish(make_events("a", "n", 5))), (Places{1, 2, 3, 4, 5}));
  reopen();
  EXPECT_EQ(places(publish(make_events("a", "n", 6))), (Places{-1, -2, -3, -4, -5, 6}));
  EXPECT_EQ(publish(make_events("a", "n", 5))->events[4].revision, 5u);
  const auto refused = publish({EventBuilder{.id = "n3", .stream = "a", .data = "other"}.build()});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kDuplicateId);
}

TEST_F(DedupeTest, HoldsAfterACrash) {
  EXPECT_EQ(places(publish(make_events("a", "n", 5))), (Places{1, 2, 3, 4, 5}));
  expects_fatal_ = true;
  disk_->cut(SimulatedDisk::Cut::kPower);
  close();
  disk_->restart();
  open();
  EXPECT_EQ(places(publish(make_events("a", "n", 5))), (Places{-1, -2, -3, -4, -5}));
  EXPECT_EQ(check_invariants(*store_), std::vector<std::string>{});
}

TEST_F(DedupeTest, ForgetsOnlyWhatIsOlderThanTheWindow) {
  options_.dedupe_events = 64;
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(publish(make_events("a", std::to_string(i) + "-", 10)));
  for (int i = 34; i < 40; ++i) {
    for (const auto& place : places(publish(make_events("a", std::to_string(i) + "-", 10))))
      EXPECT_LT(place, 0);
  }
  reopen();
  for (const auto& place : places(publish(make_events("a", "39-", 10)))) EXPECT_LT(place, 0);
}

TEST_F(DedupeTest, RacingRepetitionsAreAppendedOnce) {
  EventStore& store = open();
  std::vector<std::unique_ptr<PendingAppend>> pending;
  for (int i = 0; i < 64; ++i) {
    pending.push_back(
        std::make_unique<PendingAppend>(make_events("a", "n", 4), std::vector<Check>{},
                                        i % 3 == 0 ? Durability::kBuffered : Durability::kSynced));
    ASSERT_TRUE(pending.back()->queue(store));
  }
  std::size_t fresh = 0;
  for (const auto& append : pending) {
    for (const std::int64_t place : places(append->wait())) fresh += place > 0 ? 1 : 0;
  }
  EXPECT_EQ(fresh, 4u);
  EXPECT_TRUE(eventually([&] { return store.tail().head() == 4; }));
}

}  // namespace
}  // namespace tidegate::test
