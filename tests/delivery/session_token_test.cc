// What a session may do, for how long, and what a new token changes.

#include <string>
#include <vector>

#include <fmt/format.h>

#include "tests/delivery/delivery_fixture.h"

namespace tidegate::test {
namespace {

std::vector<Pattern> patterns(const std::vector<std::string>& texts) {
  std::vector<Pattern> all;
  for (const std::string& text : texts) all.push_back(*Pattern::parse(text));
  return all;
}

class SessionTokenTest : public DeliveryFixture {
 protected:
  // Somebody who may read `subscribe` and publish to `publish` for so long.
  Principal somebody(const std::vector<std::string>& subscribe,
                     const std::vector<std::string>& publish = {}, std::int64_t life_s = 3600) {
    Principal made;
    made.owner = "issuer somebody";
    made.subject = "somebody";
    made.expires_s = clock_.wall_us() / 1'000'000 + life_s;
    made.subscribe = patterns(subscribe);
    made.publish = patterns(publish);
    return made;
  }
  std::unique_ptr<Peer> connect_as(Principal principal) {
    return connect(WireForm::kJson, std::make_shared<const Principal>(std::move(principal)));
  }
  static std::string subscribe(const std::string& id, const std::string& pattern) {
    return fmt::format(R"({{"op":"subscribe","id":"{}","streams":["{}"]}})", id, pattern);
  }
  static std::string publish(const std::string& stream, const std::string& more = "") {
    return fmt::format(
        R"({{"op":"publish","request":"r","stream":"{}","event":{{"specversion":"1.0","id":"1",)"
        R"("source":"/s","type":"t"}}{}}})",
        stream, more);
  }
  static std::string refresh(const std::string& token) {
    return fmt::format(R"({{"op":"refresh","token":"{}"}})", token);
  }
  static std::string code_of(const std::vector<SeenMessage>& seen) {
    return seen.size() == 1 ? seen[0].field("code") : ops(seen);
  }
};

TEST_F(SessionTokenTest, ReadsWithinTheGrantsOnly) {
  const auto peer = connect_as(somebody({"a.*", "b.>"}));
  EXPECT_EQ(ops(ask(*peer, subscribe("1", "a.*"))), "subscribed 1, caught_up 1");
  EXPECT_EQ(code_of(ask(*peer, subscribe("2", "a.>"))), "forbidden");
  EXPECT_EQ(code_of(ask(*peer, subscribe("2", ">"))), "forbidden");
  EXPECT_EQ(code_of(ask(*peer, subscribe("2", "c"))), "forbidden");
  EXPECT_EQ(ops(ask(*peer, subscribe("2", "b.*.c"))), "subscribed 2, caught_up 2");
  // A filter that would be too wide leaves the old one in force.
  EXPECT_EQ(code_of(ask(*peer, R"({"op":"update","id":"1","streams":["a.*","c"]})")), "forbidden");
  append(1, "c");
  append(1, "a.x");
  settle(*peer);
  const auto seen = peer->take();
  ASSERT_EQ(ops(seen), "events 1");
  EXPECT_EQ(seen[0].events.at(0).stream, "a.x");
}

TEST_F(SessionTokenTest, PublishesWithinTheGrantsOnly) {
  const auto peer = connect_as(somebody({"seen.>"}, {"mine.*"}));
  EXPECT_EQ(code_of(ask(*peer, publish("seen.1"))), "forbidden");
  EXPECT_EQ(code_of(ask(*peer, publish("mine.1.2"))), "forbidden");
  // A check tells what a stream holds.
  EXPECT_EQ(code_of(ask(*peer, publish("mine.1", R"(,"checks":[{"stream":"x","absent":true}])"))),
            "forbidden");
  EXPECT_TRUE(log_.publishes.empty());
  ask(*peer, publish("mine.1", R"(,"checks":[{"stream":"seen.1","absent":true}])"));
  EXPECT_EQ(log_.publishes.size(), 1U);
}

TEST_F(SessionTokenTest, EndsWithItsTokenAndSaysSoBefore) {
  const auto peer = connect_as(somebody({">"}, {}, 60));
  ask(*peer, subscribe("s", ">"));
  pass_ms(29'000);
  settle(*peer);
  EXPECT_EQ(ops(peer->take()).find("token_expiring"), std::string::npos);
  pass_ms(1'500);
  settle(*peer);
  const auto told = peer->take();
  ASSERT_EQ(ops(told), "token_expiring");
  EXPECT_EQ(told[0].field("expires"), "2023-11-14T22:31:00Z");
  pass_ms(29'000);
  EXPECT_FALSE(peer->transport.close_code());
  pass_ms(750);
  EXPECT_EQ(peer->transport.close_code(), CloseCode::kUnauthenticated);
}

TEST_F(SessionTokenTest, EndsAlsoWhileThePeerDoesNotRead) {
  const auto peer = connect_as(somebody({">"}, {}, 5));
  ask(*peer, subscribe("s", ">"));
  append(1);
  settle_log();
  ASSERT_TRUE(peer->transport.is_writing());
  pass_ms(5'250);
  EXPECT_EQ(peer->transport.close_code(), CloseCode::kUnauthenticated);
}

TEST_F(SessionTokenTest, IsProlongedByANewToken) {
  const auto peer = connect_as(somebody({">"}, {}, 60));
  pass_ms(50'000);
  settle(*peer);
  peer->take();
  authority_.know("fresh", somebody({">"}, {}, 60));
  const auto answer = ask(*peer, refresh("fresh"));
  ASSERT_EQ(ops(answer), "refreshed");
  EXPECT_EQ(answer[0].field("expires"), "2023-11-14T22:31:50Z");
  pass_ms(20'000);
  EXPECT_FALSE(peer->transport.close_code());
  settle(*peer);
  pass_ms(20'000);
  settle(*peer);
  pass_ms(20'250);
  EXPECT_EQ(peer->transport.close_code(), CloseCode::kUnauthenticated);
}

TEST_F(SessionTokenTest, ABadNewTokenChangesNothing) {
  const auto peer = connect_as(somebody({">"}, {}, 60));
  authority_.know("known", somebody({">"}));
  EXPECT_EQ(code_of(ask(*peer, refresh("unknown"))), "unauthenticated");
  EXPECT_EQ(ops(ask(*peer, subscribe("s", ">"))), "subscribed s, caught_up s");
}

TEST_F(SessionTokenTest, LosesWhatANewTokenDoesNotGrant) {
  const auto peer = connect_as(somebody({">"}));
  ask(*peer, subscribe("wide", ">"));
  ask(*peer, subscribe("narrow", "a.*"));
  authority_.know("less", somebody({"a.>"}));
  const auto answer = ask(*peer, refresh("less"));
  ASSERT_EQ(ops(answer), "refreshed, unsubscribed wide");
  EXPECT_EQ(answer[1].field("reason"), "forbidden");
  append(1, "b");
  append(1, "a.b");
  settle(*peer);
  const auto seen = peer->take();
  ASSERT_EQ(ops(seen), "events narrow");
  EXPECT_EQ(seen[0].events.size(), 1U);
}

TEST_F(SessionTokenTest, CannotBecomeSomebodyElse) {
  const auto peer = connect_as(somebody({">"}));
  Principal other = somebody({">"});
  other.owner = "issuer other";
  authority_.know("other", other);
  EXPECT_EQ(code_of(ask(*peer, refresh("other"))), "forbidden");
  EXPECT_EQ(peer->transport.close_code(), CloseCode::kForbidden);
}

TEST_F(SessionTokenTest, EndsWhenItIsRevoked) {
  const auto peer = connect_as(somebody({">"}));
  Principal other = somebody({">"});
  other.owner = "issuer other";
  const auto neighbour = connect_as(other);
  authority_.revoke("issuer somebody");
  pass_ms(250);
  EXPECT_EQ(peer->transport.close_code(), CloseCode::kForbidden);
  EXPECT_FALSE(neighbour->transport.close_code());
}

TEST_F(SessionTokenTest, DoesNotBeginWhenItWasRevokedOnTheWay) {
  authority_.revoke("issuer somebody");
  pass_ms(250);  // the loop has looked
  Peer peer(*loop_, WireForm::kJson, std::make_shared<const Principal>(somebody({">"})));
  EXPECT_EQ(peer.transport.close_code(), CloseCode::kForbidden);
  settle(peer);
  EXPECT_EQ(ops(peer.take()), "");
}

TEST_F(SessionTokenTest, KeepsCursorsByOwner) {
  const auto peer = connect_as(somebody({">"}));
  ask(*peer, R"({"op":"subscribe","id":"s","streams":[">"],"cursor":"c"})");
  EXPECT_TRUE(log_.cursor("c", "issuer somebody").is_open);
  EXPECT_FALSE(log_.cursor("c").is_open);
}

}  // namespace
}  // namespace tidegate::test
