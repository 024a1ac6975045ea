#include "gateway/cloudevents/timestamp_text.h"

#include <gtest/gtest.h>

namespace tidegate {
namespace {

std::string printed(std::string_view text) {
  const auto time = parse_timestamp(text);
  if (!time) return "refused";
  std::string out;
  append_timestamp(out, time->seconds(), time->nanos());
  return out;
}

TEST(TimestampTextTest, KeepsEveryDigitOfTheFraction) {
  EXPECT_EQ(printed("2026-01-02T03:04:05Z"), "2026-01-02T03:04:05Z");
  EXPECT_EQ(printed("2026-01-02T03:04:05.6Z"), "2026-01-02T03:04:05.600Z");
  EXPECT_EQ(printed("2026-01-02T03:04:05.678901Z"), "2026-01-02T03:04:05.678901Z");
  EXPECT_EQ(printed("2026-01-02T03:04:05.000000001Z"), "2026-01-02T03:04:05.000000001Z");
  EXPECT_EQ(printed("2026-01-02T03:04:05.1234567Z"), "2026-01-02T03:04:05.123456700Z");
  EXPECT_EQ(printed("2026-01-02T03:04:05.123456789+02:00"), "2026-01-02T01:04:05.123456789Z");
}

TEST(TimestampTextTest, RefusesTimesOutsideOfTheYears1970To9999) {
  EXPECT_EQ(printed("1970-01-01T00:00:00Z"), "1970-01-01T00:00:00Z");
  EXPECT_EQ(printed("1970-01-01T00:00:00+00:01"), "refused");
  EXPECT_EQ(printed("9999-12-31T23:59:59.999999999Z"), "9999-12-31T23:59:59.999999999Z");
  EXPECT_EQ(printed("9999-12-31T23:59:59.999999Z"), "9999-12-31T23:59:59.999999Z");
  EXPECT_EQ(printed("9999-12-31T23:59:59-00:01"), "refused");
  EXPECT_EQ(printed("2026-02-30T00:00:00Z"), "refused");
  EXPECT_EQ(printed("yesterday"), "refused");
}

TEST(TimestampTextTest, ChecksNanoseconds) {
  EXPECT_TRUE(is_valid_timestamp(0, 999'999'999));
  EXPECT_FALSE(is_valid_timestamp(0, 1'000'000'000));
  EXPECT_FALSE(is_valid_timestamp(0, -1));
  EXPECT_FALSE(is_valid_timestamp(-1, 0));
  EXPECT_FALSE(is_valid_timestamp(253'402'300'800, 0));
}

}  // namespace
}  // namespace tidegate
