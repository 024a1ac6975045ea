// What we refuse of a request although the RFCs do not demand it, and our limits and times. After
// each case the gateway runs and serves the next client. (What they demand: tests/conformance.)

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/gateway_process.h"
#include "tests/support/upgrade_request.h"
#include "tests/support/ws_client.h"

namespace tidegate::test {
namespace {

GatewayProcess& gateway() {
  static GatewayProcess process;
  return process;
}

void expect_healthy() {
  EXPECT_TRUE(gateway().is_alive());
  WsClient::connect(gateway().http()).expect("welcome");
}

HttpReply ask(const std::string& bytes, Milliseconds time = kPatience) {
  TcpClient client(gateway().http());
  client.send(bytes);
  return HttpReply::parse(client.receive_all(time).value_or(""));
}

struct Case {
  std::string name;
  std::string bytes;
  int status;
};

// Every refusal is a small problem+json body, and the end of the connection.
void expect_refusals(const std::vector<Case>& cases) {
  for (const Case& bad : cases) {
    SCOPED_TRACE(bad.name);
    const HttpReply reply = ask(bad.bytes);
    EXPECT_EQ(reply.status, bad.status) << reply.head << reply.body;
    EXPECT_EQ(reply.field("Content-Type"), "application/problem+json");
    EXPECT_EQ(reply.field("Connection"), "close");
    EXPECT_LT(reply.body.size(), 512U);
    expect_healthy();
  }
}

int status_of(const UpgradeRequest& request) {
  TcpClient client(gateway().http());
  client.send(request.bytes());
  return HttpReply::parse(client.receive().value_or("")).status;
}

TEST(HandshakeTest, RefusesWhatIsNotHttp) {
  const UpgradeRequest good;
  std::string bare_lf = good.bytes();
  std::erase(bare_lf, '\r');
  std::string one_bare_lf = good.bytes();
  one_bare_lf.replace(one_bare_lf.find("\r\nUpgrade"), 2, "\n");
  expect_refusals({
      {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
      {"TLS hello", std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11), 400},
      {"PROXY line", "PROXY TCP4 203.0.113.9 127.0.0.1 4000 80\r\n" + good.bytes(), 400},
      // A server may take these.
      {"bare line feeds", bare_lf, 400},
      {"one bare line feed", one_bare_lf, 400},
      {"empty line first", "\r\n" + good.bytes(), 400},
  });
}

TEST(HandshakeTest, BoundsTheHead) {
  std::string many;
  for (int i = 0; i < 10'000; ++i) many += "X-" + std::to_string(i) + ": y\r\n";
  many.resize(many.size() - 2);
  expect_refusals({
      {"17 KiB head", UpgradeRequest{}.with("X: " + std::string(17 << 10, 'y')).bytes(), 431},
      {"10,000 fields", UpgradeRequest{}.with(many).bytes(), 431},
      {"32 KiB of spaces",
       UpgradeRequest{}.with("Sec-WebSocket-Protocol: " + std::string(32 << 10, ' ')).bytes(), 431},
      {"a line without an end", std::string(20 << 10, 'A'), 431},
  });
  EXPECT_EQ(status_of(UpgradeRequest{}.with("X: " + std::string(15 << 10, 'y'))), 101);
}

TEST(HandshakeTest, RefusesAForeignHostOrOrigin) {
  const UpgradeRequest good;
  expect_refusals({
      {"foreign Host", good.replacing("Host", "tidegate.example").bytes(), 403},
      {"Host that looks like loopback", good.replacing("Host", "127.0.0.1.example").bytes(), 403},
      {"Host with a bad port", good.replacing("Host", "127.0.0.1:99999").bytes(), 403},
      {"empty Host", good.replacing("Host", "").bytes(), 403},
      {"evil Origin", good.with("Origin: https://evil.example").bytes(), 403},
      {"Origin with a loopback prefix", good.with("Origin: http://localhost.evil.example").bytes(),
       403},
      {"Origin with credentials", good.with("Origin: http://localhost@evil.example").bytes(), 403},
      {"null Origin", good.with("Origin: null").bytes(), 403},
      {"two Origins",
       good.with("Origin: http://localhost").with("Origin: http://localhost").bytes(), 403},
  });
  EXPECT_EQ(status_of(good.with("Origin: http://localhost:5173")), 101);
  EXPECT_EQ(status_of(good.with("X-Forwarded-For: 203.0.113.9")), 101);
}

TEST(HandshakeTest, RefusesATargetInAnotherForm) {
  const UpgradeRequest good;
  expect_refusals({
      {"path above", good.to("GET /v1/../v1/ws HTTP/1.1").bytes(), 404},
      {"double slash", good.to("GET //v1/ws HTTP/1.1").bytes(), 404},
      {"encoded zero byte", good.to("GET /v1/ws%00 HTTP/1.1").bytes(), 404},
      {"9 KiB path", good.to("GET /" + std::string(9 << 10, 'a') + " HTTP/1.1").bytes(), 404},
      {"absolute target", good.to("GET http://127.0.0.1/v1/ws HTTP/1.1").bytes(), 400},
      {"authority target", good.to("CONNECT 127.0.0.1:80 HTTP/1.1").bytes(), 400},
  });
}

TEST(HandshakeTest, RefusesAnUnknownSubprotocol) {
  expect_refusals(
      {{"graphql-ws", UpgradeRequest{}.with("Sec-WebSocket-Protocol: graphql-ws").bytes(), 400}});
}

TEST(HandshakeTest, EndsASlowOrSilentPeerAfterFiveSeconds) {
  TcpClient silent(gateway().http());
  TcpClient slow(gateway().http());
  slow.send("GET /v1/ws HTTP/1.1\r\nHos");
  // Neither is answered early.
  EXPECT_FALSE(silent.receive(Milliseconds(3'000)));
  slow.send("t");
  EXPECT_EQ(HttpReply::parse(silent.receive_all().value_or("")).status, 408);
  EXPECT_EQ(HttpReply::parse(slow.receive_all().value_or("")).status, 408);
  expect_healthy();
}

TEST(HandshakeTest, SurvivesPeersThatGoInTheMiddle) {
  const std::string bytes = UpgradeRequest{}.bytes();
  for (std::size_t length = 0; length <= bytes.size(); length += 7) {
    TcpClient client(gateway().http());
    client.send(bytes.substr(0, length));
    client.cut();
  }
  TcpClient client(gateway().http());
  client.send(bytes);
  client.cut();
  expect_healthy();
}

TEST(HandshakeTest, RefusesConnectionsAboveTheLimit) {
  GatewayProcess small({.flags = {"--http-max-connections", "2"}});
  std::vector<WsClient> clients;
  for (int i = 0; i < 2; ++i) {
    clients.push_back(WsClient::connect(small.http()));
    clients.back().expect("welcome");
  }
  HttpReply reply;
  EXPECT_FALSE(WsClient::try_connect(small.http(), {}, &reply));
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.field("Retry-After"), "5");
  // One goes, and its place is free.
  clients.front().send_close(1000);
  EXPECT_EQ(clients.front().expect_close(), 1000);
  clients.front().socket().close();
  const Deadline deadline(kPatience);
  while (!WsClient::try_connect(small.http(), {}, &reply) && !deadline.is_over()) {
  }
  EXPECT_EQ(reply.status, 101);
}

TEST(HandshakeTest, PausesWhenDescriptorsRunOutAndRecovers) {
  GatewayProcess small({.wrapper = {"/bin/sh", "-c", "ulimit -n 100; exec \"$@\"", "sh"}});
  std::vector<TcpClient> idle;
  for (int i = 0; i < 150; ++i) idle.emplace_back(small.http());
  idle.clear();
  // Until the gateway has seen that they are gone, one more is one too many, and is cut.
  HttpReply reply;
  std::optional<WsClient> client;
  for (const Deadline deadline(kPatience); !client && !deadline.is_over();)
    client = WsClient::try_connect(small.http(), {}, &reply);
  ASSERT_TRUE(client) << reply.status;
  client->expect("welcome");
  EXPECT_TRUE(small.is_alive());
}

}  // namespace
}  // namespace tidegate::test
