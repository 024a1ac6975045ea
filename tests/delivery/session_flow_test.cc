// Live and behind, windows, updates, fairness, and what happens as time passes.

#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "tests/delivery/delivery_fixture.h"

namespace tidegate::test {
namespace {

class SessionFlowTest : public DeliveryFixture {
 protected:
  static std::string subscribe(const std::string& more = "", const std::string& id = "s") {
    return fmt::format(R"({{"op":"subscribe","id":"{}","streams":["a.>"]{}}})", id, more);
  }
  static std::string ack(Sequence sequence) {
    return fmt::format(R"({{"op":"ack","id":"s","position":{}}})", sequence);
  }
  std::unique_ptr<Peer> subscriber(const std::string& more = "") {
    auto peer = connect();
    EXPECT_EQ(ops(ask(*peer, subscribe(more))), "subscribed s, caught_up s");
    return peer;
  }
};

TEST_F(SessionFlowTest, GathersWhatIsPendingIntoOneMessage) {
  const auto peer = subscriber();
  append(10);
  settle(*peer);
  EXPECT_EQ(ops(peer->take()), "events s");
  append(600);
  settle(*peer);
  const auto seen = peer->take();
  EXPECT_EQ(sequences(seen), range(11, 610));
  for (const auto& message : seen) EXPECT_LE(message.events.size(), SessionLimits{}.batch_events);
}

// Otherwise a peer may come back with a position before the log knows it.
TEST_F(SessionFlowTest, DeliversNothingAboveTheHead) {
  const auto peer = subscriber(R"(,"cursor":"c")");
  append(3);
  log_.hold_head_back(2);
  settle(*peer);
  EXPECT_EQ(sequences(peer->take()), range(1, 1));
  log_.hold_head_back(0);
  settle(*peer);
  EXPECT_EQ(sequences(peer->take()), range(2, 3));
}

// Events that do not lie side by side are as many pieces for the transport. Here somebody who gets
// others in between is served first, which puts the bytes of all in that order.
TEST_F(SessionFlowTest, BoundsMessagesByTheirRuns) {
  const auto everything = connect();
  ask(*everything, R"({"op":"subscribe","id":"all","streams":[">"]})");
  const auto peer = subscriber();
  for (int i = 0; i < 100; ++i) {
    log_.append("a.b", "t", 10);
    log_.append("other", "t", 10);
  }
  settle(*peer);
  std::size_t events = 0;
  for (const auto& message : peer->take()) {
    EXPECT_LE(message.events.size(), SessionLimits{}.batch_runs);
    events += message.events.size();
  }
  EXPECT_EQ(events, 100U);
}

TEST_F(SessionFlowTest, BoundsMessagesByBytesAndSendsLargeEventsAlone) {
  const auto peer = subscriber();
  for (int i = 0; i < 6; ++i) log_.append("a.b", "t", 20'000);
  log_.append("a.b", "t", 100'000);
  log_.append("a.b", "t", 10);
  settle(*peer);
  const auto seen = peer->take();
  EXPECT_EQ(sequences(seen), range(1, 8));
  std::vector<std::size_t> sizes;
  for (const auto& message : seen) sizes.push_back(message.events.size());
  EXPECT_EQ(sizes, (std::vector<std::size_t>{3, 3, 1, 1}));
}

TEST_F(SessionFlowTest, AReaderThatStopsGetsEverythingInOrderLater) {
  const auto peer = subscriber();
  append(1000);
  settle_log();
  log_.evict_all();
  append(500);
  settle_log();
  settle(*peer);
  const auto seen = peer->take();
  EXPECT_EQ(sequences(seen), range(1, 1500));
  std::map<std::string, int> count;
  for (const auto& message : seen) ++count[message.op];
  EXPECT_EQ(count["fell_behind"], 1);
  EXPECT_EQ(count["caught_up"], 1);
  EXPECT_EQ(seen.back().op, "caught_up");
}

TEST_F(SessionFlowTest, ABurstDoesNotTellThatItFellBehind) {
  const auto peer = subscriber();
  append(1000);
  settle(*peer);
  const auto seen = peer->take();
  EXPECT_EQ(sequences(seen), range(1, 1000));
  for (const auto& message : seen) EXPECT_EQ(message.op, "events");
}

TEST_F(SessionFlowTest, SaysSoWhenItIsBehindForLong) {
  const auto peer = subscriber();
  append(600);
  settle_log();
  pass_ms(1500);
  settle(*peer);
  const auto seen = peer->take();
  EXPECT_EQ(sequences(seen), range(1, 600));
  ASSERT_GE(seen.size(), 3U);
  EXPECT_EQ(seen[1].op, "fell_behind");
  EXPECT_EQ(seen[1].position_sequence(), SessionLimits{}.batch_events);
  EXPECT_EQ(seen.back().op, "caught_up");
}

TEST_F(SessionFlowTest, AStuckWriteLetsGoOfTheLogAfterASecond) {
  const auto peer = subscriber();
  append(200);
  settle_log();
  ASSERT_TRUE(peer->transport.is_writing());
  const std::weak_ptr<const Segment> pinned = peer->transport.in_flight().pins.front();
  log_.evict_all();
  EXPECT_FALSE(pinned.expired());
  pass_ms(1250);
  EXPECT_EQ(peer->transport.pins_released(), 1);
  EXPECT_TRUE(pinned.expired());
  pass_ms(5000);
  EXPECT_EQ(peer->transport.pins_released(), 1);
  settle(*peer);
  EXPECT_EQ(sequences(peer->take()), range(1, 200));
}

TEST_F(SessionFlowTest, PendingEventsOfAStuckReaderAreNotPinnedEither) {
  const auto peer = subscriber();
  append(1);
  settle_log();
  append(20);
  settle_log();
  const std::weak_ptr<const Segment> listed = log_.tail_segment(15);
  pass_ms(1250);
  log_.evict_all();
  EXPECT_TRUE(listed.expired());
  settle(*peer);
  EXPECT_EQ(sequences(peer->take()), range(1, 21));
}

TEST_F(SessionFlowTest, NoProgressEndsTheConnection) {
  const auto peer = subscriber();
  append(1);
  settle_log();
  pass_ms(29'750);
  EXPECT_FALSE(peer->transport.close_code());
  pass_ms(250);
  EXPECT_EQ(peer->transport.close_code(), CloseCode::kNoProgress);
}

TEST_F(SessionFlowTest, ALargeEventHasTimeForEachBatchOfItsBytes) {
  const auto peer = subscriber();
  log_.append("a.b", "t", 200'000);
  settle_log();
  pass_ms(119'750);
  EXPECT_FALSE(peer->transport.close_code());
  pass_ms(250);
  EXPECT_EQ(peer->transport.close_code(), CloseCode::kNoProgress);
}

TEST_F(SessionFlowTest, PingsAfterSilence) {
  const auto peer = connect();
  pass_ms(24'750);
  settle(*peer);
  EXPECT_EQ(ops(peer->take()), "");
  pass_ms(250);
  settle(*peer);
  EXPECT_EQ(ops(peer->take()), "ping");
}

TEST_F(SessionFlowTest, TellsThePositionWhenNothingMatches) {
  const auto peer = subscriber();
  append(10, "b");
  settle(*peer);
  pass_ms(5000);
  settle(*peer);
  const auto seen = peer->take();
  ASSERT_EQ(ops(seen), "position s");
  EXPECT_EQ(seen[0].field("position"), log_.position(10).text());
  pass_ms(10'000);  // nothing new: nothing to tell
  settle(*peer);
  EXPECT_EQ(ops(peer->take()), "");
  EXPECT_EQ(ops(ask(*peer, ack(10))), "");  // it may be acknowledged
  append(1, "b");                           // it was at rest, and the last position is old
  settle(*peer);
  pass_ms(500);
  settle(*peer);
  EXPECT_EQ(ops(peer->take()), "position s");
  append(1, "b");
  settle(*peer);
  pass_ms(4500);
  settle(*peer);
  EXPECT_EQ(ops(peer->take()), "");
  pass_ms(1000);
  settle(*peer);
  EXPECT_EQ(ops(peer->take()), "position s");
}

// They are looked at some at a time, and each once.
TEST_F(SessionFlowTest, TellsAllThatWereAtRest) {
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < 2'500; ++i) peers.push_back(subscriber());
  pass_ms(6000);
  append(1, "b");
  settle_log();
  std::size_t told = 0;
  const auto count_told = [&] {
    for (const auto& peer : peers) {
      settle(*peer);
      told += peer->take().size();
    }
    return told;
  };
  pass_ms(500);
  EXPECT_LT(count_told(), peers.size());
  pass_ms(1000);
  EXPECT_EQ(count_told(), peers.size());
  pass_ms(10'000);
  EXPECT_EQ(count_told(), peers.size());
}

// Sessions are served in blocks, in two steps; the transport insists on both.
TEST_F(SessionFlowTest, ServesMoreThanABlockOfSessionsInATurn) {
  append(3);
  std::vector<std::unique_ptr<Peer>> live;
  std::vector<std::unique_ptr<Peer>> replaying;
  for (int i = 0; i < 100; ++i) {
    live.push_back(subscriber());
    replaying.push_back(connect());
    replaying.back()->say(subscribe(R"(,"from":"start")"));
  }
  append(1);
  settle_log();
  for (const auto& peer : live) {
    ASSERT_TRUE(peer->transport.is_writing());  // none of them had to be asked
    settle(*peer);
    EXPECT_EQ(sequences(peer->take()), range(4, 4));
  }
  for (const auto& peer : replaying) {
    settle(*peer);
    EXPECT_EQ(sequences(peer->take()), range(1, 4));
  }
}

// Every answer but the last says that another comes, so that they can be written at once.
TEST_F(SessionFlowTest, SaysWhichAnswersAreFollowed) {
  const auto peer = connect();
  for (const char* id : {"a", "b", "c"}) {
    ask(*peer, fmt::format(R"({{"op":"subscribe","id":"{}","streams":["nothing"]}})", id));
  }
  append(1, "b");
  settle(*peer);
  pass_ms(5000);
  std::vector<bool> followed;
  while (peer->transport.is_writing()) {
    followed.push_back(peer->transport.in_flight().is_followed);
    peer->take_write();
  }
  EXPECT_EQ(ops(peer->take()), "position a, position b, position c");
  EXPECT_EQ(followed, (std::vector<bool>{true, true, false}));
}

TEST_F(SessionFlowTest, AWindowHoldsBackUntilItIsAcknowledged) {
  const auto peer = subscriber(R"(,"window":5)");
  append(12);
  append(3, "b");
  settle(*peer);
  EXPECT_EQ(sequences(peer->take()), range(1, 5));
  pass_ms(6000);
  settle(*peer);
  for (const auto& message : peer->take()) {
    EXPECT_LE(message.position_sequence(), 5U) << message.op;  // never past what is held back
  }
  EXPECT_EQ(sequences(ask(*peer, ack(2))), range(6, 7));
  const auto seen = ask(*peer, ack(7));
  EXPECT_EQ(sequences(seen), range(8, 12));
  ASSERT_EQ(ops(seen), "events s, caught_up s");
  EXPECT_EQ(seen[1].position_sequence(), 15U);
  append(1);
  settle(*peer);
  EXPECT_EQ(ops(peer->take()), "");
  EXPECT_EQ(sequences(ask(*peer, ack(8))), range(16, 16));
  EXPECT_EQ(ops(ask(*peer, ack(16))), "");
  append(1);
  settle(*peer);
  EXPECT_EQ(sequences(peer->take()), range(17, 17));
}

// So that the first events come soon, and nothing is read that the peer may not be sent yet.
TEST_F(SessionFlowTest, AsksForFewLookUpsAtFirst) {
  append(3000);
  log_.evict_all();
  const auto peer = connect();
  EXPECT_EQ(sequences(ask(*peer, subscribe(R"(,"after":0)"))), range(1, 3000));
  ASSERT_GE(log_.reads.size(), 9U);
  log_.reads.resize(9);
  EXPECT_EQ(log_.reads, (std::vector<std::size_t>{2, 4, 8, 16, 32, 64, 128, 256, 256}));
  log_.reads.clear();
  const auto other = connect();
  EXPECT_EQ(sequences(ask(*other, subscribe(R"(,"after":0,"window":1)"))), range(1, 1));
  EXPECT_EQ(log_.reads, (std::vector<std::size_t>{1}));
}

TEST_F(SessionFlowTest, AnUpdateSaysWhereTheNewFilterBegins) {
  const auto peer = subscriber();
  append(3);
  append(2, "b");
  settle(*peer);
  EXPECT_EQ(sequences(peer->take()), range(1, 3));
  auto seen = ask(*peer, R"({"op":"update","id":"s","streams":["b"]})");
  ASSERT_EQ(ops(seen), "updated s");
  EXPECT_EQ(seen[0].position_sequence(), 5U);
  append(1);
  append(1, "b");
  settle(*peer);
  EXPECT_EQ(sequences(peer->take()), range(7, 7));
  seen = ask(*peer, R"({"op":"update","id":"s","streams":["b..c"]})");
  ASSERT_EQ(ops(seen), "error s");
  EXPECT_EQ(seen[0].field("code"), "bad_pattern");
}

TEST_F(SessionFlowTest, AnUpdateReplacesWhatIsPending) {
  const auto peer = subscriber();
  append(1);
  settle_log();  // being written
  append(5);
  append(5, "b");
  settle_log();
  peer->say(R"({"op":"update","id":"s","streams":["b"]})");
  settle(*peer);
  const auto seen = peer->take();
  ASSERT_EQ(ops(seen), "events s, updated s, events s");
  EXPECT_EQ(seen[1].position_sequence(), 1U);
  EXPECT_EQ(sequences(seen), (std::vector<Sequence>{1, 7, 8, 9, 10, 11}));
}

TEST_F(SessionFlowTest, AnUpdateDropsAReadOfTheOldFilter) {
  append(50, "a.b");
  append(50, "b");
  log_.evict_all();
  const auto peer = connect();
  peer->say(subscribe(R"(,"after":0)"));
  log_.run_task();
  ASSERT_TRUE(peer->take_write());
  ASSERT_EQ(log_.reads.size(), 1U);
  peer->say(R"({"op":"update","id":"s","streams":["b"]})");
  settle(*peer);
  const auto seen = peer->take();
  EXPECT_EQ(sequences(seen), range(51, 100));
  EXPECT_EQ(seen[1].op, "updated");
  EXPECT_EQ(seen[1].position_sequence(), 0U);
}

TEST_F(SessionFlowTest, AnUpdateWhileOpeningIsAnsweredAfterSubscribed) {
  append(4, "b");
  const auto peer = connect();
  peer->say(subscribe(R"(,"after":0)"));
  peer->say(R"({"op":"update","id":"s","streams":["b"]})");
  settle(*peer);
  const auto seen = peer->take();
  ASSERT_EQ(ops(seen), "subscribed s, updated s, events s, caught_up s");
  EXPECT_EQ(sequences(seen), range(1, 4));
}

TEST_F(SessionFlowTest, SubscriptionsOfAConnectionTakeTurns) {
  append(600);
  const auto peer = connect();
  for (const std::string id : {"x", "y", "z"}) peer->say(subscribe(R"(,"after":0)", id));
  settle(*peer);
  std::map<std::string, int> messages;
  std::map<std::string, std::vector<Sequence>> delivered;
  for (const auto& message : peer->take()) {
    if (message.op != "events") continue;
    ++messages[message.field("id")];
    EXPECT_LE(messages[message.field("id")], messages["x"] + 1);
    EXPECT_LE(messages["x"], messages[message.field("id")] + 10);
    for (const auto& event : message.events) {
      delivered[message.field("id")].push_back(event.sequence);
    }
  }
  for (const std::string id : {"x", "y", "z"}) EXPECT_EQ(delivered[id], range(1, 600)) << id;
}

TEST_F(SessionFlowTest, ALoopThatStoodStillGoesOnByReading) {
  const auto peer = subscriber();
  append(5);
  settle(*peer);
  peer->take();
  append(100);
  log_.evict_below(90);
  settle(*peer);
  EXPECT_EQ(sequences(peer->take()), range(6, 105));
}

// The head is found on another thread: it may be further than what this loop has dispatched.
TEST_F(SessionFlowTest, FromTheHeadIsNotWhatTheLoopHasStillToDispatch) {
  const auto other = subscriber();
  const auto peer = connect();
  peer->say(subscribe());
  append(5);
  log_.run_task();
  ASSERT_TRUE(peer->take_write());
  append(2);
  settle(*peer);
  const auto seen = peer->take();
  EXPECT_EQ(seen[0].position_sequence(), 5U);
  EXPECT_EQ(sequences(seen), range(6, 7));
  settle(*other);
  EXPECT_EQ(sequences(other->take()), range(1, 7));
}

TEST_F(SessionFlowTest, ASelectiveReplayGivesWayToOthers) {
  for (int i = 0; i < 30'000; ++i) log_.append("b", "t");
  append(1);
  const auto peer = connect();
  peer->say(subscribe(R"(,"from":"start")"));
  log_.run_task();  // the place is found, and the first part is examined
  ASSERT_TRUE(peer->take_write());
  EXPECT_EQ(ops(peer->take()), "subscribed s");
  EXPECT_FALSE(peer->transport.is_writing());
  EXPECT_GT(log_.tasks(), 0U);
  EXPECT_EQ(ops(ask(*peer, R"({"op":"ping"})")).substr(0, 4), "pong");
  settle(*peer);
}

TEST_F(SessionFlowTest, DeliversAcrossATailThatBeginsLater) {
  append(50);
  log_.evict_all();
  append(10);
  const auto peer = connect();
  EXPECT_EQ(sequences(ask(*peer, subscribe(R"(,"from":"start")"))), range(1, 60));
}

}  // namespace
}  // namespace tidegate::test
