// What the log of presence holds when the log itself takes nothing for a while.

#include "gateway/ops/presence_log.h"

#include <set>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "eventstore/filter.h"
#include "tests/support/store_fixture.h"

namespace tidegate::test {
namespace {

class PresenceLogTest : public StoreTest {
 protected:
  // The common checks read what patterns match, and no pattern matches all reserved streams.
  void TearDown() override {
    store_.reset();
    EXPECT_TRUE(fatal_reasons().empty());
  }
};

TEST_F(PresenceLogTest, WithoutRoomBeginningsAreLeftOutAndNoEndIs) {
  PresenceLog presence(store(), nullptr, clock_);
  const auto filter = Filter::make({"a.>"}, {});
  ASSERT_TRUE(filter);
  presence.connected("early", "ann", "test");
  presence.subscribed("early", "s", *filter);
  ASSERT_TRUE(eventually([&] { return store().tail().head() == 2; }));

  free_bytes_ = 0;
  ASSERT_TRUE(eventually([&] { return store().status().disk_low; }));
  std::size_t begun = 0;
  for (; presence.left_out() == 0 && begun <= 2 * PresenceLog::kChangesMax; ++begun)
    presence.connected(fmt::format("c{}", begun), "ann", "test");
  EXPECT_EQ(presence.left_out(), 1U);
  EXPECT_LE(begun, 2 * PresenceLog::kChangesMax);
  presence.unsubscribed("early", "s");
  for (std::size_t i = 0; i < begun; ++i) presence.disconnected(fmt::format("c{}", i));
  presence.disconnected("early");

  free_bytes_ = std::uint64_t{1} << 40;
  // One of the `begun` was left out, and so is its end.
  const Sequence all = 2 + 2 * (begun - 1) + 2;
  EXPECT_TRUE(eventually([&] { return store().tail().head() == all; })) << store().tail().head();
  const auto stream = Filter::make({"_sys.presence"}, {});
  ASSERT_TRUE(stream);
  const auto events = read_log(store(), *stream);
  ASSERT_TRUE(events);
  ASSERT_EQ(events->size(), all);
  std::multiset<std::string> types;
  for (const LoggedEvent& event : *events) types.insert(event.type);
  EXPECT_EQ(types.count("presence.connected"), types.count("presence.disconnected"));
  EXPECT_EQ(types.count("presence.subscribed"), types.count("presence.unsubscribed"));
}

// The log may take a request and refuse it afterwards.
TEST_F(PresenceLogTest, AnEndIsToldWhenTheDiskHasRoomAgain) {
  PresenceLog presence(store(), nullptr, clock_);
  presence.connected("early", "ann", "test");
  ASSERT_TRUE(eventually([&] { return store().tail().head() == 1; }));
  // So little that the log asks before each group.
  const std::uint64_t little = options_.disk_soft_bytes + 1;
  free_bytes_ = little;
  ASSERT_TRUE(eventually([&] { return store().status().disk_free_bytes == little; }));
  free_bytes_ = 0;
  presence.disconnected("early");
  ASSERT_TRUE(eventually([&] { return store().status().disk_low; }));
  EXPECT_EQ(store().tail().head(), 1U);
  free_bytes_ = std::uint64_t{1} << 40;
  EXPECT_TRUE(eventually([&] { return store().tail().head() == 2; }));
}

TEST_F(PresenceLogTest, AppendsWhatWaitsWhenItEnds) {
  {
    PresenceLog presence(store(), nullptr, clock_);
    for (int i = 0; i < 2'000; ++i) presence.connected(fmt::format("c{}", i), "ann", "test");
    for (int i = 0; i < 2'000; ++i) presence.disconnected(fmt::format("c{}", i));
  }
  EXPECT_TRUE(eventually([&] { return store().tail().head() == 4'000; }));
}

}  // namespace
}  // namespace tidegate::test
