#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "tools/tidegate/replay_pace.h"
#include "tools/tidegate/replay_plan.h"
#include "tools/tidegate/replay_state.h"
#include "tools/tidegate/stream_map.h"

namespace tidegate {
namespace {

constexpr std::int64_t kSecond = 1'000'000;

// When events that happened at `seconds` are due, each sent at the moment it is due.
std::vector<std::int64_t> due(const ReplayPace::Options& options,
                              const std::vector<std::int64_t>& seconds) {
  ReplayPace pace(options);
  std::vector<std::int64_t> all;
  std::int64_t now = 0;
  for (const std::int64_t second : seconds) {
    now = std::max(now, pace.next(second * kSecond, now));
    all.push_back(now);
  }
  return all;
}

using Times = std::vector<std::int64_t>;

TEST(ReplayPaceTest, KeepsTheOriginalDistances) {
  EXPECT_EQ(due({}, {100, 101, 104}), (Times{0, kSecond, 4 * kSecond}));
}

TEST(ReplayPaceTest, DividesThemByTheSpeed) {
  EXPECT_EQ(due({.speed = 600}, {0, 600, 3600}), (Times{0, kSecond, 6 * kSecond}));
  EXPECT_EQ(due({.speed = 0.5}, {0, 1}), (Times{0, 2 * kSecond}));
}

TEST(ReplayPaceTest, NeverWaitsAtFullSpeed) {
  EXPECT_EQ(due({.speed = 0}, {0, 10, 5000}), (Times{0, 0, 0}));
}

TEST(ReplayPaceTest, CutsSilences) {
  EXPECT_EQ(due({.max_gap_us = 2 * kSecond}, {0, 1, 100, 101}),
            (Times{0, kSecond, 3 * kSecond, 4 * kSecond}));
}

TEST(ReplayPaceTest, PlaysLateEventsAtOnceAndDoesNotWaitTwice) {
  EXPECT_EQ(due({}, {10, 20, 15, 20, 21}),
            (Times{0, 10 * kSecond, 10 * kSecond, 10 * kSecond, 11 * kSecond}));
}

TEST(ReplayPaceTest, SpacesEventsByTheRate) {
  EXPECT_EQ(due({.speed = 0, .rate = 10}, {0, 0, 0}), (Times{0, kSecond / 10, kSecond / 5}));
}

TEST(ReplayPaceTest, DoesNotMakeUpForASlowTargetWithABurst) {
  ReplayPace pace({.speed = 0, .rate = 10});
  EXPECT_EQ(pace.next(0, 0), 0);
  const std::int64_t late = 5 * kSecond;
  EXPECT_LE(pace.next(0, late), late);
  EXPECT_GT(pace.next(0, late), late + 80'000);
}

TEST(ReplayPaceTest, ReadsSpeeds) {
  EXPECT_EQ(*parse_speed("max"), 0.0);
  EXPECT_EQ(*parse_speed("0.5"), 0.5);
  EXPECT_EQ(*parse_speed("600x"), 600.0);
  for (const char* text : {"", "0", "-1", "fast", "1e3", "nan", "inf", "1 ", "x", "99999999999"}) {
    EXPECT_FALSE(parse_speed(text)) << text;
  }
}

struct MapCase {
  std::vector<std::string> rules;
  const char* stream;
  const char* mapped;  // null: refused
};

class StreamMapTest : public testing::TestWithParam<MapCase> {};

TEST_P(StreamMapTest, NamesTheStream) {
  const Result<StreamMap> map = StreamMap::parse(GetParam().rules);
  ASSERT_TRUE(map);
  const Result<std::string> mapped = map->map(GetParam().stream);
  ASSERT_EQ(mapped.has_value(), GetParam().mapped != nullptr);
  if (mapped) EXPECT_EQ(*mapped, GetParam().mapped);
}

INSTANTIATE_TEST_SUITE_P(
    Rules, StreamMapTest,
    testing::Values(MapCase{{}, "orders.1", "orders.1"},
                    MapCase{{"old.>=new.>"}, "old.a.b", "new.a.b"},
                    MapCase{{"old.>=new.>"}, "older.a", "older.a"},
                    MapCase{{"a.*.b.*.>=x.*.*.y.>"}, "a.1.b.2.c.d", "x.1.2.y.c.d"},
                    MapCase{{"a.x=first", "a.*=second.*"}, "a.x", "first"},
                    MapCase{{"a.x=first", "a.*=second.*"}, "a.y", "second.y"},
                    MapCase{{">=copy.>"}, "a.b", "copy.a.b"}, MapCase{{"a.>=all"}, "a.b.c", "all"},
                    MapCase{{">=1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.>"}, "a.b", nullptr},
                    MapCase{{"a.>=_internal.>"}, "a.b", nullptr}));

TEST(StreamMapTest, RefusesBadRules) {
  for (const char* rule :
       {"", "a", "a=", "=b", "a..b=c", "a.*=b.>", "a.>=b.*", "a=b.*", "a.>.b=c", "a.*.>=b.>.*"}) {
    EXPECT_FALSE(StreamMap::parse({rule})) << rule;
  }
}

class ReplayStateTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "replay_state_XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    dir_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  ReplayState state() const {
    return {.log = "abcdefghijklmnop",
            .arguments = "a.> --map \"x\"=y",
            .position = "abcdefghijklmnop.42.0a1b2c3d",
            .sequence = 77,
            .events = 35,
            .end = 9000,
            .from_us = -5,
            .file_bytes = 12345};
  }

  std::string dir_;
};

TEST_F(ReplayStateTest, SurvivesTheFile) {
  const std::string path = dir_ + "/state";
  EXPECT_FALSE(load_replay_state(path)->has_value());
  ASSERT_TRUE(save_replay_state(path, state()));
  const auto loaded = load_replay_state(path);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(**loaded, state());
  EXPECT_FALSE(std::filesystem::exists(path + ".new"));
}

TEST_F(ReplayStateTest, RefusesAFileOfSomethingElse) {
  for (const char* text : {"", "{}", "not json", R"({"version":2})", R"({"version":1,"log":5})"}) {
    EXPECT_FALSE(replay_state_from_json(text)) << text;
  }
}

TEST_F(ReplayStateTest, RefusesToGoOnForAnotherLogOrReplay) {
  EXPECT_TRUE(check_resumable(state(), "abcdefghijklmnop", state().arguments));
  EXPECT_EQ(check_resumable(state(), "bbbbbbbbbbbbbbbb", state().arguments).error().code,
            Code::kHistoryMismatch);
  EXPECT_EQ(check_resumable(state(), "abcdefghijklmnop", "b.>").error().code, Code::kBadArgument);
}

TEST_F(ReplayStateTest, FailsWhereItCannotWrite) {
  EXPECT_FALSE(save_replay_state(dir_ + "/missing/state", state()));
}

TEST(ReplayPlanTest, KeepsTimesOfTheEventClockFromTheLog) {
  ReplayOptions options;
  options.selection.from = "2001-01-02";
  options.selection.until = "2001-01-03";
  const auto by_event = ReplayPlan::make(options, 0);
  ASSERT_TRUE(by_event);
  EXPECT_EQ(by_event->request.start().edge(), v1::EDGE_START);
  EXPECT_EQ(by_event->from_us, 978'393'600 * kSecond);
  EXPECT_FALSE(by_event->request.has_until_time());

  options.clock = "append";
  const auto by_append = ReplayPlan::make(options, 0);
  ASSERT_TRUE(by_append);
  EXPECT_EQ(by_append->request.start().from_time().seconds(), 978'393'600);
  EXPECT_EQ(by_append->request.until_time().seconds(), 978'480'000);
  EXPECT_EQ(by_append->from_us, INT64_MIN);
}

TEST(ReplayPlanTest, RefusesToPublishWithoutYes) {
  ReplayOptions options;
  options.to = "other:7090";
  EXPECT_FALSE(ReplayPlan::make(options, 0));
  options.dry_run = true;
  EXPECT_TRUE(ReplayPlan::make(options, 0));
  options.dry_run = false;
  options.yes = true;
  EXPECT_TRUE(ReplayPlan::make(options, 0));
  options.to_file = "also";
  EXPECT_FALSE(ReplayPlan::make(options, 0));
}

}  // namespace
}  // namespace tidegate
