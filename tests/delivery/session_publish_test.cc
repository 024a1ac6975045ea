#include <string>
#include <utility>

#include <fmt/format.h>

#include "tests/delivery/delivery_fixture.h"

namespace tidegate::test {
namespace {

class SessionPublishTest : public DeliveryFixture {
 protected:
  static std::string publish(const std::string& request, const std::string& more = "",
                             const std::string& stream = "a.b") {
    return fmt::format(
        R"({{"op":"publish","request":"{}","stream":"{}","event":{{"specversion":"1.0","id":"1",)"
        R"("source":"/s","type":"t"}}{}}})",
        request, stream, more);
  }
  void answer(std::size_t at, Sequence sequence) {
    AppendResult result;
    result.events.push_back({sequence, 5, true});
    result.position = log_.position(sequence);
    log_.publishes[at].done(result);
  }
};

TEST_F(SessionPublishTest, AnswersInTheOrderOfTheRequests) {
  const auto peer = connect();
  peer->say(publish("one", R"(,"checks":[{"stream":"x","absent":true}])"));
  peer->say(publish("two", "", "bad..name"));
  peer->say(publish("three"));
  settle(*peer);
  EXPECT_EQ(ops(peer->take()), "");
  ASSERT_EQ(log_.publishes.size(), 2U);
  EXPECT_EQ(log_.publishes[0].request.events.at(0).stream, "a.b");
  ASSERT_EQ(log_.publishes[0].request.checks.size(), 1U);
  EXPECT_EQ(log_.publishes[0].request.checks[0].kind, Check::Kind::kAbsent);

  answer(1, 2);
  settle(*peer);
  EXPECT_EQ(ops(peer->take()), "");
  answer(0, 1);
  settle(*peer);
  const auto seen = peer->take();
  ASSERT_EQ(ops(seen), "published, error, published");
  EXPECT_EQ(seen[0].field("request"), "one");
  EXPECT_EQ(seen[0].field("position"), log_.position(1).text());
  EXPECT_EQ(seen[0].number("revision"), 5U);
  EXPECT_EQ(seen[0].field("deduplicated"), "true");
  EXPECT_EQ(seen[1].field("request"), "two");
  EXPECT_EQ(seen[1].field("code"), "bad_argument");
  EXPECT_EQ(seen[2].field("request"), "three");
}

TEST_F(SessionPublishTest, TellsEveryFailingCheck) {
  const auto peer = connect();
  peer->say(publish("one"));
  log_.publishes[0].done(Error{Code::kCheckFailed,
                               "2 checks failed",
                               {{ErrorDetail::Kind::kRevision, "x", "3 expected, 4 found"},
                                {ErrorDetail::Kind::kAbsent, "y", "present"}}});
  settle(*peer);
  const auto seen = peer->take();
  ASSERT_EQ(ops(seen), "error");
  EXPECT_EQ(seen[0].field("code"), "check_failed");
  EXPECT_EQ(seen[0].field("message"), "2 checks failed; x: 3 expected, 4 found; y: present");
}

TEST_F(SessionPublishTest, NeedsThePermission) {
  const auto peer = connect(WireForm::kJson, std::make_shared<const Principal>());
  const auto seen = ask(*peer, publish("one"));
  ASSERT_EQ(ops(seen), "error");
  EXPECT_EQ(seen[0].field("code"), "forbidden");
  EXPECT_EQ(seen[0].field("request"), "one");
  EXPECT_TRUE(log_.publishes.empty());
}

TEST_F(SessionPublishTest, StopsReadingInsteadOfRefusing) {
  const auto peer = connect();
  for (int i = 0; i < 63; ++i) peer->say(publish(fmt::format("r{}", i)));
  EXPECT_TRUE(peer->transport.is_reading());
  peer->say(publish("r63"));
  EXPECT_FALSE(peer->transport.is_reading());
  answer(0, 1);
  EXPECT_TRUE(peer->transport.is_reading());
  EXPECT_EQ(log_.publishes.size(), 64U);
}

TEST_F(SessionPublishTest, AnAnswerAfterTheDisconnectIsDropped) {
  const auto peer = connect();
  peer->say(publish("one"));
  peer->disconnect();
  answer(0, 1);
  settle_log();
  EXPECT_EQ(loop_->sessions(), 0U);
}

TEST_F(SessionPublishTest, RefusesBadRequests) {
  const auto peer = connect(WireForm::kProto);
  v1::ClientMessage message;
  v1::PublishOp& op = *message.mutable_publish();
  op.set_stream("a");
  op.mutable_event()->set_id("1");
  op.mutable_event()->set_source("/s");
  op.mutable_event()->set_type("t");
  peer->say(message);  // no request name
  op.set_request("r");
  for (std::size_t i = 0; i <= kChecksMax; ++i) {
    op.add_checks()->set_stream("x");
    op.mutable_checks()->rbegin()->set_present(true);
  }
  peer->say(message);
  op.clear_checks();
  op.add_checks()->set_stream("x..y");
  op.mutable_checks(0)->set_revision(3);
  peer->say(message);
  op.clear_checks();
  op.mutable_event()->clear_type();
  peer->say(message);
  settle(*peer);
  const auto seen = peer->take();
  ASSERT_EQ(ops(seen), "error, error, error, error");
  EXPECT_EQ(seen[0].field("code"), "bad_message");
  EXPECT_EQ(seen[1].field("code"), "limit");
  EXPECT_EQ(seen[2].field("code"), "bad_argument");
  EXPECT_EQ(seen[3].field("code"), "bad_event");
  EXPECT_TRUE(log_.publishes.empty());
}

}  // namespace
}  // namespace tidegate::test
