// Snapshots that stand in for events that are gone.

#include <string>
#include <vector>

#include "tests/delivery/projection_fixture.h"

namespace tidegate::test {
namespace {

class SessionSnapshotTest : public ProjectionFixture {};

TEST_F(SessionSnapshotTest, ASnapshotStandsInForEventsThatAreGone) {
  append(20);
  for (const char* const key : {"a", "b", "c"}) projections_.put(key, "1");
  projections_.commit();
  append(10);
  log_.trim_to(15);
  for (const WireForm form : {WireForm::kJson, WireForm::kProto}) {
    const auto peer = connect(form);
    const auto seen = say(*peer, subscribe_with_snapshot("s", 5));
    ASSERT_EQ(ops(seen),
              "gap s, rows s, rows s, snapshot_end s, subscribed s, events s, caught_up s");
    EXPECT_EQ(seen[0].field("requested"), "5");
    EXPECT_EQ(seen[0].number("floor"), 15U);
    EXPECT_EQ(seen[3].field("position"), log_.position(20).text());
    EXPECT_EQ(seen[3].number("version"), 1U);
    EXPECT_EQ(seen[4].field("position"), log_.position(20).text());
    EXPECT_EQ(sequences(seen), range(21, 30));
    Rows rows;
    take_rows(rows, seen);
    EXPECT_EQ(rows, projections_.table());
  }
  // Above the floor nobody needs it.
  const auto peer = connect();
  EXPECT_EQ(ops(say(*peer, subscribe_with_snapshot("s", 29))),
            "subscribed s, events s, caught_up s");
}

TEST_F(SessionSnapshotTest, ASubscriptionThatIsOvertakenByATrimGetsASnapshot) {
  append(100);
  log_.evict_all();
  projections_.put("a", "1");
  projections_.commit();
  append(5);
  const auto peer = connect();
  peer->say(subscribe_with_snapshot("s", 0));
  log_.run_task();  // the place is found
  ASSERT_TRUE(peer->take_write());
  ASSERT_EQ(log_.reads.size(), 1U);  // and the first read waits
  log_.trim_to(51);
  const auto seen = heard(*peer);
  ASSERT_EQ(ops(seen), "subscribed s, gap s, rows s, snapshot_end s, events s, caught_up s");
  EXPECT_EQ(seen[3].field("position"), log_.position(100).text());
  EXPECT_EQ(sequences(seen), range(101, 105));
}

TEST_F(SessionSnapshotTest, ATakeOverBeginsASnapshotAnew) {
  append(20);
  for (const char* const key : {"a", "b", "c", "d", "e"}) projections_.put(key, "1");
  projections_.commit();
  log_.trim_to(15);
  const auto peer = connect();
  peer->say(subscribe_with_snapshot("s", 5));
  settle_log();
  ASSERT_TRUE(peer->take_write());  // the gap
  settle_log();
  ASSERT_TRUE(peer->take_write());  // the first rows
  projections_.take_over();
  const auto seen = heard(*peer);
  const std::string all = ops(seen);
  EXPECT_NE(all.find("watch_reset s, rows s, rows s, rows s, snapshot_end s, subscribed s"),
            std::string::npos)
      << all;
  Rows rows;
  take_rows(rows, seen);
  EXPECT_EQ(rows, projections_.table());
}

TEST_F(SessionSnapshotTest, AProjectionThatStandsStillBelowTheFloorIsToldOnce) {
  append(5);
  projections_.put("a", "1");
  projections_.commit();
  append(25);
  log_.trim_to(20);
  const auto peer = connect();
  const auto seen = say(*peer, subscribe_with_snapshot("s", 0));
  ASSERT_EQ(
      ops(seen),
      "gap s, rows s, snapshot_end s, gap s, rows s, snapshot_end s, error s, unsubscribed s");
  EXPECT_EQ(seen[6].field("code"), "unavailable");
  EXPECT_EQ(ops(say(*peer, subscribe_with_snapshot("s", 25))),
            "subscribed s, events s, caught_up s");
}

TEST_F(SessionSnapshotTest, ASnapshotWaitsForRoomAndEndsWithItsSubscription) {
  append(20);
  projections_.put("a", "1");
  projections_.commit();
  log_.trim_to(15);
  const auto peer = connect();
  projections_.fail_next_open(Code::kOverloaded);
  EXPECT_EQ(ops(say(*peer, subscribe_with_snapshot("s", 5))), "gap s");
  EXPECT_EQ(ops(ask(*peer, R"({"op":"unwatch","id":"s"})")), "error s") << "it is no watch";
  pass_ms(250);
  EXPECT_EQ(ops(heard(*peer)), "rows s, snapshot_end s, subscribed s, caught_up s");

  peer->say(subscribe_with_snapshot("t", 5));
  log_.run_task();
  ASSERT_TRUE(peer->take_write());  // the gap
  const auto seen = ask(*peer, R"({"op":"unsubscribe","id":"t"})");
  EXPECT_EQ(ops(seen), "gap t, unsubscribed t");
}

TEST_F(SessionSnapshotTest, ASnapshotThatCannotBeHadEndsTheSubscription) {
  append(20);
  log_.trim_to(15);
  const auto peer = connect();
  peer->say(subscribe_with_snapshot("s", 5));
  projections_.remove();
  const auto seen = heard(*peer);
  ASSERT_EQ(ops(seen), "gap s, error s, unsubscribed s");
  EXPECT_EQ(seen[1].field("code"), "not_found");
  EXPECT_EQ(seen[2].field("reason"), "not_found");
}

TEST_F(SessionSnapshotTest, ASnapshotThatCanNeverBeHadIsRefusedAtOnce) {
  append(20);
  const auto peer = connect();
  v1::ClientMessage message = subscribe_with_snapshot("s", 5);
  message.mutable_subscribe()->set_projection("unknown");
  auto seen = say(*peer, message);
  ASSERT_EQ(ops(seen), "error s");
  EXPECT_EQ(seen[0].field("code"), "not_found");
  projections_.switch_off();
  seen = say(*peer, subscribe_with_snapshot("s", 5));
  ASSERT_EQ(ops(seen), "error s");
  EXPECT_EQ(seen[0].field("code"), "unsupported");
}

TEST_F(SessionSnapshotTest, GoesOnAfterASnapshotWhenTheLogHasRoomAgain) {
  append(20);
  projections_.put("a", "1");
  projections_.commit();
  append(5);
  log_.trim_to(15);
  const auto peer = connect();
  peer->say(subscribe_with_snapshot("s", 5));
  log_.run_task();  // the gap is found
  log_.fail_next_open(Code::kOverloaded);
  EXPECT_EQ(ops(heard(*peer)), "gap s, rows s, snapshot_end s");
  pass_ms(250);
  const auto seen = heard(*peer);
  ASSERT_EQ(ops(seen), "subscribed s, events s, caught_up s");
  EXPECT_EQ(sequences(seen), range(21, 25));
}

TEST_F(SessionSnapshotTest, SaysThatASubscriptionEndsWhenItsPlaceIsNotFoundAgain) {
  append(20);
  projections_.commit();
  log_.trim_to(15);
  const auto peer = connect();
  v1::ClientMessage from_floor = subscribe_with_snapshot("f", 5);
  from_floor.mutable_subscribe()->set_on_gap(v1::ON_GAP_FLOOR);
  from_floor.mutable_subscribe()->clear_projection();
  const struct {
    v1::ClientMessage message;
    std::string told;
  } cases[] = {
      {subscribe_with_snapshot("s", 5), "gap s, snapshot_end s, error s, unsubscribed s"},
      {from_floor, "gap f, error f, unsubscribed f"},
  };
  for (const auto& one : cases) {
    peer->say(one.message);
    log_.run_task();  // the gap is found
    log_.fail_next_open(Code::kDataLoss);
    const auto seen = heard(*peer);
    ASSERT_EQ(ops(seen), one.told);
    EXPECT_EQ(seen.back().field("reason"), "data_loss");
  }
  // One that the peer has not heard of is only refused.
  log_.fail_next_open(Code::kOverloaded);
  EXPECT_EQ(ops(say(*peer, subscribe_with_snapshot("t", 18))), "error t");
}

TEST_F(SessionSnapshotTest, TheEndOfASnapshotMayBeAcknowledged) {
  append(20);
  projections_.commit();
  append(5);
  log_.trim_to(15);
  log_.cursor("c").stored = 3;
  const auto peer = connect();
  v1::ClientMessage message = subscribe_with_snapshot("s", 0);
  message.mutable_subscribe()->set_cursor("c");
  EXPECT_EQ(ops(say(*peer, message)), "gap s, snapshot_end s, subscribed s, events s, caught_up s");
  EXPECT_EQ(log_.cursor("c").stored, 3U);
  EXPECT_EQ(ops(ask(*peer, R"({"op":"ack","id":"s","position":20})")), "acked s");
  EXPECT_EQ(log_.cursor("c").stored, 20U);
}

}  // namespace
}  // namespace tidegate::test
