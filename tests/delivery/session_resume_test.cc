// Places that are no longer there, other histories, and cursors.

#include <string>
#include <vector>

#include <fmt/format.h>

#include "tests/delivery/delivery_fixture.h"

namespace tidegate::test {
namespace {

class SessionResumeTest : public DeliveryFixture {
 protected:
  static std::string subscribe(const std::string& more) {
    return fmt::format(R"({{"op":"subscribe","id":"s","streams":[">"]{}}})", more);
  }
  static std::string ack(Sequence sequence) {
    return fmt::format(R"({{"op":"ack","id":"s","position":{}}})", sequence);
  }
};

TEST_F(SessionResumeTest, AGapEndsTheSubscriptionByDefault) {
  append(30);
  log_.trim_to(11);
  const auto peer = connect();
  const std::string text = log_.position(5).text();
  auto seen = ask(*peer, subscribe(fmt::format(R"(,"after":"{}")", text)));
  ASSERT_EQ(ops(seen), "gap s");
  EXPECT_EQ(seen[0].field("requested"), text);
  EXPECT_EQ(seen[0].number("floor"), 11U);
  EXPECT_EQ(seen[0].field("reason"), "trimmed");
  seen = ask(*peer, subscribe(R"(,"after":10)"));
  EXPECT_EQ(sequences(seen), range(11, 30));
}

TEST_F(SessionResumeTest, AGapGoesOnFromTheFloorWhenAsked) {
  append(30);
  log_.trim_to(11);
  const auto peer = connect();
  const auto seen = ask(*peer, subscribe(R"(,"after":5,"on_gap":"floor")"));
  ASSERT_GE(seen.size(), 3U);
  EXPECT_EQ(seen[0].op, "gap");
  EXPECT_EQ(seen[0].field("requested"), "5");
  EXPECT_EQ(seen[1].op, "subscribed");
  EXPECT_EQ(seen[1].field("position"), log_.position(10).text());
  EXPECT_EQ(sequences(seen), range(11, 30));
}

TEST_F(SessionResumeTest, EventsThatAreTrimmedWhileReadingAreAGap) {
  append(100);
  log_.evict_all();
  const auto peer = connect();
  peer->say(subscribe(R"(,"after":0,"on_gap":"floor")"));
  log_.run_task();  // the place is found
  ASSERT_TRUE(peer->take_write());
  ASSERT_EQ(log_.reads.size(), 1U);  // and the first read waits
  log_.trim_to(51);
  settle(*peer);
  const auto seen = peer->take();
  EXPECT_EQ(seen[0].op, "subscribed");
  EXPECT_EQ(seen[1].op, "gap");
  EXPECT_EQ(seen[1].field("requested"), log_.position(0).text());
  EXPECT_EQ(seen[2].op, "subscribed");
  EXPECT_EQ(sequences(seen), range(51, 100));
  EXPECT_EQ(seen.back().op, "caught_up");
}

TEST_F(SessionResumeTest, LostDataEndsTheSubscription) {
  append(30);
  log_.evict_all();
  for (const std::string on_gap : {"fail", "floor"}) {
    const auto peer = connect();
    log_.fail_next_read(Code::kDataLoss);
    const auto seen = ask(*peer, subscribe(fmt::format(R"(,"after":0,"on_gap":"{}")", on_gap)));
    ASSERT_EQ(ops(seen),
              on_gap == "fail" ? "subscribed s, gap s" : "subscribed s, gap s, unsubscribed s");
    EXPECT_EQ(seen[1].field("reason"), "data_loss");
    EXPECT_EQ(ops(ask(*peer, R"({"op":"unsubscribe","id":"s"})")), "error s");
  }
}

TEST_F(SessionResumeTest, ReadsAgainWhenTheLogHadNoRoom) {
  append(30);
  log_.evict_all();
  const auto peer = connect();
  log_.fail_next_read(Code::kOverloaded);
  EXPECT_EQ(ops(ask(*peer, subscribe(R"(,"after":0)"))), "subscribed s");
  pass_ms(250);
  settle(*peer);
  EXPECT_EQ(sequences(peer->take()), range(1, 30));
}

TEST_F(SessionResumeTest, AnotherHistoryIsReset) {
  append(10);
  const std::string ours = log_.position(5).text();
  std::string rewound = ours;
  rewound.back() = rewound.back() == '0' ? '1' : '0';
  const std::string unknown = "zzzzzzzzzzzzzzzz" + ours.substr(16);
  const struct {
    std::string after;
    std::string reason;
  } cases[] = {
      {'"' + rewound + '"', "rewound"}, {'"' + unknown + '"', "unknown_log"}, {"11", "ahead"}};
  for (const WireForm form : {WireForm::kJson, WireForm::kProto}) {
    const auto peer = connect(form);
    for (const auto& one : cases) {
      v1::ClientMessage message;
      message.mutable_subscribe()->set_id("s");
      message.mutable_subscribe()->add_streams(">");
      v1::Start& start = *message.mutable_subscribe()->mutable_start();
      if (one.after == "11") {
        start.set_after_sequence(11);
      } else {
        start.set_after(one.after.substr(1, one.after.size() - 2));
      }
      peer->say(message);
      settle(*peer);
      const auto seen = peer->take();
      ASSERT_EQ(ops(seen), "reset s");
      EXPECT_EQ(seen[0].field("reason"), one.reason);
      EXPECT_EQ(seen[0].field("log"), log_.log_id().text());
      EXPECT_EQ(seen[0].number("head"), 10U);
    }
  }
}

TEST_F(SessionResumeTest, ACursorResumesAfterTheLastAcknowledgement) {
  append(20);
  auto peer = connect();
  EXPECT_EQ(sequences(ask(*peer, subscribe(R"(,"from":"start","cursor":"c")"))), range(1, 20));
  const auto seen = ask(*peer, ack(7));
  ASSERT_EQ(ops(seen), "acked s");
  EXPECT_EQ(seen[0].field("position"), log_.position(7).text());
  peer->disconnect();
  EXPECT_FALSE(log_.cursor("c").is_open);
  peer = connect();
  EXPECT_EQ(sequences(ask(*peer, subscribe(R"(,"cursor":"c")"))), range(8, 20));
}

TEST_F(SessionResumeTest, AcknowledgementsAreCoalescedAndTheNewestWins) {
  append(20);
  const auto peer = connect();
  ask(*peer, subscribe(R"(,"from":"start","cursor":"c")"));
  const std::size_t before = log_.acknowledgements;
  for (Sequence sequence = 1; sequence <= 9; ++sequence) peer->say(ack(sequence));
  settle(*peer);
  const auto seen = peer->take();
  ASSERT_EQ(ops(seen), "acked s, acked s");
  EXPECT_EQ(seen[1].position_sequence(), 9U);
  EXPECT_EQ(log_.acknowledgements - before, 2U);
}

TEST_F(SessionResumeTest, AWaitingAcknowledgementSurvivesTheDisconnect) {
  append(20);
  const auto peer = connect();
  ask(*peer, subscribe(R"(,"from":"start","cursor":"c")"));
  peer->say(ack(3));
  peer->say(ack(9));
  peer->disconnect();
  settle_log();
  EXPECT_EQ(log_.cursor("c").stored, 9U);
}

TEST_F(SessionResumeTest, RefusesAcknowledgementsOfWhatWasNotSent) {
  append(5);
  const auto peer = connect();
  ask(*peer, subscribe(R"(,"after":3)"));
  auto seen = ask(*peer, ack(6));
  ASSERT_EQ(ops(seen), "error s");
  EXPECT_EQ(seen[0].field("code"), "bad_position");
  EXPECT_EQ(ops(ask(*peer, ack(5))), "");  // without cursor: accepted silently
  seen = ask(*peer, R"({"op":"ack","id":"s","position":"zzzzzzzzzzzzzzzz.5.00000000"})");
  ASSERT_EQ(ops(seen), "error s");
  EXPECT_EQ(seen[0].field("code"), "bad_position");
}

TEST_F(SessionResumeTest, TellsWhenAnAcknowledgementCannotBeKept) {
  append(5);
  const auto peer = connect();
  ask(*peer, subscribe(R"(,"from":"start","cursor":"c")"));
  log_.fail_next_acknowledge(Code::kDiskLow);
  const auto seen = ask(*peer, ack(2));
  ASSERT_EQ(ops(seen), "error s");
  EXPECT_EQ(seen[0].field("code"), "disk_low");
  EXPECT_EQ(ops(ask(*peer, ack(3))), "acked s");
}

TEST_F(SessionResumeTest, TheNewHolderOfACursorEndsTheOld) {
  append(5);
  const auto first = connect();
  const auto second = connect();
  ask(*first, subscribe(R"(,"from":"start","cursor":"c")"));
  ask(*second, subscribe(R"(,"from":"start","cursor":"c")"));
  settle(*first);
  auto seen = first->take();
  ASSERT_EQ(ops(seen), "unsubscribed s");
  EXPECT_EQ(seen[0].field("reason"), "cursor_taken_over");
  EXPECT_EQ(ops(ask(*first, ack(5))), "");
  EXPECT_FALSE(log_.cursor("c").stored);
  EXPECT_TRUE(log_.cursor("c").is_open);
  EXPECT_EQ(ops(ask(*second, ack(5))), "acked s");
  // Its connection lives on and the id is free.
  EXPECT_EQ(ops(ask(*first, subscribe(""))), "subscribed s, caught_up s");
}

TEST_F(SessionResumeTest, AnAcceptedLossIsToldOnce) {
  append(10);
  log_.cursor("c").stored = 6;
  log_.cursor("c").lapsed_from = 9;
  const auto peer = connect();
  auto seen = ask(*peer, subscribe(R"(,"cursor":"c","on_gap":"floor")"));
  ASSERT_GE(seen.size(), 2U);
  EXPECT_EQ(seen[0].op, "gap");
  EXPECT_EQ(seen[0].field("reason"), "data_loss");
  EXPECT_EQ(seen[0].field("requested"), "9");
  EXPECT_EQ(seen[1].op, "subscribed");
  EXPECT_EQ(seen[1].field("resumed"), "true");
  EXPECT_EQ(sequences(seen), range(7, 10));
}

}  // namespace
}  // namespace tidegate::test
