// Floods of frames, peers that go at any byte, and peers that do not answer. After each case the
// gateway runs and serves the next client. (What RFC 6455 demands: tests/conformance.)

#include <chrono>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/gateway_process.h"
#include "tests/support/ws_client.h"

namespace tidegate::test {
namespace {

GatewayProcess& gateway() {
  static GatewayProcess process({.flags = {"--delivery-heartbeat-ms", "60000"}});
  return process;
}

WsClient connect() {
  WsClient client = WsClient::connect(gateway().http());
  client.expect("welcome");
  return client;
}

void expect_healthy() {
  EXPECT_TRUE(gateway().is_alive());
  WsClient client = connect();
  client.send_text(R"({"op":"ping"})");
  client.expect("pong");
}

std::string close_payload(int code) {
  return {static_cast<char>(code >> 8), static_cast<char>(code & 0xff)};
}

TEST(WebsocketFramesTest, ResetsAPeerThatDoesNotAnswerItsClose) {
  WsClient client = connect();
  client.send_binary("{}");
  EXPECT_EQ(client.expect_close(), 1003);
  // The peer keeps its half open; five seconds later it is cut all the same.
  EXPECT_TRUE(client.socket().receive_all(Milliseconds(15'000)));
  expect_healthy();
}

TEST(WebsocketFramesTest, EndsAFloodOfEmptyFragments) {
  WsClient client = connect();
  std::string flood = make_frame(Opcode::kText, "{", {.is_final = false});
  for (int i = 0; i < 100'000; ++i)
    flood += make_frame(Opcode::kContinuation, "", {.is_final = false});
  // The gateway stops reading, so the rest may not fit.
  client.socket().send(flood, Milliseconds(500));
  EXPECT_EQ(client.expect_close(), 1008);
  expect_healthy();
}

TEST(WebsocketFramesTest, EndsAFloodOfPings) {
  WsClient client = connect();
  std::string pings;
  for (int i = 0; i < 100; ++i) pings += make_frame(Opcode::kPing, "");
  client.send_raw(pings);
  int pongs = 0;
  while (pongs < 100) {
    const auto frame = client.read_frame();
    ASSERT_TRUE(frame);
    ASSERT_EQ(frame->opcode, Opcode::kPong);
    ++pongs;
  }
  client.send_frame(Opcode::kPing, "");
  EXPECT_EQ(client.expect_close(), 1008);
  expect_healthy();
}

TEST(WebsocketFramesTest, SurvivesACutAfterAnyByte) {
  const std::string frames =
      make_frame(Opcode::kText, R"({"op":"subscribe","id":"s","streams":["a.>"]})") +
      make_frame(Opcode::kPing, "x") + make_frame(Opcode::kClose, close_payload(1000));
  for (std::size_t length = 0; length <= frames.size(); length += 3) {
    WsClient client = connect();
    client.send_raw(frames.substr(0, length));
    client.cut();
  }
  expect_healthy();
}

TEST(WebsocketFramesTest, PingsAndGivesUpAPeerThatDoesNotAnswer) {
  GatewayProcess quick({.flags = {"--delivery-heartbeat-ms", "500", "--delivery-pong-ms", "500"}});
  // Reads, and never answers.
  WsClient silent = WsClient::connect(quick.http());
  silent.expect("welcome");
  EXPECT_EQ(silent.expect_close(), 4408);
  // Answers the ping frames between the messages; lives longer than the other did.
  WsClient answering = WsClient::connect(quick.http());
  answering.expect("welcome");
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(json_field(answering.read_message().value_or(""), "op"), "ping");
  }
  EXPECT_FALSE(answering.closed());
  EXPECT_NE(http_get(quick.admin(), "/metrics")
                .body.find("tidegate_heartbeat_failures_total{cause=\"no_pong\"} 1"),
            std::string::npos);
}

}  // namespace
}  // namespace tidegate::test
