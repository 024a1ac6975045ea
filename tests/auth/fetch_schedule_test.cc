#include "gateway/auth/fetch_schedule.h"

#include <gtest/gtest.h>

namespace tidegate {
namespace {

constexpr std::int64_t kMinute = 60'000;

TEST(FetchScheduleTest, FetchesAtOnceAndThenEveryFiveMinutes) {
  FetchSchedule schedule({}, 1000);
  EXPECT_EQ(schedule.wait_ms(1000), 0);
  schedule.on_start();
  schedule.on_end(1500, true);
  EXPECT_EQ(schedule.wait_ms(1500), 5 * kMinute);
  EXPECT_EQ(schedule.wait_ms(1500 + 5 * kMinute), 0);
  EXPECT_EQ(schedule.wait_ms(1500 + 6 * kMinute), 0);
}

TEST(FetchScheduleTest, TriesAgainSoonAndThenLessOften) {
  FetchSchedule schedule({}, 0);
  for (std::int64_t wait : {5'000, 10'000, 20'000, 40'000, 80'000, 160'000, 300'000, 300'000}) {
    schedule.on_start();
    schedule.on_end(0, false);
    EXPECT_EQ(schedule.wait_ms(0), wait);
  }
  schedule.on_start();
  schedule.on_end(0, true);
  schedule.on_start();
  schedule.on_end(0, false);
  EXPECT_EQ(schedule.wait_ms(0), 5'000) << "a success begins anew";
}

TEST(FetchScheduleTest, UnknownKeysAskOnceAMinute) {
  FetchSchedule schedule({}, 0);
  EXPECT_TRUE(schedule.on_unknown_key(0)) << "the first fetch is due anyway";
  schedule.on_start();
  EXPECT_TRUE(schedule.on_unknown_key(1)) << "one is under way";
  schedule.on_end(2, true);
  EXPECT_TRUE(schedule.on_unknown_key(10));
  EXPECT_EQ(schedule.wait_ms(10), 0);
  schedule.on_start();
  schedule.on_end(20, true);
  EXPECT_FALSE(schedule.on_unknown_key(21));
  EXPECT_FALSE(schedule.on_unknown_key(9 + kMinute));
  EXPECT_EQ(schedule.wait_ms(20), 5 * kMinute) << "an attacker moves nothing";
  EXPECT_TRUE(schedule.on_unknown_key(10 + kMinute));
}

TEST(FetchScheduleTest, ARequestIsServedAfterTheFetchThatIsUnderWay) {
  FetchSchedule schedule({}, 0);
  schedule.on_start();
  schedule.on_request(5);
  schedule.on_end(10, true);
  EXPECT_EQ(schedule.wait_ms(10), 0);
  schedule.on_start();
  schedule.on_end(20, true);
  EXPECT_EQ(schedule.wait_ms(20), 5 * kMinute);
  schedule.on_request(30);
  EXPECT_EQ(schedule.wait_ms(30), 0);
}

}  // namespace
}  // namespace tidegate
