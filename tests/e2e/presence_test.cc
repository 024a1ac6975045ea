// Who is connected and reads what, as `_presence` of a real gateway says.

#include <csignal>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/gateway_process.h"
#include "tests/support/session_link.h"
#include "tests/support/token_issuer.h"
#include "tests/support/ws_client.h"

namespace tidegate::test {
namespace {

using RowTexts = std::map<std::string, std::string>;  // by key

const std::vector<std::string> kSwitchedOn = {"--projections-presence", "true"};

// Watches `_presence`; it is one of its rows itself.
class Onlooker {
 public:
  explicit Onlooker(const GatewayProcess& gateway)
      : link_(SessionLink::open(SessionKind::kJson, gateway)) {
    link_->send(R"({"op":"watch","id":"onlooker","projection":"_presence"})", {});
  }

  // Whether this comes true in time. Rows count only as of a position.
  bool sees(const std::function<bool(const RowTexts&)>& condition) {
    const Deadline deadline(kPatience);
    while (!deadline.is_over()) {
      if (is_whole_ && condition(rows_)) return true;
      const Told told = link_->next();
      if (told.op.empty()) break;
      take(told);
    }
    for (const auto& [key, document] : rows_) ADD_FAILURE() << key << " " << document;
    return false;
  }
  // A number of rows with these texts.
  bool sees(std::size_t count, const std::vector<std::string>& texts) {
    return sees([&](const RowTexts& rows) {
      for (const std::string& text : texts) {
        bool is_there = false;
        for (const auto& [key, document] : rows)
          is_there = is_there || document.find(text) != std::string::npos;
        if (!is_there) return false;
      }
      return rows.size() == count;
    });
  }
  const RowTexts& rows() const { return rows_; }

 private:
  void take(const Told& told) {
    is_whole_ = told.op == "snapshot_end" || told.op == "watch_position";
    for (const Told::Row& row : told.rows) {
      if (row.document.empty()) {
        rows_.erase(row.key);
      } else {
        rows_[row.key] = row.document;
      }
    }
  }

  std::unique_ptr<SessionLink> link_;
  RowTexts rows_;
  bool is_whole_ = false;
};

WsClient connect(const GatewayProcess& gateway, const std::string& token = "") {
  WsOptions options;
  if (!token.empty()) options.fields = {{"Authorization", "Bearer " + token}};
  WsClient client = WsClient::connect(gateway.http(), options);
  client.expect("welcome");
  return client;
}

TEST(PresenceTest, SaysWhoIsConnectedAndReadsWhat) {
  GatewayProcess gateway({.flags = kSwitchedOn});
  Onlooker onlooker(gateway);
  EXPECT_TRUE(onlooker.sees(1, {R"("watches":{"onlooker":"_presence"})", R"("since":"20)"}));

  WsClient first = connect(gateway);
  WsClient second = connect(gateway);
  const auto third = SessionLink::open(SessionKind::kGrpc, gateway);
  EXPECT_TRUE(onlooker.sees(4, {R"("surface":"grpc")", R"("surface":"websocket")"}));

  first.send_text(R"({"op":"subscribe","id":"s","streams":["orders.>"],"types":["t"]})");
  second.send_text(R"({"op":"subscribe","id":"s","streams":["news.*","a"]})");
  v1::ClientMessage subscribe;
  subscribe.mutable_subscribe()->set_id("g");
  subscribe.mutable_subscribe()->add_streams("chat.>");
  third->send("", subscribe);
  EXPECT_TRUE(onlooker.sees(4, {R"("subscriptions":{"s":{"streams":["orders.>"],"types":["t"]}})",
                                R"("subscriptions":{"s":{"streams":["news.*","a"]}})",
                                R"("subscriptions":{"g":{"streams":["chat.>"]}})"}));

  first.send_text(R"({"op":"update","id":"s","streams":["orders.eu.>"]})");
  EXPECT_TRUE(onlooker.sees(4, {R"("subscriptions":{"s":{"streams":["orders.eu.>"]}})"}));
  first.send_text(R"({"op":"unsubscribe","id":"s"})");
  EXPECT_TRUE(onlooker.sees(4, {R"("subscriptions":{})"}));
  second.cut();
  EXPECT_TRUE(onlooker.sees([](const RowTexts& rows) {
    for (const auto& [key, document] : rows) {
      if (document.find("news.*") != std::string::npos) return false;
    }
    return rows.size() == 3;
  }));
  third->cut();
  EXPECT_TRUE(onlooker.sees(2, {}));
}

// As many patterns as a connection may have would make more than a row may hold.
TEST(PresenceTest, LeavesOutWhatARowCannotHold) {
  std::vector<std::string> flags = kSwitchedOn;
  flags.insert(flags.end(), {"--limits-messages-per-second", "1000",
                             "--limits-message-bytes-per-second", "8MiB"});
  GatewayProcess gateway({.flags = flags});
  Onlooker onlooker(gateway);
  WsClient client = connect(gateway);
  std::string streams;
  for (int i = 0; i < 32; ++i) {
    const std::string name = std::to_string(i) + std::string(240, 'x');
    streams += (i == 0 ? "\"" : ",\"") + name + "\"";
  }
  for (int i = 0; i < 128; ++i) {
    client.send_text(R"({"op":"subscribe","id":")" + std::to_string(i) + R"(","streams":[)" +
                     streams + "]}");
  }
  EXPECT_TRUE(onlooker.sees(2, {R"("127":{"left_out":28,"streams":["0xxx)"}));
  client.cut();
  EXPECT_TRUE(onlooker.sees(1, {}));
}

TEST(PresenceTest, NobodyIsLeftOfARunThatWasKilled) {
  GatewayProcess gateway({.flags = kSwitchedOn});
  auto before = std::make_unique<Onlooker>(gateway);
  const WsClient client = connect(gateway);
  ASSERT_TRUE(before->sees(2, {}));
  const std::string key = before->rows().begin()->first;
  gateway.kill();
  gateway.start();
  Onlooker after(gateway);
  EXPECT_TRUE(after.sees(1, {"onlooker"}));
  EXPECT_NE(after.rows().begin()->first, key) << "names are not used again";
}

TEST(PresenceTest, ACleanEndTellsItself) {
  GatewayProcess gateway({.flags = kSwitchedOn});
  auto before = std::make_unique<Onlooker>(gateway);
  const WsClient client = connect(gateway);
  ASSERT_TRUE(before->sees(2, {}));
  const std::string run = before->rows().begin()->first.substr(0, 8);
  gateway.process().signal(SIGTERM);
  gateway.process().signal(SIGINT);
  EXPECT_EQ(gateway.process().wait_exit(), 0) << gateway.stderr_text();
  gateway.start();
  WsClient reader = connect(gateway);
  reader.send_text(
      R"({"op":"subscribe","id":"s","streams":["_sys.presence"],"types":["presence.disconnected"],"after":0})");
  reader.expect("subscribed");
  const std::string events = reader.expect("events");
  EXPECT_NE(events.find(R"("id":")" + run + "-"), std::string::npos) << events;
}

TEST(PresenceTest, IsOffByDefaultAndItsRowsGoWithIt) {
  GatewayProcess gateway;
  const auto is_known = [](WsClient& client) {
    client.send_text(R"({"op":"query","request":"q","projection":"_presence"})");
    const auto answer = client.read_message();
    return answer && answer->find("query_result") != std::string::npos;
  };
  WsClient first = connect(gateway);
  EXPECT_FALSE(is_known(first));
  first.send_text(R"({"op":"subscribe","id":"s","streams":["a"]})");
  first.expect("subscribed");
  first.cut();
  WsClient second = WsClient::connect(gateway.http());
  EXPECT_EQ(json_field(second.expect("welcome"), "head"), "0");
  gateway.kill();

  GatewayProcess with({.flags = kSwitchedOn, .data_dir = gateway.data_dir()});
  EXPECT_TRUE(Onlooker(with).sees(1, {}));
  with.kill();
  gateway.start();
  WsClient third = connect(gateway);
  EXPECT_FALSE(is_known(third));
}

TEST(PresenceTest, ReadingItNeedsGrants) {
  const TokenIssuer issuer;
  std::vector<std::string> flags = issuer.flags();
  flags.insert(flags.end(), kSwitchedOn.begin(), kSwitchedOn.end());
  GatewayProcess gateway({.flags = flags});
  const std::string read =
      R"({"op":"subscribe","id":"s","streams":["_sys.presence"],"from":"start"})";
  const std::string query = R"({"op":"query","request":"q","projection":"_presence"})";

  WsClient denied = connect(gateway, issuer.token("eve", {">"}, {">"}, true));
  for (const std::string& message : {read, query}) {
    denied.send_text(message);
    EXPECT_EQ(json_field(denied.expect("error"), "code"), "forbidden") << message;
  }
  WsClient permitted = connect(gateway, issuer.token("ann", {"_sys.>", "_projections._presence"}));
  permitted.send_text(query);
  permitted.expect("query_result");
  permitted.send_text(read);
  permitted.expect("subscribed");
  std::optional<std::string> heard;
  do {
    heard = permitted.read_message();
  } while (heard && heard->find(R"("subject":"eve")") == std::string::npos);
  EXPECT_TRUE(heard);
  // Nobody publishes there.
  WsClient publisher = connect(gateway, issuer.token("p", {}, {">", "_sys.>"}));
  publisher.send_text(
      R"({"op":"publish","request":"r","stream":"_sys.presence","event":{"specversion":"1.0","id":"1","source":"/s","type":"t"}})");
  publisher.expect("error");
}

}  // namespace
}  // namespace tidegate::test
