#include <functional>

#include "tests/support/store_fixture.h"

namespace tidegate::test {
namespace {

using Kind = Check::Kind;
using Contents = std::vector<std::string>;

class AppendTest : public StoreTest {};

TEST_F(AppendTest, GivesSequencesRevisionsAndThePosition) {
  const auto result =
      publish({make_event("a.1", "x"), make_event("b.1", "y"), make_event("a.1", "z")});
  ASSERT_TRUE(result);
  ASSERT_EQ(result->events.size(), 3u);
  const std::vector<std::pair<Sequence, Revision>> expected = {{1, 1}, {2, 1}, {3, 2}};
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(result->events[i].sequence, expected[i].first);
    EXPECT_EQ(result->events[i].revision, expected[i].second);
    EXPECT_FALSE(result->events[i].deduplicated);
  }
  EXPECT_EQ(result->durability, Durability::kSynced);
  EXPECT_EQ(result->position,
            Position::at(store().log_id(), 3, store().tail().durable_head().chain));
  EXPECT_EQ(contents(), (Contents{"a.1#1 x", "b.1#1 y", "a.1#2 z"}));
}

TEST_F(AppendTest, AnAnsweredEventIsVisibleAlready) {
  for (int i = 1; i <= 20; ++i) {
    const Sequence last = fill("a", 1);
    EXPECT_GE(store().tail().head(), last);
  }
}

TEST_F(AppendTest, KeepsEventBytesVerbatim) {
  const NewEvent event =
      EventBuilder{.id = "x", .data = std::string("\x01\xff raw \0 bytes", 14)}.build();
  ASSERT_TRUE(publish({event}));
  reopen();
  const auto events = read_log(store());
  ASSERT_TRUE(events);
  ASSERT_EQ(events->size(), 1u);
  EXPECT_EQ(events->front().event, event.event);
  EXPECT_EQ(events->front().type, "order.placed");
}

TEST_F(AppendTest, TakesTheLargestBatchAndEvent) {
  EXPECT_TRUE(publish(make_events("a", "n", kBatchEventsMax)));
  EXPECT_TRUE(
      publish({EventBuilder{.id = "big", .data = std::string(kEventBytesMax - 200, 'x')}.build()}));
  EXPECT_EQ(contents().size(), kBatchEventsMax + 1);
}

// Checks -----------------------------------------------------------------------------------------

struct CheckCase {
  const char* name;
  std::vector<Check> checks;
  std::vector<std::string> failing;  // subjects of the details, in any order
};

class CheckTest : public AppendTest, public ::testing::WithParamInterface<CheckCase> {};

// The log holds one event of "one" and two of "two".
TEST_P(CheckTest, HoldOrRefuseTheWholeRequest) {
  ASSERT_TRUE(publish({make_event("one", "1"), make_event("two", "2"), make_event("two", "3")}));
  const auto result = publish({make_event("one", "4"), make_event("new", "5")}, GetParam().checks);
  const auto before = contents();
  if (GetParam().failing.empty()) {
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(before.size(), 5u);
    return;
  }
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kCheckFailed);
  std::vector<std::string> failing;
  for (const ErrorDetail& detail : result.error().details) {
    failing.push_back(detail.subject);
    EXPECT_FALSE(detail.description.empty());
  }
  EXPECT_EQ(failing, GetParam().failing);
  EXPECT_EQ(before, (Contents{"one#1 1", "two#1 2", "two#2 3"}));
  // A refusal takes no number.
  const auto next = publish({make_event("one", "6")});
  ASSERT_TRUE(next);
  EXPECT_EQ(next->events[0].sequence, 4u);
  EXPECT_EQ(next->events[0].revision, 2u);
}

INSTANTIATE_TEST_SUITE_P(
    Table, CheckTest,
    ::testing::Values(
        CheckCase{"none", {}, {}}, CheckCase{"revision_right", {{"one", Kind::kRevision, 1}}, {}},
        CheckCase{"revision_low", {{"two", Kind::kRevision, 1}}, {"two"}},
        CheckCase{"revision_high", {{"two", Kind::kRevision, 3}}, {"two"}},
        CheckCase{"revision_zero_is_absent", {{"new", Kind::kRevision, 0}}, {}},
        CheckCase{"revision_zero_but_there", {{"one", Kind::kRevision, 0}}, {"one"}},
        CheckCase{"absent_right", {{"new", Kind::kAbsent}}, {}},
        CheckCase{"absent_wrong", {{"one", Kind::kAbsent}}, {"one"}},
        CheckCase{"present_right", {{"two", Kind::kPresent}}, {}},
        CheckCase{"present_wrong", {{"other", Kind::kPresent}}, {"other"}},
        CheckCase{"of_other_streams", {{"two", Kind::kRevision, 2}, {"other", Kind::kAbsent}}, {}},
        CheckCase{"all_failures_are_told",
                  {{"one", Kind::kAbsent},
                   {"two", Kind::kRevision, 7},
                   {"new", Kind::kAbsent},
                   {"other", Kind::kPresent}},
                  {"one", "two", "other"}}),
    [](const auto& tested) { return std::string(tested.param.name); });

TEST_F(AppendTest, ChecksAreJudgedAgainstTheLogBeforeTheRequest) {
  // The request's own events do not count.
  EXPECT_TRUE(publish({make_event("a", "1"), make_event("a", "2")}, {{"a", Kind::kAbsent}}));
  EXPECT_FALSE(publish({make_event("a", "3")}, {{"a", Kind::kRevision, 3}}));
}

TEST_F(AppendTest, ChecksSeeRequestsQueuedBeforeInTheSameGroup) {
  EventStore& store = open();
  std::vector<std::unique_ptr<PendingAppend>> pending;
  for (int i = 0; i < 200; ++i) {
    pending.push_back(std::make_unique<PendingAppend>(
        std::vector<NewEvent>{make_event("a", std::to_string(i))},
        std::vector<Check>{{"a", Kind::kRevision, static_cast<Revision>(i)}}, Durability::kSynced));
    ASSERT_TRUE(pending.back()->queue(store));
  }
  for (const auto& append : pending) EXPECT_TRUE(append->wait());
}

TEST_F(AppendTest, OfRivalsWithTheSameCheckExactlyOneWins) {
  EventStore& store = open();
  for (Revision revision = 0; revision < 10; ++revision) {
    std::vector<std::unique_ptr<PendingAppend>> rivals;
    for (int i = 0; i < 8; ++i) {
      rivals.push_back(std::make_unique<PendingAppend>(
          std::vector<NewEvent>{make_event("a", fmt::format("{}-{}", revision, i))},
          std::vector<Check>{{"a", Kind::kRevision, revision}}, Durability::kSynced));
      ASSERT_TRUE(rivals.back()->queue(store));
    }
    int won = 0;
    for (const auto& rival : rivals) {
      const auto result = rival->wait();
      won += result ? 1 : 0;
      if (!result) {
        EXPECT_EQ(result.error().code, Code::kCheckFailed);
      }
    }
    EXPECT_EQ(won, 1);
  }
}

// Durability -------------------------------------------------------------------------------------

TEST_F(AppendTest, ASyncedAnswerCostsASyncAndABufferedOneIsSyncedSoon) {
  open();
  ASSERT_TRUE(publish({make_event("a", "1")}));
  const std::uint64_t before = disk_->syncs();
  ASSERT_TRUE(publish({make_event("a", "2")}));
  EXPECT_GT(disk_->syncs(), before);

  const auto buffered = publish({make_event("a", "3")}, {}, Durability::kBuffered);
  ASSERT_TRUE(buffered);
  EXPECT_EQ(buffered->durability, Durability::kBuffered);
  EXPECT_EQ(buffered->events[0].sequence, 3u);
  EXPECT_EQ(buffered->events[0].revision, 3u);
  EXPECT_TRUE(eventually([&] { return store().tail().head() == 3; })) << "not synced by itself";
}

TEST_F(AppendTest, BufferedEventsAreSeenByLaterRequests) {
  open();
  ASSERT_TRUE(publish({make_event("a", "1")}, {}, Durability::kBuffered));
  EXPECT_TRUE(publish({make_event("a", "2")}, {{"a", Kind::kRevision, 1}}, Durability::kBuffered));
  const auto repeated = publish({make_event("a", "1")});
  ASSERT_TRUE(repeated);
  EXPECT_TRUE(repeated->events[0].deduplicated);
  EXPECT_GE(store().tail().head(), 1u) << "a synced answer covers what it was judged on";
}

TEST_F(AppendTest, BufferedEventsSurviveAnOrderlyEnd) {
  open();
  ASSERT_TRUE(publish(make_events("a", "n", 5), {}, Durability::kBuffered));
  reopen();
  EXPECT_EQ(contents().size(), 5u);
}

TEST_F(AppendTest, TheDestructorAnswersWhatIsQueued) {
  EventStore& store = open();
  std::vector<std::unique_ptr<PendingAppend>> pending;
  for (int i = 0; i < 100; ++i) {
    pending.push_back(std::make_unique<PendingAppend>(
        std::vector<NewEvent>{make_event("a", std::to_string(i))}, std::vector<Check>{},
        i % 2 == 0 ? Durability::kSynced : Durability::kBuffered));
    ASSERT_TRUE(pending.back()->queue(store));
  }
  close();
  for (const auto& append : pending) ASSERT_TRUE(append->is_answered());
  open();
  std::size_t taken = 0;
  for (const auto& append : pending) taken += append->wait() ? 1 : 0;
  EXPECT_EQ(contents().size(), taken);
}

// Back-pressure ----------------------------------------------------------------------------------

TEST_F(AppendTest, AFullQueueRefusesAtOnceAndTellsWhenThereIsRoom) {
  options_.ingest_queue_bytes_max = 4096;
  EventStore& store = open();
  std::promise<void> release;
  std::promise<void> blocked;
  // The appender is held inside of an answer, so that the queue fills for certain.
  AppendRequest first;
  first.events = {make_event("a", "first")};
  first.done = [&](Result<AppendResult>) {
    blocked.set_value();
    release.get_future().wait();
  };
  ASSERT_TRUE(store.append(first));
  ASSERT_EQ(blocked.get_future().wait_for(kDeadline), std::future_status::ready);

  std::vector<std::unique_ptr<PendingAppend>> taken;
  Status refused;
  for (int i = 0; i < 100 && refused; ++i) {
    auto next =
        std::make_unique<PendingAppend>(std::vector<NewEvent>{make_event("a", std::to_string(i))},
                                        std::vector<Check>{}, Durability::kSynced);
    refused = next->queue(store);
    if (refused) {
      taken.push_back(std::move(next));
    } else {
      EXPECT_EQ(next->request().events.size(), 1u) << "a refused request is left as it is";
      EXPECT_FALSE(next->is_answered());
    }
  }
  ASSERT_FALSE(refused) << "the queue is not bounded";
  EXPECT_EQ(refused.error().code, Code::kOverloaded);
  EXPECT_GT(refused.error().retry_after_ms, 0u);
  EXPECT_GT(store.status().ingest_queue_bytes, 0u);

  std::promise<void> room;
  store.when_room([&] { room.set_value(); });
  release.set_value();
  EXPECT_EQ(room.get_future().wait_for(kDeadline), std::future_status::ready);
  for (const auto& append : taken) EXPECT_TRUE(append->wait());
  EXPECT_TRUE(publish({make_event("a", "after")}));
  std::promise<void> at_once;
  store.when_room([&] { at_once.set_value(); });
  EXPECT_EQ(at_once.get_future().wait_for(kDeadline), std::future_status::ready);
}

TEST_F(AppendTest, ARequestLargerThanTheQueueIsTakenWhenTheQueueIsEmpty) {
  options_.ingest_queue_bytes_max = 4096;
  open();
  EXPECT_TRUE(publish({EventBuilder{.id = "big", .data = std::string(100'000, 'x')}.build()}))
      << "otherwise its publisher retries for ever";
}

// Time -------------------------------------------------------------------------------------------

TEST_F(AppendTest, AppendTimeNeverGoesBackAlsoAcrossARestart) {
  open();
  clock_.set_wall_us(2'000'000);
  fill("a", 2);
  clock_.set_wall_us(1'000'000);
  fill("a", 2);
  reopen();
  fill("a", 1);
  clock_.set_wall_us(3'000'000);
  fill("a", 1);
  const auto events = read_log(store());
  ASSERT_TRUE(events);
  std::vector<std::int64_t> times;
  for (const LoggedEvent& event : *events) times.push_back(event.append_time_us);
  EXPECT_EQ(times, (std::vector<std::int64_t>{2'000'000, 2'000'000, 2'000'000, 2'000'000, 2'000'000,
                                              3'000'000}));
}

TEST_F(AppendTest, TellsEveryMoveOfTheHeadUntilTheHandleIsDropped) {
  EventStore& store = open();
  std::atomic<int> moves{0};
  auto handle = store.on_head_moved([&] { ++moves; });
  fill("a", 1);
  EXPECT_TRUE(eventually([&] { return moves > 0; }));
  fill("a", 1);
  EXPECT_TRUE(eventually([&] { return moves > 1; }));
  handle.reset();
  const int before = moves;
  fill("a", 1);
  fill("a", 1);
  EXPECT_EQ(moves, before);
}

}  // namespace
}  // namespace tidegate::test
