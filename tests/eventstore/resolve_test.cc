#include "tests/support/store_fixture.h"

namespace tidegate::test {
namespace {

using Outcome = ResolvedStart::Outcome;

class ResolveTest : public StoreTest {
 protected:
  ResolvedStart resolve(const StartPlace& place, const Filter& filter = Filter::everything()) {
    const auto resolved = store().reader().resolve(place, filter);
    EXPECT_TRUE(resolved) << (resolved ? "" : resolved.error().message);
    return resolved ? *resolved : ResolvedStart{};
  }
  Position position_at(Sequence sequence) {
    const auto position = store().reader().position_at(sequence);
    EXPECT_TRUE(position) << (position ? "" : position.error().message);
    return position ? *position : Position{};
  }
  void expect_place(const ResolvedStart& resolved, Sequence after, bool resumed) {
    EXPECT_EQ(resolved.outcome, Outcome::kOk);
    EXPECT_EQ(resolved.after, after);
    EXPECT_EQ(resolved.resumed, resumed);
    EXPECT_EQ(resolved.position, position_at(after));
    EXPECT_EQ(resolved.head, store().tail().head());
    EXPECT_EQ(resolved.floor, store().floor());
  }
};

TEST_F(ResolveTest, StartAndHead) {
  expect_place(resolve(FromStart{}), 0, false);
  expect_place(resolve(FromHead{}), 0, false);
  fill("a", 5);
  expect_place(resolve(FromStart{}), 0, false);
  expect_place(resolve(FromHead{}), 5, false);
}

TEST_F(ResolveTest, PositionsOfThisHistoryResume) {
  options_.tail_bytes_max = std::size_t{16} << 10;
  for (int i = 0; i < 10; ++i) fill("a", 30);
  const auto check_all = [&] {
    for (const Sequence sequence : {0u, 1u, 2u, 150u, 299u, 300u}) {
      expect_place(resolve(AfterPosition{position_at(sequence)}), sequence, true);
      expect_place(resolve(AfterSequence{sequence}), sequence, true);
    }
  };
  check_all();
  reopen();
  check_all();
}

TEST_F(ResolveTest, APositionWithAnotherCheckIsRewound) {
  fill("a", 5);
  Position position = position_at(3);
  position.check ^= 1;
  const ResolvedStart resolved = resolve(AfterPosition{position});
  EXPECT_EQ(resolved.outcome, Outcome::kRewound);
  EXPECT_EQ(resolved.head, 5u);
  EXPECT_EQ(resolved.floor, 1u);
  position = position_at(0);
  position.check ^= 1;
  EXPECT_EQ(resolve(AfterPosition{position}).outcome, Outcome::kRewound);
}

TEST_F(ResolveTest, APlaceAboveTheHeadIsAhead) {
  fill("a", 5);
  Position position = position_at(5);
  position.sequence = 6;
  EXPECT_EQ(resolve(AfterPosition{position}).outcome, Outcome::kAhead);
  EXPECT_EQ(resolve(AfterSequence{6}).outcome, Outcome::kAhead);
  EXPECT_EQ(resolve(AfterSequence{~std::uint64_t{0}}).outcome, Outcome::kAhead);
  position.sequence = ~std::uint64_t{0};
  EXPECT_EQ(resolve(AfterPosition{position}).outcome, Outcome::kAhead);
}

TEST_F(ResolveTest, APositionOfAnotherLogIsUnknown) {
  fill("a", 5);
  Position position = position_at(3);
  position.log = LogId::parse("bcdefghijklmnopq").value();
  EXPECT_EQ(resolve(AfterPosition{position}).outcome, Outcome::kUnknownLog);
  position.sequence = 99;
  EXPECT_EQ(resolve(AfterPosition{position}).outcome, Outcome::kUnknownLog);
}

TEST_F(ResolveTest, TimesAreInclusiveAndBetweenFloorAndHead) {
  for (const std::int64_t time_us : {1'000'000, 2'000'000, 3'000'000}) {
    clock_.set_wall_us(time_us);
    fill("a", 3);
  }
  struct Case {
    std::int64_t time_us;
    Sequence after;
  };
  const Case cases[] = {{0, 0},         {999'999, 0},   {1'000'000, 0},
                        {1'000'001, 3}, {2'000'000, 3}, {2'500'000, 6},
                        {3'000'000, 6}, {3'000'001, 9}, {9'000'000, 9}};
  for (int round = 0; round < 2; ++round) {
    for (const Case& tested : cases) {
      expect_place(resolve(FromTime{tested.time_us}), tested.after, false);
      const auto last = store().reader().last_before_time(tested.time_us);
      ASSERT_TRUE(last);
      EXPECT_EQ(*last, tested.after);
    }
    reopen();
  }
}

TEST_F(ResolveTest, LastNCountsMatchingEventsOnly) {
  options_.tail_bytes_max = std::size_t{16} << 10;
  for (int i = 0; i < 20; ++i) {
    fill("often", 20);
    fill("rare", 1);  // at 21, 42, .. 420
  }
  struct Case {
    const char* pattern;
    std::uint32_t count;
    Sequence first;  // that is delivered
  };
  const Case cases[] = {{">", 1, 420},    {">", 420, 1},    {">", 10'000, 1},  {"rare", 1, 420},
                        {"rare", 2, 399}, {"rare", 20, 21}, {"often", 21, 398}};
  for (const Case& tested : cases) {
    const Filter filter = Filter::make({tested.pattern}, {}).value();
    const ResolvedStart resolved = resolve(LastN{tested.count}, filter);
    ASSERT_EQ(resolved.outcome, Outcome::kOk);
    const auto events = read_log(store(), filter, resolved.after);
    ASSERT_TRUE(events);
    ASSERT_FALSE(events->empty());
    EXPECT_EQ(events->front().sequence, tested.first) << tested.pattern << " " << tested.count;
    EXPECT_FALSE(resolved.resumed);
    EXPECT_EQ(resolved.position, position_at(resolved.after));
  }
  const Filter few = Filter::make({"rare"}, {}).value();
  const auto all = read_log(store(), few, resolve(LastN{1000}, few).after);
  ASSERT_TRUE(all);
  EXPECT_EQ(all->size(), 20u) << "more than there are means all of them";
  const Filter none = Filter::make({"nobody"}, {}).value();
  const auto nothing = read_log(store(), none, resolve(LastN{5}, none).after);
  ASSERT_TRUE(nothing);
  EXPECT_TRUE(nothing->empty());
}

TEST_F(ResolveTest, LastNHonoursTypes) {
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(publish(
        {EventBuilder{.id = std::to_string(i), .stream = "a", .type = i % 10 == 0 ? "x" : "y"}
             .build()}));
  }
  for (const char* pattern : {"a", ">"}) {
    const Filter filter = Filter::make({pattern}, {"x"}).value();
    const auto events = read_log(store(), filter, resolve(LastN{2}, filter).after);
    ASSERT_TRUE(events);
    ASSERT_EQ(events->size(), 2u) << pattern;
    EXPECT_EQ(events->front().sequence, 31u);
  }
}

TEST_F(ResolveTest, PlacesBelowTheFloorAreTrimmed) {
  for (int i = 0; i < 10; ++i) fill("a", 10);
  const Position low = position_at(20);
  store().wait_for_index();
  ASSERT_EQ(*store().trim(51), 51u);
  for (const StartPlace& place : {StartPlace{AfterPosition{low}}, StartPlace{AfterSequence{20}},
                                  StartPlace{AfterSequence{49}}, StartPlace{AfterSequence{0}}}) {
    const ResolvedStart resolved = resolve(place);
    EXPECT_EQ(resolved.outcome, Outcome::kTrimmed);
    EXPECT_EQ(resolved.floor, 51u);
    EXPECT_EQ(resolved.head, 100u);
  }
  EXPECT_EQ(resolve(AfterPosition{low}).after, 20u);
  expect_place(resolve(AfterSequence{50}), 50, true);
  expect_place(resolve(AfterPosition{position_at(50)}), 50, true);
  expect_place(resolve(FromStart{}), 50, false);
  expect_place(resolve(FromTime{0}), 50, false);
  EXPECT_FALSE(store().reader().position_at(49));
  EXPECT_FALSE(store().reader().position_at(101));
}

}  // namespace
}  // namespace tidegate::test
