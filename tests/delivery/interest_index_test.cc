#include "gateway/delivery/interest_index.h"

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace tidegate::test {
namespace {

class Listener final : public Interested {
 public:
  void offer(const SegmentRef&, std::size_t, const RecordView&) override {}
};

Filter filter_of(const std::vector<std::string>& streams) {
  auto filter = Filter::make(streams, {});
  EXPECT_TRUE(filter.has_value());
  return *filter;
}

std::vector<std::uint64_t> numbers(const std::vector<InterestIndex::Interest>& matches) {
  std::vector<std::uint64_t> all;
  for (const auto& match : matches) all.push_back(match.number);
  return all;
}

TEST(InterestIndexTest, FindsExactNamesAndPatternsOnce) {
  InterestIndex index;
  Listener listener;
  index.add(1, listener, filter_of({"a.b"}));
  index.add(2, listener, filter_of({"a.*", "a.b", ">"}));
  index.add(3, listener, filter_of({"a.>"}));
  index.add(4, listener, filter_of({"a.b.c"}));
  EXPECT_EQ(numbers(index.match("a.b")), (std::vector<std::uint64_t>{1, 2, 3}));
  EXPECT_EQ(numbers(index.match("a")), (std::vector<std::uint64_t>{2}));
  EXPECT_EQ(numbers(index.match("a.b.c")), (std::vector<std::uint64_t>{2, 3, 4}));
}

TEST(InterestIndexTest, KeptResultsFollowChanges) {
  InterestIndex index;
  Listener listener;
  index.add(1, listener, filter_of({"a.*"}));
  EXPECT_EQ(index.match("a.b").size(), 1U);
  index.add(2, listener, filter_of({"a.b"}));
  EXPECT_EQ(index.match("a.b").size(), 2U);
  index.remove(1, filter_of({"a.*"}));
  EXPECT_EQ(numbers(index.match("a.b")), (std::vector<std::uint64_t>{2}));
  index.remove(2, filter_of({"a.b"}));
  EXPECT_TRUE(index.match("a.b").empty());
  EXPECT_TRUE(index.empty());
}

TEST(InterestIndexTest, WildcardsDoNotMatchReservedNames) {
  InterestIndex index;
  Listener listener;
  index.add(1, listener, filter_of({">", "*.x"}));
  index.add(2, listener, filter_of({"_sys.*"}));
  EXPECT_EQ(numbers(index.match("_sys.x")), (std::vector<std::uint64_t>{2}));
}

TEST(InterestIndexTest, KeptResultsAreBounded) {
  InterestIndex index;
  Listener listener;
  for (std::uint64_t number = 1; number <= 100; ++number) {
    index.add(number, listener, Filter::everything());
  }
  std::size_t most = 0;
  for (int i = 0; i < 20'000; ++i) {
    EXPECT_EQ(index.match("s." + std::to_string(i)).size(), 100U);
    most = std::max(most, index.cache_bytes());
  }
  EXPECT_GT(most, InterestIndex::kCacheBytesMax / 2);
  EXPECT_LE(most, InterestIndex::kCacheBytesMax + 8192);
}

std::string random_name(std::mt19937& random, bool pattern) {
  static const std::vector<std::string> tokens = {"a", "b", "c", "_r"};
  const std::size_t count = 1 + random() % 4;
  std::string name;
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0) name += '.';
    const auto roll = random() % 6;
    if (pattern && roll == 0) {
      name += '*';
    } else if (pattern && roll == 1 && i + 1 == count) {
      name += '>';
    } else {
      name += tokens[random() % tokens.size()];
    }
  }
  return name;
}

// The index and Filter::matches_stream are two implementations of one grammar.
TEST(InterestIndexTest, AgreesWithFiltersWhateverIsAddedAndRemoved) {
  std::mt19937 random(7);
  InterestIndex index;
  Listener listener;
  std::map<std::uint64_t, Filter> filters;
  for (std::uint64_t step = 1; step <= 20'000; ++step) {
    const auto roll = random() % 8;
    if (roll == 0 || filters.empty()) {
      std::vector<std::string> streams(1 + random() % 3);
      for (std::string& stream : streams) stream = random_name(random, true);
      const Filter filter = filter_of(streams);
      filters.emplace(step, filter);
      index.add(step, listener, filter);
    } else if (roll == 1) {
      auto gone = filters.begin();
      std::advance(gone, random() % filters.size());
      index.remove(gone->first, gone->second);
      filters.erase(gone);
    } else {
      const std::string stream = random_name(random, false);
      std::vector<std::uint64_t> expected;
      for (const auto& [number, filter] : filters) {
        if (filter.matches_stream(stream)) expected.push_back(number);
      }
      ASSERT_EQ(numbers(index.match(stream)), expected) << stream << " at step " << step;
    }
    ASSERT_EQ(index.size(), filters.size());
  }
}

}  // namespace
}  // namespace tidegate::test
