#include <random>

#include "tests/support/store_fixture.h"

namespace tidegate::test {
namespace {

using Sequences = std::vector<Sequence>;

Sequences sequences_of(const std::vector<LoggedEvent>& events) {
  Sequences out;
  for (const LoggedEvent& event : events) out.push_back(event.sequence);
  return out;
}

// A log of random streams and types, written in random batches with a tail so small that most of it
// is on disk only, and a model of it. The parameter is the seed.
class ReadTest : public StoreTest, public ::testing::WithParamInterface<unsigned> {
 protected:
  void write(std::size_t events) {
    while (events > 0) {
      std::vector<NewEvent> batch;
      const std::size_t size = std::min<std::size_t>(events, 1 + random_() % 40);
      for (std::size_t i = 0; i < size; ++i) batch.push_back(random_event());
      events -= size;
      clock_.advance_us(static_cast<std::int64_t>(random_() % 1000));
      const auto result = publish(batch);
      ASSERT_TRUE(result) << result.error().message;
      for (std::size_t i = 0; i < size; ++i) {
        ASSERT_EQ(result->events[i].sequence, model_.size() + 1);
        LoggedEvent event;
        event.sequence = model_.size() + 1;
        event.revision = result->events[i].revision;
        event.append_time_us = clock_.wall_us();
        event.stream = batch[i].stream;
        event.type = types_.back();
        event.event = batch[i].event;
        event.type = types_[types_.size() - size + i];
        model_.push_back(event);
      }
    }
  }
  NewEvent random_event() {
    static const char* const kFirst[] = {"orders", "flights", "rare"};
    static const char* const kTypes[] = {"placed", "paid", "sent"};
    const auto pick = random_() % 50;
    std::string stream = kFirst[pick == 0 ? 2 : pick % 2];
    const auto depth = random_() % 3;
    for (std::uint64_t i = 0; i <= depth; ++i) stream += "." + std::to_string(random_() % 4);
    types_.push_back(kTypes[random_() % 3]);
    return EventBuilder{.id = std::to_string(types_.size()),
                        .stream = stream,
                        .type = types_.back(),
                        .data = std::string(random_() % 200, 'd')}
        .build();
  }
  Filter random_filter() {
    static const std::vector<std::string> kPatterns = {
        ">",           "orders.>", "*.1",        "*.1.2",        "orders.*.3",
        "flights.2.>", "rare.>",   "orders.1.2", "orders.1.2.3", "rare.0.1",
        "flights.3",   "nobody.1", "nobody.>",   "*.*.*.*"};
    std::vector<std::string> streams;
    const bool exact = random_() % 3 == 0;
    while (streams.empty() || random_() % 3 == 0) {
      const std::string& pattern = kPatterns[random_() % kPatterns.size()];
      if (exact && pattern.find_first_of("*>") != std::string::npos) continue;
      streams.push_back(pattern);
    }
    std::vector<std::string> types;
    if (random_() % 3 == 0) types.push_back("paid");
    return Filter::make(streams, types).value();
  }
  Sequences expected(const Filter& filter, Sequence after, Sequence before) const {
    Sequences out;
    for (const LoggedEvent& event : model_) {
      if (event.sequence <= after || event.sequence >= before) continue;
      if (filter.matches(event.stream, event.type)) out.push_back(event.sequence);
    }
    return out;
  }
  // A place, with a liking for the border between disk and tail.
  Sequence random_place() {
    const Sequence head = model_.size();
    switch (random_() % 4) {
      case 0:
        return std::min(head, store().tail().first() - 1 + random_() % 3);
      case 1:
        return random_() % 2 == 0 ? 0 : head;
      default:
        return random_() % (head + 1);
    }
  }
  void compare_reads(int rounds) {
    const Sequence head = model_.size();
    for (int i = 0; i < rounds; ++i) {
      const Filter filter = random_filter();
      const Sequence place = random_place();
      const auto forward = read_log(store(), filter, place);
      ASSERT_TRUE(forward) << forward.error().message;
      ASSERT_EQ(sequences_of(*forward), expected(filter, place, head + 1))
          << describe(filter) << " after " << place;
      const auto backward = read_log_backward(store(), filter, place + 1);
      ASSERT_TRUE(backward) << backward.error().message;
      Sequences ascending = sequences_of(*backward);
      std::reverse(ascending.begin(), ascending.end());
      ASSERT_EQ(ascending, expected(filter, 0, place + 1))
          << describe(filter) << " below " << place + 1;
    }
  }
  static std::string describe(const Filter& filter) {
    std::string out;
    for (const Pattern& pattern : filter.patterns()) out += pattern.text() + " ";
    for (const std::string& type : filter.types()) out += "/" + type;
    return out;
  }

  std::mt19937_64 random_{GetParam()};
  std::vector<LoggedEvent> model_;
  std::vector<std::string> types_;
};

TEST_P(ReadTest, EveryFilterFromEveryPlaceEqualsTheModel) {
  options_.tail_bytes_max = std::size_t{32} << 10;
  options_.chunk_cache_bytes_max = std::size_t{64} << 10;
  open();
  write(1500);
  ASSERT_GT(store().tail().first(), 1u) << "everything is in the tail: the test tests nothing";
  compare_reads(60);
  reopen();
  compare_reads(20);
  write(300);
  compare_reads(40);
}

TEST_P(ReadTest, AllFieldsAreThoseOfTheModelOnDiskAndInTheTail) {
  options_.tail_bytes_max = std::size_t{32} << 10;
  open();
  write(600);
  auto events = read_log(store());
  ASSERT_TRUE(events);
  ASSERT_EQ(events->size(), model_.size());
  for (std::size_t i = 0; i < model_.size(); ++i) {
    model_[i].chain = (*events)[i].chain;  // checked by the invariants
    ASSERT_EQ((*events)[i], model_[i]) << i;
  }
}

TEST_P(ReadTest, ReadsAreRightWhileEventsAreBeingAppended) {
  options_.tail_bytes_max = std::size_t{16} << 10;
  open();
  write(300);
  std::atomic<bool> stop{false};
  std::vector<std::string> problems;
  std::thread reader([&] {
    std::mt19937_64 random(GetParam() + 100);
    const Filter exact = Filter::make({"orders.1.2", "flights.3"}, {}).value();
    const Filter wild = Filter::make({"orders.>"}, {}).value();
    while (!stop) {
      const Sequence head = store_->tail().head();
      const Filter& filter = random() % 2 == 0 ? exact : wild;
      const auto events = read_log(*store_, filter, random() % (head + 1));
      if (!events) problems.push_back(events.error().message);
    }
  });
  write(1200);
  stop = true;
  reader.join();
  EXPECT_EQ(problems, std::vector<std::string>{});
  compare_reads(20);
}

INSTANTIATE_TEST_SUITE_P(Seeds, ReadTest, ::testing::Values(1u, 2u, 3u));

class ReaderTest : public StoreTest {};

TEST_F(ReaderTest, AnEmptyLogHasNothing) {
  const auto chunk = store().reader().read(Filter::everything(), 0);
  ASSERT_TRUE(chunk);
  EXPECT_EQ(chunk->segment, nullptr);
  EXPECT_EQ(chunk->examined, 0u);
  const auto events = read_log_backward(store(), Filter::everything(), 1);
  ASSERT_TRUE(events);
  EXPECT_TRUE(events->empty());
}

TEST_F(ReaderTest, AtTheHeadAStepStaysWhereItIs) {
  fill("a", 3);
  const auto chunk = store().reader().read(Filter::everything(), 3);
  ASSERT_TRUE(chunk);
  EXPECT_EQ(chunk->segment, nullptr);
  EXPECT_EQ(chunk->examined, 3u);
}

TEST_F(ReaderTest, AChunkTellsTheChainOfThePlaceItExamined) {
  options_.tail_bytes_max = std::size_t{16} << 10;
  for (int i = 0; i < 20; ++i) fill(i % 4 == 0 ? "rare" : "a", 30);
  const auto all = read_log(store());
  ASSERT_TRUE(all);
  for (const char* stream : {"rare", "a", "nobody"}) {
    const Filter filter = Filter::make({stream}, {}).value();
    for (Sequence after = 0; after < 600;) {
      const auto chunk = store().reader().read(filter, after);
      ASSERT_TRUE(chunk);
      ASSERT_GT(chunk->examined, after);
      EXPECT_EQ(chunk->chain, (*all)[chunk->examined - 1].chain)
          << stream << " at " << chunk->examined;
      after = chunk->examined;
    }
  }
}

TEST_F(ReaderTest, AStepByTheIndexHasNoMoreEventsThanAreWanted) {
  options_.tail_bytes_max = std::size_t{16} << 10;
  for (int i = 0; i < 40; ++i) {
    fill("often", 50);
    fill("rare", 1);
  }
  store().wait_for_index();
  const Filter rare = Filter::make({"rare"}, {}).value();
  for (const std::size_t look_ups : {std::size_t{1}, std::size_t{3}, Reader::kLookUpsMax}) {
    const auto chunk = store().reader().read(rare, 0, look_ups);
    ASSERT_TRUE(chunk);
    ASSERT_TRUE(chunk->segment);
    EXPECT_EQ(chunk->segment->count(), std::min<std::size_t>(look_ups, 40));
    EXPECT_EQ(chunk->segment->first(), 51u);
    if (look_ups < 40) EXPECT_EQ(chunk->examined, 51u * look_ups);
  }
}

// Wildcards are answered by the index when they match few streams, and by the log when they match
// many or when too many begin alike.
TEST_F(ReaderTest, WildcardsFindTheSameEventsHoweverManyStreamsThereAre) {
  options_.tail_bytes_max = std::size_t{16} << 10;
  std::vector<NewEvent> events;
  const auto add = [&](const std::string& stream) {
    events.push_back(EventBuilder{.id = std::to_string(events.size()), .stream = stream}.build());
  };
  for (int i = 0; i < 1200; ++i) {
    add(fmt::format("many.{}.x", i));
    if (i % 10 == 0) add(fmt::format("some.{}.x", i));
    if (i % 100 == 0) add("few.1.x");
  }
  add("many.7.rare");
  ASSERT_TRUE(publish(std::move(events)));
  fill("after", 300);
  reopen();
  const auto all = read_log(store());
  ASSERT_TRUE(all);
  for (const char* pattern :
       {"few.*.x", "few.>", "some.*.x", "many.>", "many.*.rare", "*.1.x", "many.7.*", "nobody.*"}) {
    SCOPED_TRACE(pattern);
    const auto filter = Filter::make({pattern, "few.1.x"}, {});
    ASSERT_TRUE(filter);
    Sequences expected;
    for (const LoggedEvent& event : *all) {
      if (filter->matches_stream(event.stream)) expected.push_back(event.sequence);
    }
    const auto forward = read_log(store(), *filter);
    ASSERT_TRUE(forward);
    EXPECT_EQ(sequences_of(*forward), expected);
    const auto backward = read_log_backward(store(), *filter, all->size() + 1);
    ASSERT_TRUE(backward);
    EXPECT_EQ(backward->size(), expected.size());
  }
}

TEST_F(ReaderTest, TypesOfAnExactFilterAreTheReadersBusiness) {
  ASSERT_TRUE(publish({EventBuilder{.id = "1", .stream = "a", .type = "x"}.build(),
                       EventBuilder{.id = "2", .stream = "a", .type = "y"}.build()}));
  const auto events = read_log(store(), Filter::make({"a"}, {"y"}).value());
  ASSERT_TRUE(events);
  EXPECT_EQ(sequences_of(*events), (Sequences{2}));
}

TEST_F(ReaderTest, StepsOfLargeEventsAreShort) {
  options_.tail_bytes_max = std::size_t{64} << 10;
  constexpr std::size_t kLarge = 30;
  for (std::size_t i = 0; i < kLarge; ++i) {
    ASSERT_TRUE(publish(
        {EventBuilder{.id = std::to_string(i), .stream = "large", .data = std::string(900'000, 'x')}
             .build()}));
  }
  for (int i = 0; i < 12; ++i) fill("a", 100);
  reopen();
  for (const char* pattern : {">", "large"}) {
    SCOPED_TRACE(pattern);
    const Filter filter = Filter::make({pattern}, {}).value();
    const auto events = read_log(store(), filter);
    ASSERT_TRUE(events);
    ASSERT_GE(events->size(), kLarge);
    EXPECT_EQ(events->size(), std::string_view(pattern) == ">" ? kLarge + 1200 : kLarge);
    EXPECT_GT((*events)[kLarge - 1].event.size(), 900'000u);
    const auto backward = read_log_backward(store(), filter, 31);
    ASSERT_TRUE(backward);
    EXPECT_EQ(backward->size(), kLarge);
    // What one reader holds at a time, wherever it is.
    for (Sequence after = 0; after < 40; after += 6) {
      const auto forward = store().reader().read(filter, after);
      ASSERT_TRUE(forward);
      if (forward->segment) EXPECT_LT(forward->segment->bytes(), std::size_t{6} << 20);
      const auto down = store().reader().read_backward(filter, after + 2);
      ASSERT_TRUE(down);
      if (down->segment) EXPECT_LT(down->segment->bytes(), std::size_t{6} << 20);
    }
  }
}

TEST_F(ReaderTest, PostedReadsRunAndAreBounded) {
  options_.replay_threads = 1;
  EventStore& store = open();
  std::promise<void> ran;
  ASSERT_TRUE(store.post_read([&] { ran.set_value(); }));
  ASSERT_EQ(ran.get_future().wait_for(kDeadline), std::future_status::ready);

  std::promise<void> release;
  auto released = release.get_future().share();
  ASSERT_TRUE(store.post_read([released] { released.wait(); }));
  std::size_t queued = 0;
  while (queued < 200'000 && store.post_read([] {})) ++queued;
  release.set_value();
  EXPECT_GE(queued, 99'999u);
  EXPECT_LE(queued, 100'001u);
}

}  // namespace
}  // namespace tidegate::test
