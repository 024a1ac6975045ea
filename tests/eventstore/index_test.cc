#include "tests/support/store_fixture.h"

namespace tidegate::test {
namespace {

class IndexTest : public StoreTest {
 protected:
  std::vector<std::string> names(std::string_view prefix, std::string_view after,
                                 std::size_t limit) {
    store().wait_for_index();
    std::vector<std::string> out;
    const auto page = store().list_streams(prefix, after, limit);
    EXPECT_TRUE(page) << (page ? "" : page.error().message);
    if (!page) return out;
    for (const StreamInfo& info : *page) out.push_back(info.name);
    return out;
  }
  using Names = std::vector<std::string>;
};

TEST_F(IndexTest, TellsAboutAStream) {
  clock_.set_wall_us(1'000'000);
  fill("a", 3);
  fill("b", 2);
  clock_.set_wall_us(2'000'000);
  fill("a", 1);
  for (int round = 0; round < 2; ++round) {
    const auto info = store().stream_info("a");
    ASSERT_TRUE(info);
    EXPECT_EQ(info->name, "a");
    EXPECT_EQ(info->first_revision, 1u);
    EXPECT_EQ(info->last_revision, 4u);
    EXPECT_EQ(info->last_sequence, 6u);
    EXPECT_EQ(info->last_time_us, 2'000'000);
    reopen();
  }
  const auto missing = store().stream_info("nobody");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::kNotFound);
}

TEST_F(IndexTest, KnowsAStreamAsSoonAsItsEventIsAnswered) {
  // The index is written off the acknowledgement path; the answer must not depend on it.
  for (int i = 0; i < 50; ++i) {
    const std::string stream = "s." + std::to_string(i);
    fill(stream, 2);
    const auto info = store().stream_info(stream);
    ASSERT_TRUE(info) << stream;
    EXPECT_EQ(info->last_revision, 2u);
    const auto events = read_log(store(), Filter::make({stream}, {}).value());
    ASSERT_TRUE(events);
    EXPECT_EQ(events->size(), 2u);
  }
}

TEST_F(IndexTest, ListsStreamsInNameOrderByPages) {
  for (const char* stream : {"orders.2", "orders.10", "flights.1", "orders.1", "orders-x.1", "z"})
    fill(stream, 1);
  EXPECT_EQ(names("", "", 100),
            (Names{"flights.1", "orders-x.1", "orders.1", "orders.10", "orders.2", "z"}));
  EXPECT_EQ(names("orders.", "", 100), (Names{"orders.1", "orders.10", "orders.2"}));
  EXPECT_EQ(names("orders.", "orders.1", 1), (Names{"orders.10"}));
  EXPECT_EQ(names("", "orders.2", 100), (Names{"z"}));
  EXPECT_EQ(names("nobody", "", 100), Names{});
  reopen();
  EXPECT_EQ(names("", "", 3), (Names{"flights.1", "orders-x.1", "orders.1"}));
}

TEST_F(IndexTest, CatchesUpToTheHead) {
  fill("a", 500);
  store().wait_for_index();
  EXPECT_EQ(store().status().indexed, 500u);
  reopen();
  EXPECT_EQ(store().status().indexed, 500u) << "it catches up before the store is open";
}

TEST_F(IndexTest, IsRebuiltFromTheLogAfterACrashWithoutAFlush) {
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 20; ++i) fill("s." + std::to_string(i % 7), 5);
    store().wait_for_index();
    expects_fatal_ = true;
    disk_->cut(SimulatedDisk::Cut::kPower);
    close();
    disk_->restart();
    open();
    EXPECT_EQ(check_invariants(*store_), std::vector<std::string>{});
    EXPECT_EQ(store().tail().head(), static_cast<Sequence>(100 * (round + 1)));
  }
}

TEST_F(IndexTest, ATailFarSmallerThanTheLoadDoesNotStopTheAppender) {
  options_.tail_bytes_max = std::size_t{8} << 10;
  for (int i = 0; i < 30; ++i) fill("s." + std::to_string(i % 5), 100);
  EXPECT_EQ(store().tail().head(), 3000u);
}

TEST_F(IndexTest, RunsAreReadInOrderForVeryUnevenStreams) {
  options_.tail_bytes_max = std::size_t{32} << 10;
  for (int i = 0; i < 60; ++i) {
    fill("often", 50);
    if (i % 10 == 9) fill("rare", 1);
  }
  store().wait_for_index();
  const Filter rare = Filter::make({"rare"}, {}).value();
  Sequence place = 0;
  std::size_t steps = 0;
  while (place < store().tail().head()) {
    const auto chunk = store().reader().read(rare, place);
    ASSERT_TRUE(chunk);
    place = chunk->examined;
    ++steps;
  }
  EXPECT_LE(steps, 20u) << "an exact filter scans the log";
}

}  // namespace
}  // namespace tidegate::test
