// Watches of projections.

#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "tests/delivery/projection_fixture.h"

namespace tidegate::test {
namespace {

class SessionProjectionTest : public ProjectionFixture {};

TEST_F(SessionProjectionTest, WatchTellsRowsAndThenTheirChanges) {
  change({"a", "b", "c"}, "1");
  for (const WireForm form : {WireForm::kJson, WireForm::kProto}) {
    const auto peer = connect(form);
    Rows rows;
    auto seen = say(*peer, watch("w"));
    ASSERT_EQ(ops(seen), "rows w, rows w, snapshot_end w");
    EXPECT_EQ(seen[2].field("position"), projections_.position().text());
    EXPECT_EQ(seen[2].number("version"), 1U);
    take_rows(rows, seen);
    EXPECT_EQ(rows, projections_.table());

    change({"b", "d"}, R"({"n":2})");
    seen = heard(*peer);
    ASSERT_EQ(ops(seen), "rows w, watch_position w");
    EXPECT_EQ(seen[0].rows.at(0), (SeenMessage::Row{"b", R"({"n":2})", log_.head()}));
    EXPECT_EQ(seen[1].field("position"), projections_.position().text());
    change({"a"}, "");
    seen = heard(*peer);
    ASSERT_EQ(ops(seen), "rows w, watch_position w");
    EXPECT_EQ(seen[0].rows.at(0), (SeenMessage::Row{"a", "", log_.head()}));

    v1::ClientMessage unwatch;
    unwatch.mutable_unwatch()->set_id("w");
    seen = say(*peer, unwatch);
    ASSERT_EQ(ops(seen), "unwatched w");
    EXPECT_EQ(seen[0].field("reason"), "requested");
    change({"a"}, "3");
    EXPECT_EQ(ops(heard(*peer)), "");
    EXPECT_EQ(ops(say(*peer, unwatch)), "error w");
    change({"b", "c", "d"}, "1");
    change({"d"}, "");
  }
}

TEST_F(SessionProjectionTest, WatchOfNoRowsSaysSo) {
  append(1);
  projections_.commit();
  const auto peer = connect();
  EXPECT_EQ(ops(say(*peer, watch("w"))), "snapshot_end w");
}

TEST_F(SessionProjectionTest, WatchGoesOnWhereItWas) {
  change({"a", "b"}, "1");
  const Position before = projections_.position();
  change({"b"}, "2");
  for (const WireForm form : {WireForm::kJson, WireForm::kProto}) {
    const auto peer = connect(form);
    const auto seen = say(*peer, watch_after("w", before, 1));
    ASSERT_EQ(ops(seen), "rows w, snapshot_end w");
    ASSERT_EQ(seen[0].rows.size(), 1U);
    EXPECT_EQ(seen[0].rows[0].key, "b");
    projections_.forget_commits();
  }
  const auto peer = connect();
  const auto seen = say(*peer, watch_after("w", projections_.position(), 1));
  ASSERT_EQ(ops(seen), "snapshot_end w") << "nothing new: the place is confirmed";
  EXPECT_EQ(seen[0].field("position"), projections_.position().text());
}

TEST_F(SessionProjectionTest, WatchAfterAPlaceOfAnotherVersionBeginsAnew) {
  change({"a"}, "1");
  const auto peer = connect();
  const auto seen = say(*peer, watch_after("w", projections_.position(), 7));
  EXPECT_EQ(ops(seen), "watch_reset w, rows w, snapshot_end w");
}

TEST_F(SessionProjectionTest, TakeOverResetsWatches) {
  change({"a", "b"}, "1");
  const auto peer = connect();
  say(*peer, watch("w"));
  projections_.take_over();
  const auto seen = heard(*peer);
  ASSERT_EQ(ops(seen), "watch_reset w, rows w, snapshot_end w");
  EXPECT_EQ(seen[2].number("version"), 2U);
}

TEST_F(SessionProjectionTest, RemovalEndsWatches) {
  change({"a"}, "1");
  const auto peer = connect();
  say(*peer, watch("w"));
  projections_.remove();
  auto seen = heard(*peer);
  ASSERT_EQ(ops(seen), "unwatched w");
  EXPECT_EQ(seen[0].field("reason"), "removed");
  seen = say(*peer, watch("w"));
  ASSERT_EQ(ops(seen), "error w");
  EXPECT_EQ(seen[0].field("code"), "not_found");
}

TEST_F(SessionProjectionTest, TellsHowFarItIsWhenNothingMatches) {
  change({"a", "b"}, "1");
  const auto peer = connect();
  v1::ClientMessage message = watch("w");
  message.mutable_watch()->mutable_selection()->add_keys("b");
  EXPECT_EQ(ops(say(*peer, message)), "rows w, snapshot_end w");
  for (int i = 0; i < 3; ++i) change({"a"}, "2");
  EXPECT_EQ(ops(heard(*peer)), "");
  pass_ms(SessionLimits{}.position_ms + 500);
  auto seen = heard(*peer);
  ASSERT_EQ(ops(seen), "watch_position w");
  EXPECT_EQ(seen[0].field("position"), projections_.position().text());
  pass_ms(SessionLimits{}.position_ms + 500);
  EXPECT_EQ(ops(heard(*peer)), "") << "it has not moved";
}

TEST_F(SessionProjectionTest, ASlowPeerHoldsNothingAndMissesNothing) {
  change({"k"}, "0");
  const auto peer = connect();
  say(*peer, watch("w"));
  change({"k"}, "1");
  settle_log();
  ASSERT_TRUE(peer->transport.is_writing());
  const std::size_t memory = projections_.steps_in_memory;
  const std::size_t disk = projections_.steps_from_disk;
  for (int i = 2; i <= 100; ++i) {
    change({"k"}, std::to_string(i));
    settle_log();
  }
  EXPECT_EQ(projections_.steps_in_memory, memory);
  EXPECT_EQ(projections_.steps_from_disk, disk);
  projections_.forget_commits();
  const auto seen = heard(*peer);
  ASSERT_EQ(ops(seen), "rows w, watch_position w, rows w, watch_position w");
  EXPECT_EQ(seen[2].rows.at(0), (SeenMessage::Row{"k", "100", log_.head()}));
}

TEST_F(SessionProjectionTest, ReadsOneStepForAllWatchesAtATime) {
  for (int i = 0; i < 20; ++i) projections_.put(fmt::format("k{:02}", i), "1");
  change({}, "");
  const auto peer = connect();
  for (int i = 0; i < 5; ++i) peer->say(watch(fmt::format("w{}", i)));
  settle_log();
  EXPECT_LE(projections_.steps_from_disk, 2U);  // one in flight, one that waits for the socket
  const auto seen = heard(*peer);
  for (int i = 0; i < 5; ++i) {
    Rows rows;
    std::vector<SeenMessage> own;
    for (const SeenMessage& message : seen) {
      if (message.field("id") == fmt::format("w{}", i)) own.push_back(message);
    }
    take_rows(rows, own);
    EXPECT_EQ(rows, projections_.table());
    EXPECT_EQ(own.back().op, "snapshot_end");
  }
  EXPECT_NE(seen[0].field("id"), seen[1].field("id")) << "they take turns";
}

// What frees the disk may have nothing to tell, and stand behind who waits for it.
TEST_F(SessionProjectionTest, TheDiskGoesToWhoWasRefusedIt) {
  change({"b"}, "1");
  const auto peer = connect();
  ask(*peer, R"({"op":"subscribe","id":"s","streams":["x.y"]})");
  say(*peer, watch_prefix("b", "b"));
  say(*peer, watch_prefix("a", "a"));
  change({"b"}, "2");
  ASSERT_EQ(ops(heard(*peer)), "rows b, watch_position b");

  change({"b"}, "3");
  projections_.forget_commits();
  projections_.disk_steps_of.clear();
  while (projections_.disk_steps_of.empty()) log_.run_task();
  ASSERT_EQ(projections_.disk_steps_of, std::vector<std::string>{"a"});
  append(1, "x.y");
  loop_->dispatch();
  ASSERT_TRUE(peer->take_write());
  EXPECT_EQ(ops(heard(*peer)), "events s, rows b, watch_position b");
}

TEST_F(SessionProjectionTest, StepsThatFindNothingTakeTurns) {
  change({"b"}, "1");
  projections_.empty_steps = 4;
  const auto peer = connect();
  peer->say(watch_prefix("a", "a"));
  peer->say(watch_prefix("b", "b"));
  EXPECT_EQ(ops(heard(*peer)), "snapshot_end a, rows b, snapshot_end b");
  EXPECT_EQ(projections_.disk_steps_of, (std::vector<std::string>{"a", "b", "a", "b", "a", "b"}));
}

TEST_F(SessionProjectionTest, AStuckWriteHoldsNoCommit) {
  change({"a"}, "1");
  const auto peer = connect();
  say(*peer, watch_prefix("a", "a"));
  say(*peer, watch_prefix("b", "b"));
  projections_.forget_commits();
  peer->say(watch_prefix("c", "c"));
  log_.run_task();  // it is open, and its first step under way
  ASSERT_EQ(projections_.disk_steps_of.back(), "c");
  peer->say(R"({"op":"ping"})");
  ASSERT_TRUE(peer->transport.is_writing());
  pass_ms(750);
  EXPECT_TRUE(projections_.let_go_of.empty());
  pass_ms(250);
  EXPECT_EQ(projections_.let_go_of, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(ops(heard(*peer)), "pong, snapshot_end c");
}

TEST_F(SessionProjectionTest, TriesAReadAgainWhenTheLogHadNoRoom) {
  change({"a"}, "1");
  projections_.fail_next_step(Code::kOverloaded);
  const auto peer = connect();
  EXPECT_EQ(ops(say(*peer, watch("w"))), "");
  pass_ms(250);
  EXPECT_EQ(ops(heard(*peer)), "rows w, snapshot_end w");
  projections_.forget_commits();
  projections_.fail_next_step(Code::kDataLoss);
  change({"a"}, "2");
  projections_.forget_commits();
  const auto seen = heard(*peer);
  ASSERT_EQ(ops(seen), "error w, unwatched w");
  EXPECT_EQ(seen[0].field("code"), "data_loss");
  EXPECT_EQ(seen[1].field("reason"), "data_loss");
}

TEST_F(SessionProjectionTest, AWatchThatCannotBeOpenedLeavesItsIdFree) {
  projections_.fail_next_open(Code::kOverloaded);
  const auto peer = connect();
  const auto seen = say(*peer, watch("w"));
  ASSERT_EQ(ops(seen), "error w");
  EXPECT_EQ(seen[0].field("code"), "overloaded");
  EXPECT_EQ(seen[0].field("retryable"), "true");
  EXPECT_EQ(ops(say(*peer, watch("w"))), "snapshot_end w");
}

TEST_F(SessionProjectionTest, WatchesAndSubscriptionsShareTheirIds) {
  const auto peer = connect();
  EXPECT_EQ(ops(say(*peer, watch("x"))), "snapshot_end x");
  const std::string subscribe = R"({"op":"subscribe","id":"x","streams":[">"]})";
  auto seen = ask(*peer, subscribe);
  ASSERT_EQ(ops(seen), "error x");
  EXPECT_EQ(seen[0].field("code"), "bad_argument");
  EXPECT_EQ(ops(say(*peer, watch("x"))), "error x");
  EXPECT_EQ(ops(ask(*peer, R"({"op":"unsubscribe","id":"x"})")), "error x");
  EXPECT_EQ(ops(ask(*peer, R"({"op":"unwatch","id":"x"})")), "unwatched x");
  EXPECT_EQ(ops(ask(*peer, subscribe)), "subscribed x, caught_up x");
  EXPECT_EQ(ops(say(*peer, watch("x"))), "error x");
}

TEST_F(SessionProjectionTest, ADisconnectedWatchIsForgotten) {
  change({"a"}, "1");
  auto peer = connect();
  peer->say(watch("w"));
  log_.run_task();  // it is open, and its first step under way
  peer->disconnect();
  settle_log();
  change({"a"}, "2");
  settle_log();
  EXPECT_EQ(projections_.steps_in_memory, 0U);
}

}  // namespace
}  // namespace tidegate::test
