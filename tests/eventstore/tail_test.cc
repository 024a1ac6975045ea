#include "eventstore/tail.h"

#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "eventstore/segment.h"

namespace tidegate::test {
namespace {

RecordView record(Sequence sequence, std::string_view event = "bytes") {
  RecordView view;
  view.sequence = sequence;
  view.revision = sequence;
  view.chain = sequence * 7;
  view.stream = "orders.1";
  view.event = event;
  return view;
}

TEST(SegmentTest, IsVisibleUpToWhatWasPublished) {
  Segment segment(4096, 16);
  ASSERT_TRUE(segment.append(record(5)));
  ASSERT_TRUE(segment.append(record(6)));
  EXPECT_EQ(segment.count(), 0u);
  EXPECT_EQ(segment.first(), 0u);
  EXPECT_EQ(segment.last(), 0u);
  segment.publish(5);
  EXPECT_EQ(segment.count(), 1u);
  EXPECT_FALSE(segment.is_published());
  segment.publish(6);
  EXPECT_TRUE(segment.is_published());
  EXPECT_EQ(segment.first(), 5u);
  EXPECT_EQ(segment.last(), 6u);
}

TEST(SegmentTest, CopiesWhatItTakes) {
  Segment segment(4096, 16);
  {
    std::string event = "short-lived";
    ASSERT_TRUE(segment.append(record(1, event)));
    event.assign(event.size(), '#');
  }
  segment.publish(1);
  EXPECT_EQ(segment.record(0).event, "short-lived");
  EXPECT_EQ(segment.record(0).stream, "orders.1");
}

TEST(SegmentTest, RefusesBeyondItsBoundsButTakesOneLargeEvent) {
  Segment few(4096, 2);
  EXPECT_TRUE(few.append(record(1)));
  EXPECT_TRUE(few.append(record(2)));
  EXPECT_FALSE(few.append(record(3)));
  Segment small(100, 16);
  const std::string large(1000, 'x');
  EXPECT_TRUE(small.append(record(1, large)));
  EXPECT_FALSE(small.append(record(2, large)));
  small.publish(1);
  EXPECT_EQ(small.record(0).event, large);
  EXPECT_GE(small.bytes(), 1000u);
}

TEST(SegmentTest, FindsThePlaceAfterASequenceAlsoWithHoles) {
  Segment segment(4096, 16);
  for (const Sequence sequence : {3u, 5u, 9u}) ASSERT_TRUE(segment.append(record(sequence)));
  segment.publish(9);
  const std::pair<Sequence, std::size_t> cases[] = {{0, 0}, {2, 0}, {3, 1}, {4, 1},
                                                    {5, 2}, {8, 2}, {9, 3}, {99, 3}};
  for (const auto& [after, index] : cases) EXPECT_EQ(segment.index_after(after), index) << after;
}

TEST(SegmentTest, EncodesEachFormOnceAndCountsItsBytes) {
  Segment segment(4096, 16);
  ASSERT_TRUE(segment.append(record(1)));
  segment.publish(1);
  int calls = 0;
  const auto encode = [&](const RecordView& view, std::string& out) {
    ++calls;
    out = fmt::format("[{}]{}", view.sequence, std::string(500, ' '));
  };
  const std::size_t before = segment.bytes();
  const std::string_view json = segment.encoded(0, WireForm::kJson, encode);
  EXPECT_EQ(json.substr(0, 3), "[1]");
  EXPECT_EQ(segment.encoded(0, WireForm::kJson, encode).data(), json.data());
  EXPECT_EQ(calls, 1);
  segment.encoded(0, WireForm::kProto, encode);
  EXPECT_EQ(calls, 2);
  EXPECT_GE(segment.bytes(), before + 1000);
}

TEST(SegmentTest, ConcurrentEncodersAgree) {
  Segment segment(1 << 16, 256);
  for (Sequence i = 1; i <= 200; ++i) ASSERT_TRUE(segment.append(record(i)));
  segment.publish(200);
  const auto encode = [](const RecordView& view, std::string& out) {
    out = std::to_string(view.sequence);
  };
  std::vector<const char*> first(200);
  std::vector<const char*> second(200);
  const auto run = [&](std::vector<const char*>& out) {
    for (std::size_t i = 0; i < 200; ++i)
      out[i] = segment.encoded(i, WireForm::kJson, encode).data();
  };
  std::thread other([&] { run(second); });
  run(first);
  other.join();
  EXPECT_EQ(first, second);
}

class TailTest : public ::testing::Test {
 protected:
  void append(Tail& tail, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) tail.append(record(++last_, event_));
  }
  void publish(Tail& tail) { tail.publish({last_, last_ * 7}); }

  Sequence last_ = 0;
  std::string event_ = std::string(200, 'e');
};

TEST_F(TailTest, BeginsEmptyAfterTheDurableEnd) {
  const Tail tail(1 << 20, {41, 7});
  EXPECT_EQ(tail.head(), 41u);
  EXPECT_EQ(tail.first(), 42u);
  EXPECT_EQ(tail.durable_head().chain, 7u);
  EXPECT_EQ(tail.find(41), nullptr);
  EXPECT_EQ(tail.find(42), nullptr);
}

TEST_F(TailTest, ShowsOnlyWhatIsDurable) {
  Tail tail(1 << 20, {0, 0});
  append(tail, 10);
  EXPECT_EQ(tail.head(), 0u);
  EXPECT_EQ(tail.find(1), nullptr);
  tail.publish({4, 28});
  EXPECT_EQ(tail.head(), 4u);
  ASSERT_NE(tail.find(4), nullptr);
  EXPECT_EQ(tail.find(4)->last(), 4u);
  EXPECT_EQ(tail.find(5), nullptr);
  publish(tail);
  EXPECT_EQ(tail.find(10)->last(), 10u);
}

TEST_F(TailTest, EverySequenceBetweenFirstAndHeadIsFound) {
  Tail tail(64 << 10, {0, 0});
  for (int round = 0; round < 100; ++round) {
    append(tail, 7);
    publish(tail);
    for (Sequence at = tail.first(); at <= tail.head(); ++at) {
      const SegmentRef segment = tail.find(at);
      ASSERT_NE(segment, nullptr) << at;
      ASSERT_EQ(segment->record(segment->index_after(at - 1)).sequence, at);
    }
    ASSERT_EQ(tail.find(tail.first() - 1), nullptr);
  }
  EXPECT_GT(tail.first(), 1u);
  EXPECT_LE(tail.bytes(), std::size_t{80} << 10);
}

TEST_F(TailTest, AHeldSegmentOutlivesItsPlaceInTheTail) {
  Tail tail(32 << 10, {0, 0});
  append(tail, 3);
  publish(tail);
  const SegmentRef held = tail.find(1);
  for (int round = 0; round < 100; ++round) {
    append(tail, 10);
    publish(tail);
  }
  EXPECT_EQ(tail.find(1), nullptr);
  EXPECT_EQ(held->record(0).event, event_);
}

TEST_F(TailTest, ReadersFollowAWriterWithoutLosingAnEvent) {
  Tail tail(256 << 10, {0, 0});
  constexpr Sequence kEvents = 20'000;
  std::atomic<std::uint64_t> errors{0};
  std::thread reader([&] {
    Sequence place = 0;
    while (place < kEvents) {
      const SegmentRef segment = tail.find(place + 1);
      if (!segment) {
        // Not written yet, or dropped already: jump to what is there.
        if (place + 1 < tail.first()) place = tail.first() - 1;
        continue;
      }
      for (std::size_t i = segment->index_after(place); i < segment->count(); ++i) {
        const RecordView& seen = segment->record(i);
        if (seen.sequence != place + 1 || seen.chain != seen.sequence * 7 || seen.event != event_)
          ++errors;
        place = seen.sequence;
      }
    }
  });
  while (last_ < kEvents) {
    append(tail, 10);
    publish(tail);
  }
  reader.join();
  EXPECT_EQ(errors, 0u);
}

}  // namespace
}  // namespace tidegate::test
