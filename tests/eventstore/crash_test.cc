#include <gtest/gtest.h>

#include "tests/eventstore/crash_harness.h"
#include "tests/support/store_fixture.h"
#include "tests/support/test_scale.h"

namespace tidegate::test {
namespace {

using Cut = SimulatedDisk::Cut;
using Problems = std::vector<std::string>;

// One seed: one or two lives, each ended at a random change of the disk, sometimes a start that
// is cut as well.
Problems run(const CrashHarness::Options& options, CrashHarness::Counts* counts = nullptr) {
  CrashHarness harness(options);
  std::mt19937_64 random(options.seed * 7919);
  const std::uint64_t lives = 1 + random() % 2;
  for (std::uint64_t life = 0; life < lives; ++life) {
    const bool while_opening = random() % 4 == 0;
    const std::uint64_t cut_at = while_opening ? 1 + random() % 60 : 20 + random() % 400;
    harness.live(cut_at, random() % 4 == 0 ? Cut::kProcess : Cut::kPower);
    Problems problems = harness.judge();
    if (!problems.empty()) {
      problems.insert(problems.begin(),
                      fmt::format("seed {}, life {}, cut at {}:", options.seed, life + 1, cut_at));
      return problems;
    }
  }
  if (counts) {
    counts->acknowledged += harness.counts().acknowledged;
    counts->refused += harness.counts().refused;
    counts->unknown += harness.counts().unknown;
    counts->recovered += harness.counts().recovered;
    counts->fatal += harness.counts().fatal;
  }
  return {};
}

// 300 seeds (at scale 1), in parts so that they can run side by side.
class CrashTest : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(CrashTest, KeepsItsPromisesWhereverThePowerIsCut) {
  CrashHarness::Counts counts;
  const std::uint64_t seeds = scaled(50);
  for (std::uint64_t seed = GetParam() * 50 + 1; seed <= GetParam() * 50 + seeds; ++seed) {
    const Problems problems = run({.seed = seed, .trims = seed % 5 == 0}, &counts);
    ASSERT_EQ(problems, Problems{});
  }
  // The load must have been one.
  EXPECT_GT(counts.acknowledged, seeds * 20);
  EXPECT_GT(counts.recovered, seeds * 20);
  if (seeds < 50) return;  // too few for what is rarer
  EXPECT_GT(counts.refused, 100u);
  EXPECT_GT(counts.unknown, 20u);
  EXPECT_GT(counts.fatal, 20u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, CrashTest, ::testing::Range<std::uint64_t>(0, 6));

// The test of the test: a store that answers before it syncs must be caught.
TEST(CrashHarnessTest, FindsTheLossOfAStoreThatAnswersBeforeItSyncs) {
  std::size_t caught = 0;
  for (std::uint64_t seed = 1; seed <= 100 && caught < 3; ++seed) {
    for (const std::string& problem : run({.seed = seed, .unsafe_answer_before_sync = true})) {
      if (!problem.starts_with("lost:")) continue;
      ++caught;
      break;
    }
  }
  EXPECT_EQ(caught, 3u) << "the harness does not notice lost events";
}

// A failed sync: the store says so once, answers nothing more, and what it had acknowledged is
// there.
TEST(SyncErrorTest, IsFatalAndLosesNothingThatWasAcknowledged) {
  std::size_t fatal = 0;
  for (std::uint64_t seed = 1; seed <= 24; ++seed) {
    CrashHarness harness({.seed = seed, .fail_sync_at = 1 + seed * 2 % 15});
    harness.live(0, seed % 2 == 0 ? Cut::kPower : Cut::kProcess);
    ASSERT_EQ(harness.judge(), Problems{}) << "seed " << seed;
    fatal += harness.counts().fatal;
  }
  EXPECT_EQ(fatal, 24u) << "a failed sync went unnoticed";
}

class AfterFailureTest : public StoreTest {};

TEST_F(AfterFailureTest, NothingIsAnsweredOrTakenAndTheEventsBeforeAreReadable) {
  expects_fatal_ = true;
  EventStore& store = open();
  fill("a", 3);
  disk_->fail_sync(1, ".log");
  PendingAppend failing({make_event("a", "x")}, {}, Durability::kSynced);
  ASSERT_TRUE(failing.queue(store));
  ASSERT_TRUE(eventually([&] { return !fatal_reasons().empty(); }));
  PendingAppend late({make_event("a", "y")}, {}, Durability::kSynced);
  const Status refused = late.queue(store);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kUnavailable);
  EXPECT_EQ(store.tail().head(), 3u) << "an event is visible that may not be there";
  const auto events = read_log(store);
  ASSERT_TRUE(events);
  EXPECT_EQ(events->size(), 3u);
  close();
  EXPECT_FALSE(failing.is_answered());
  EXPECT_EQ(fatal_reasons().size(), 1u);
}

// Not only the appender writes.
TEST_F(AfterFailureTest, ACursorsOrATrimsFailedSyncIsFatalToo) {
  for (const bool is_trim : {false, true}) {
    SCOPED_TRACE(is_trim);
    expects_fatal_ = true;
    EventStore& store = open();
    fill("a", 30);
    store.wait_for_index();
    const auto position = store.reader().position_at(10);
    ASSERT_TRUE(position);
    disk_->fail_sync(1, ".log");
    const bool is_done =
        is_trim ? bool(store.trim(10)) : bool(store.cursors().seek("o", "c", *position));
    EXPECT_FALSE(is_done);
    EXPECT_EQ(fatal_reasons().size(), is_trim ? 2u : 1u);
    PendingAppend late({make_event("a", "y")}, {}, Durability::kSynced);
    EXPECT_FALSE(late.queue(store));
    close();
    disk_->restart();
  }
}

}  // namespace
}  // namespace tidegate::test
