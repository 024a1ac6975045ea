#include "tools/tidegate/histogram.h"

#include <algorithm>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace tidegate {
namespace {

TEST(HistogramTest, IsEmptyAtFirst) {
  const Histogram histogram;
  EXPECT_EQ(histogram.count(), 0U);
  EXPECT_EQ(histogram.percentile_us(50), 0U);
  EXPECT_EQ(histogram.max_us(), 0U);
}

TEST(HistogramTest, KeepsSmallValuesExactly) {
  Histogram histogram;
  for (std::int64_t value = 1; value <= 2000; ++value) histogram.record(value);
  EXPECT_EQ(histogram.percentile_us(0), 1U);
  EXPECT_EQ(histogram.percentile_us(50), 1000U);
  EXPECT_EQ(histogram.percentile_us(99.9), 1998U);
  EXPECT_EQ(histogram.percentile_us(100), 2000U);
}

// Against the sorted values themselves, over the whole range.
TEST(HistogramTest, KeepsThreeDigitsOfLargeValues) {
  std::mt19937_64 random(7);
  Histogram histogram;
  std::vector<std::uint64_t> values;
  for (int i = 0; i < 20'000; ++i) {
    values.push_back(random() >> (28 + random() % 36));
    histogram.record(static_cast<std::int64_t>(values.back()));
  }
  std::sort(values.begin(), values.end());
  for (const double percent : {1.0, 10.0, 50.0, 90.0, 99.0, 99.9, 100.0}) {
    const auto rank = static_cast<std::size_t>(percent / 100 * 20'000);
    const std::uint64_t exact = values[rank - 1];
    EXPECT_GE(histogram.percentile_us(percent), exact) << percent;
    EXPECT_LE(histogram.percentile_us(percent), exact + exact / 1000) << percent;
  }
  EXPECT_EQ(histogram.max_us(), values.back());
}

TEST(HistogramTest, AddsWithoutLoss) {
  Histogram one;
  Histogram both;
  Histogram other;
  for (std::int64_t value : {3, 70'000, 5'000'000}) {
    one.record(value);
    both.record(value);
    other.record(value * 2);
    both.record(value * 2);
  }
  one.add(other);
  EXPECT_EQ(one.count(), 6U);
  for (const double percent : {10.0, 50.0, 90.0, 100.0}) {
    EXPECT_EQ(one.percentile_us(percent), both.percentile_us(percent));
  }
}

TEST(HistogramTest, TakesWhatIsOutOfRange) {
  Histogram histogram;
  histogram.record(-5);
  histogram.record(INT64_MAX);
  EXPECT_EQ(histogram.count(), 2U);
  EXPECT_EQ(histogram.percentile_us(50), 0U);
  EXPECT_EQ(histogram.max_us(), static_cast<std::uint64_t>(INT64_MAX));
}

}  // namespace
}  // namespace tidegate
