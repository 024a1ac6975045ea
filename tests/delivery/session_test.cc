// What each operation answers, and what a session refuses.

#include <string>
#include <vector>

#include <fmt/format.h>

#include "tests/delivery/delivery_fixture.h"

namespace tidegate::test {
namespace {

class SessionTest : public DeliveryFixture {};

std::string subscribe(const std::string& id, const std::string& more = "") {
  return fmt::format(R"({{"op":"subscribe","id":"{}","streams":["a.>"]{}}})", id, more);
}

std::string code_of(const std::vector<SeenMessage>& answers) {
  return answers.empty() ? "nothing" : answers.front().field("code");
}

TEST_F(SessionTest, WelcomesWithItsLimitsInBothForms) {
  append(3);
  for (const WireForm form : {WireForm::kJson, WireForm::kProto}) {
    Peer peer(*loop_, form, std::make_shared<const Principal>());
    settle(peer);
    const auto messages = peer.take();
    ASSERT_EQ(ops(messages), "welcome");
    EXPECT_EQ(messages[0].field("connection"), "c1");
    EXPECT_EQ(messages[0].field("log"), log_.log_id().text());
    EXPECT_EQ(messages[0].number("head"), 3U);
    EXPECT_EQ(messages[0].number("floor"), 1U);
    EXPECT_EQ(messages[0].number("heartbeat_ms"), 25'000U);
  }
}

TEST_F(SessionTest, SubscribesDeliversAndUnsubscribes) {
  for (const WireForm form : {WireForm::kJson, WireForm::kProto}) {
    const auto peer = connect(form);
    v1::ClientMessage message;
    message.mutable_subscribe()->set_id("s");
    message.mutable_subscribe()->add_streams("a.*");
    peer->say(message);
    settle(*peer);
    auto seen = peer->take();
    ASSERT_EQ(ops(seen), "subscribed s, caught_up s");
    const Sequence head = log_.head();
    EXPECT_EQ(seen[0].field("position"), log_.position(head).text());
    EXPECT_EQ(seen[0].field("resumed"), "false");

    append(1, "a.b", "placed");
    append(1, "other");
    settle(*peer);
    seen = peer->take();
    ASSERT_EQ(ops(seen), "events s");
    ASSERT_EQ(seen[0].events.size(), 1U);
    EXPECT_EQ(seen[0].events[0].sequence, head + 1);
    EXPECT_EQ(seen[0].events[0].stream, "a.b");
    EXPECT_EQ(seen[0].events[0].type, "placed");
    EXPECT_EQ(seen[0].field("position"), log_.position(head + 1).text());

    message.mutable_unsubscribe()->set_id("s");
    peer->say(message);
    append(1);
    settle(*peer);
    seen = peer->take();
    ASSERT_EQ(ops(seen), "unsubscribed s");
    EXPECT_EQ(seen[0].field("reason"), "requested");
  }
}

TEST_F(SessionTest, BeginsWhereItIsAsked) {
  append(20);
  append(10, "b");
  const struct {
    std::string start;
    std::vector<Sequence> expected;
  } cases[] = {
      {R"(,"from":"start")", range(1, 20)},
      {R"(,"from":"head")", {}},
      {"", {}},
      {R"(,"last":3)", range(18, 20)},
      {R"(,"last":1000)", range(1, 20)},
      {R"(,"after":17)", range(18, 20)},
      {R"(,"after":0)", range(1, 20)},
      {fmt::format(R"(,"after":"{}")", log_.position(15).text()), range(16, 20)},
      {R"(,"from":"2023-11-14T22:13:39Z")", range(19, 20)},
  };
  for (const auto& one : cases) {
    const auto peer = connect();
    const auto seen = ask(*peer, subscribe("s", one.start));
    EXPECT_EQ(sequences(seen), one.expected) << one.start;
    ASSERT_GE(seen.size(), 2U) << one.start;
    EXPECT_EQ(seen.front().op, "subscribed");
    EXPECT_EQ(seen.front().number("behind"), 30 - seen.front().position_sequence());
    EXPECT_EQ(seen.back().op, "caught_up");
    EXPECT_EQ(seen.back().position_sequence(), 30U);
  }
}

TEST_F(SessionTest, RefusesBadSubscribesByNameOfTheSubscription) {
  const auto peer = connect();
  const struct {
    std::string more;
    std::string code;
  } cases[] = {
      {R"(,"last":0)", "bad_argument"},           {R"(,"last":10001)", "bad_argument"},
      {R"(,"window":10001)", "bad_argument"},     {R"(,"cursor":"a..b")", "bad_argument"},
      {R"(,"cursor":"*")", "bad_argument"},       {R"(,"on_gap":"snapshot")", "bad_argument"},
      {R"(,"after":"nonsense")", "bad_position"}, {R"(,"types":[""])", "bad_argument"},
  };
  for (const auto& one : cases) {
    clock_.advance_ms(1000);
    const auto seen = ask(*peer, subscribe("s", one.more));
    ASSERT_EQ(ops(seen), "error s") << one.more;
    EXPECT_EQ(seen[0].field("code"), one.code) << one.more << seen[0].field("message");
    EXPECT_EQ(seen[0].field("retryable"), "false");
  }
  EXPECT_EQ(code_of(ask(*peer, R"({"op":"subscribe","id":"s","streams":["a..b"]})")),
            "bad_pattern");
  EXPECT_EQ(code_of(ask(*peer, subscribe(std::string(65, 'x')))), "bad_message");
  EXPECT_EQ(ops(ask(*peer, subscribe("s"))), "subscribed s, caught_up s");
}

TEST_F(SessionTest, ProtoFormRefusesWhatOnlyItCanSay) {
  const auto peer = connect(WireForm::kProto);
  v1::ClientMessage message;
  v1::SubscribeOp& op = *message.mutable_subscribe();
  op.set_id("s");
  op.add_streams("a");
  op.mutable_start()->mutable_from_time()->set_seconds(1'000'000'000'000'000);
  peer->say(message);
  op.mutable_start()->set_edge(static_cast<v1::Edge>(9));
  peer->say(message);
  op.clear_start();
  op.set_on_gap(static_cast<v1::OnGap>(9));
  peer->say(message);
  settle(*peer);
  const auto seen = peer->take();
  ASSERT_EQ(ops(seen), "error s, error s, error s");
  EXPECT_EQ(seen[0].field("code"), "bad_position");
  EXPECT_EQ(seen[1].field("code"), "bad_message");
  EXPECT_EQ(seen[2].field("code"), "bad_message");
}

TEST_F(SessionTest, AnIdIsTakenFromTheRequestOn) {
  const auto peer = connect();
  peer->say(subscribe("s"));
  peer->say(subscribe("s"));  // the first is still opening
  settle(*peer);
  auto seen = peer->take();
  ASSERT_EQ(ops(seen), "error s, subscribed s, caught_up s");
  EXPECT_EQ(seen[0].field("code"), "bad_argument");
  EXPECT_NE(seen[0].field("message").find("'s'"), std::string::npos);
}

TEST_F(SessionTest, UnsubscribeWhileOpeningReleasesTheCursor) {
  const auto peer = connect();
  peer->say(subscribe("s", R"(,"cursor":"c")"));
  peer->say(R"({"op":"unsubscribe","id":"s"})");
  settle(*peer);
  EXPECT_EQ(ops(peer->take()), "unsubscribed s");
  EXPECT_EQ(log_.cursor("c").generation, 1U);
  EXPECT_FALSE(log_.cursor("c").is_open);
}

TEST_F(SessionTest, DisconnectWhileOpeningReleasesTheCursor) {
  const auto peer = connect();
  peer->say(subscribe("s", R"(,"cursor":"c")"));
  peer->disconnect();
  settle_log();
  EXPECT_EQ(log_.cursor("c").generation, 1U);
  EXPECT_FALSE(log_.cursor("c").is_open);
  EXPECT_EQ(loop_->sessions(), 0U);
}

TEST_F(SessionTest, TellsErrorsOfTheLogAndFreesTheId) {
  const auto peer = connect();
  log_.fail_next_open(Code::kOverloaded);
  const auto seen = ask(*peer, subscribe("s"));
  ASSERT_EQ(ops(seen), "error s");
  EXPECT_EQ(seen[0].field("code"), "overloaded");
  EXPECT_EQ(seen[0].field("retryable"), "true");
  EXPECT_EQ(ops(ask(*peer, subscribe("s"))), "subscribed s, caught_up s");
}

TEST_F(SessionTest, LimitsSubscriptions) {
  const auto peer = connect();
  for (int i = 0; i < 128; ++i) {
    clock_.advance_ms(100);
    peer->say(subscribe(fmt::format("s{}", i)));
  }
  settle(*peer);
  peer->take();
  const auto seen = ask(*peer, subscribe("s128"));
  ASSERT_EQ(ops(seen), "error s128");
  EXPECT_EQ(seen[0].field("code"), "limit");
}

TEST_F(SessionTest, AnswersSmallOperations) {
  const auto peer = connect();
  EXPECT_EQ(ops(ask(*peer, R"({"op":"ping"})")), "pong");
  EXPECT_EQ(ops(ask(*peer, R"({"op":"pong"})")), "");
  EXPECT_EQ(code_of(ask(*peer, R"({"op":"refresh","token":"t"})")), "unsupported");
  EXPECT_EQ(code_of(ask(*peer, R"({"op":"dance"})")), "unknown_op");
  EXPECT_EQ(code_of(ask(*peer, R"({"op":"unsubscribe","id":"x"})")), "not_found");
  EXPECT_EQ(code_of(ask(*peer, R"({"op":"update","id":"x","streams":["a"]})")), "not_found");
  // It may have crossed with the end of the subscription.
  EXPECT_EQ(code_of(ask(*peer, R"({"op":"ack","id":"x","position":1})")), "nothing");
}

TEST_F(SessionTest, TheThirdBadMessageCloses) {
  const struct {
    WireForm form;
    std::string bytes;
  } cases[] = {{WireForm::kJson, "{"}, {WireForm::kProto, "\xff\xff\xff"}};
  for (const auto& one : cases) {
    const auto peer = connect(one.form);
    EXPECT_EQ(code_of(ask(*peer, one.bytes)), "bad_message");
    EXPECT_EQ(code_of(ask(*peer, one.bytes)), "bad_message");
    EXPECT_FALSE(peer->transport.close_code());
    EXPECT_EQ(code_of(ask(*peer, one.bytes)), "bad_message");
    EXPECT_EQ(peer->transport.close_code(), CloseCode::kBadMessage);
    EXPECT_EQ(ops(ask(*peer, one.bytes)), "");
  }
}

TEST_F(SessionTest, ClosesAfterTheAnswersThatWait) {
  const auto peer = connect();
  peer->say(R"({"op":"ping"})");
  for (int i = 0; i < 3; ++i) peer->say("{");
  EXPECT_FALSE(peer->transport.close_code());  // the pong is still being written
  settle(*peer);
  EXPECT_EQ(ops(peer->take()), "pong, error, error, error");
  EXPECT_EQ(peer->transport.close_code(), CloseCode::kBadMessage);
}

TEST_F(SessionTest, AFloodIsToldAndClosed) {
  const auto peer = connect();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(ops(ask(*peer, R"({"op":"ping"})")), "pong");
  for (int i = 0; i < 300; ++i) ask(*peer, R"({"op":"ack","id":"x","position":1})");
  clock_.advance_ms(20);  // one token
  EXPECT_EQ(ops(ask(*peer, R"({"op":"ping"})")), "pong");
  EXPECT_EQ(code_of(ask(*peer, R"({"op":"ping"})")), "rate_limited");
  EXPECT_EQ(peer->transport.close_code(), CloseCode::kRateLimited);
}

TEST_F(SessionTest, AFloodOfBytesIsToo) {
  const auto peer = connect();
  const std::string large = R"({"op":"ping","x":")" + std::string(60'000, 'x') + R"("})";
  const std::size_t count = SessionLimits{}.message_bytes_burst / large.size();
  for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(ops(ask(*peer, large)), "pong");
  EXPECT_EQ(code_of(ask(*peer, large)), "rate_limited");
  EXPECT_EQ(peer->transport.close_code(), CloseCode::kRateLimited);
}

TEST_F(SessionTest, StopsReadingWhileAnswersPileUp) {
  const auto peer = connect();
  v1::ClientMessage ack;
  ASSERT_EQ(ops(ask(*peer, subscribe("s"))), "subscribed s, caught_up s");
  const std::string wrong = R"({"op":"ack","id":"s","position":999})";
  int said = 0;
  while (peer->transport.is_reading() && said < 100'000) {
    peer->say(wrong);
    ++said;
  }
  EXPECT_FALSE(peer->transport.is_reading());
  EXPECT_GT(said, 100);
  settle(*peer);
  EXPECT_TRUE(peer->transport.is_reading());
  EXPECT_EQ(peer->take().size(), static_cast<std::size_t>(said));
}

TEST_F(SessionTest, DrainTellsAndClosesEveryoneWithinTheSpread) {
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < 40; ++i) peers.push_back(connect());
  loop_->drain(4000);
  const auto closed = [&] {
    return std::count_if(peers.begin(), peers.end(),
                         [](const auto& peer) { return peer->transport.close_code().has_value(); });
  };
  pass_ms(1000);
  EXPECT_GT(closed(), 0);
  EXPECT_LT(closed(), 40);
  pass_ms(3000);
  EXPECT_EQ(closed(), 40);
  for (const auto& peer : peers) {
    settle(*peer);
    const auto seen = peer->take();
    ASSERT_EQ(ops(seen), "closing");
    EXPECT_EQ(seen[0].field("reason"), "draining");
    EXPECT_GT(seen[0].number("reconnect_after_ms"), 0U);
    EXPECT_EQ(peer->transport.close_code(), CloseCode::kDrain);
  }
  Peer late(*loop_, WireForm::kJson, Principal::unrestricted());
  settle(late);
  EXPECT_EQ(ops(late.take()), "closing");
  EXPECT_EQ(late.transport.close_code(), CloseCode::kDrain);
}

}  // namespace
}  // namespace tidegate::test
