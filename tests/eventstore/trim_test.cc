#include <atomic>
#include <functional>
#include <thread>

#include "eventstore/base/guarded.h"
#include "tests/support/store_fixture.h"

namespace tidegate::test {
namespace {

class TrimTest : public StoreTest {
 protected:
  // Ten batches of ten events, in turn of "a", "b" and "c".
  void write() {
    static const char* const kStreams[] = {"a", "b", "c"};
    for (int i = 0; i < 10; ++i) fill(kStreams[i % 3], 10);
    store().wait_for_index();
  }
  Sequence trim(Sequence before) {
    const auto floor = store().trim(before);
    EXPECT_TRUE(floor) << (floor ? "" : floor.error().message);
    return floor ? *floor : 0;
  }
};

TEST_F(TrimTest, MovesTheFloorAndKeepsTheRest) {
  write();
  const auto before = read_log(store());
  EXPECT_EQ(trim(46), 46u);
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(store().floor(), 46u);
    const auto after = read_log(store());
    ASSERT_TRUE(after);
    EXPECT_EQ(*after, std::vector<LoggedEvent>(before->begin() + 45, before->end()));
    EXPECT_EQ(store().log_info()->floor, 46u);
    const auto below = store().reader().read(Filter::everything(), 44);
    ASSERT_FALSE(below);
    EXPECT_EQ(below.error().code, Code::kTrimmed);
    const auto backward = read_log_backward(store(), Filter::everything(), 101);
    ASSERT_TRUE(backward);
    EXPECT_EQ(backward->size(), 55u);
    reopen();
  }
}

TEST_F(TrimTest, TheFloorNeverGoesBackOrPassesTheHead) {
  write();
  EXPECT_EQ(trim(50), 50u);
  EXPECT_EQ(trim(20), 50u);
  EXPECT_EQ(trim(1), 50u);
  EXPECT_EQ(trim(1000), 101u);
  EXPECT_EQ(store().floor(), 101u);
  const auto events = read_log(store());
  ASSERT_TRUE(events);
  EXPECT_TRUE(events->empty());
  EXPECT_EQ(fill("a", 1), 101u) << "numbers go on";
}

TEST_F(TrimTest, RevisionsDoNotRestart) {
  write();
  EXPECT_EQ(trim(101), 101u);
  for (int round = 0; round < 2; ++round) {
    const auto info = store().stream_info("a");
    ASSERT_TRUE(info);
    EXPECT_EQ(info->last_revision, 40u);
    reopen();
  }
  EXPECT_FALSE(publish({make_event("a", "x")}, {{"a", Check::Kind::kAbsent}}));
  const auto result = publish({make_event("a", "x")}, {{"a", Check::Kind::kRevision, 40}});
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->events[0].revision, 41u);
}

TEST_F(TrimTest, RepetitionsOfTrimmedEventsAreStillKnownToTheRunningStore) {
  ASSERT_TRUE(publish(make_events("a", "n", 10)));
  store().wait_for_index();
  EXPECT_EQ(trim(11), 11u);
  const auto repeated = publish(make_events("a", "n", 10));
  ASSERT_TRUE(repeated) << repeated.error().message;
  for (std::size_t i = 0; i < 10; ++i) {
    EXPECT_TRUE(repeated->events[i].deduplicated);
    EXPECT_EQ(repeated->events[i].sequence, i + 1);
    EXPECT_EQ(repeated->events[i].revision, i + 1);
  }
}

TEST_F(TrimTest, RepetitionsOfKeptEventsAreKnownAfterARestart) {
  ASSERT_TRUE(publish(make_events("a", "n", 10)));
  store().wait_for_index();
  EXPECT_EQ(trim(6), 6u);
  reopen();
  const auto events = make_events("a", "n", 10);
  const auto repeated = publish({events.begin() + 5, events.end()});
  ASSERT_TRUE(repeated) << repeated.error().message;
  for (const Appended& event : repeated->events) EXPECT_TRUE(event.deduplicated);
}

TEST_F(TrimTest, ExactReadsBeginAtTheFloor) {
  options_.tail_bytes_max = std::size_t{16} << 10;
  write();
  EXPECT_EQ(trim(36), 36u);
  for (const char* stream : {"a", "b", "c"}) {
    const Filter filter = Filter::make({stream}, {}).value();
    const auto events = read_log(store(), filter);
    ASSERT_TRUE(events);
    ASSERT_FALSE(events->empty());
    for (const LoggedEvent& event : *events) EXPECT_GE(event.sequence, 36u);
    const auto below = store().reader().read(filter, 10);
    ASSERT_FALSE(below);
    EXPECT_EQ(below.error().code, Code::kTrimmed);
  }
}

TEST_F(TrimTest, SurvivesAPowerCutOnceItHasReturned) {
  write();
  EXPECT_EQ(trim(46), 46u);
  expects_fatal_ = true;
  disk_->cut(SimulatedDisk::Cut::kPower);
  close();
  disk_->restart();
  open();
  EXPECT_EQ(store().floor(), 46u);
  EXPECT_EQ(check_invariants(*store_), std::vector<std::string>{});
  EXPECT_EQ(store().stream_info("a")->last_revision, 40u);
}

TEST_F(TrimTest, GoesOnBesideAppendingReadingAndVerifying) {
  options_.tail_bytes_max = std::size_t{16} << 10;
  open();
  Guarded<std::vector<std::string>> problems;
  const auto note = [&](const std::string& text) {
    problems.with([&](std::vector<std::string>& all) { all.push_back(text); });
  };
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  const auto repeat = [&](std::function<void()> step) {
    threads.emplace_back([&stop, step = std::move(step)] {
      while (!stop) step();
    });
  };
  repeat([&] {
    const auto floor = store_->trim(store_->tail().head() / 2);
    if (!floor) note(floor.error().message);
  });
  repeat([&] {
    const auto events = read_log(*store_);
    if (!events && events.error().code != Code::kTrimmed) note(events.error().message);
    const Sequence end = store_->tail().head() + 1;
    const auto backward = store_->reader().read_backward(Filter::everything(), end);
    if (!backward) note(backward.error().message);
    const auto start = store_->reader().resolve(FromStart{}, Filter::everything());
    if (!start || start->outcome != ResolvedStart::Outcome::kOk) note("no start");
  });
  repeat([&] {
    const auto report = store_->verify([](const VerifyProgress&) { return true; });
    if (!report) return note(report.error().message);
    for (const std::string& problem : report->problems) note(problem);
  });
  for (int i = 0; i < 60; ++i) fill(i % 2 == 0 ? "a" : "b", 10);
  stop = true;
  for (std::thread& thread : threads) thread.join();
  problems.with(
      [](const std::vector<std::string>& all) { EXPECT_EQ(all, std::vector<std::string>{}); });
}

}  // namespace
}  // namespace tidegate::test
