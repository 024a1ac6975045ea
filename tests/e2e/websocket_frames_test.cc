// Frames that break RFC 6455 or our limits, sent raw, and the close code that must come. After each
// case the gateway runs and serves the next client.

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

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

struct Case {
  std::string name;
  std::string bytes;
  std::vector<int> codes;
};

void expect_closes(const std::vector<Case>& cases) {
  for (const Case& bad : cases) {
    SCOPED_TRACE(bad.name);
    WsClient client = connect();
    client.send_raw(bad.bytes);
    const int code = client.expect_close();
    EXPECT_NE(std::find(bad.codes.begin(), bad.codes.end(), code), bad.codes.end()) << code;
    expect_healthy();
  }
}

std::string close_payload(int code) {
  return {static_cast<char>(code >> 8), static_cast<char>(code & 0xff)};
}

TEST(WebsocketFramesTest, RefusesMalformedFrames) {
  std::vector<Case> cases = {
      {"unmasked", make_frame(Opcode::kText, "{}", {.is_masked = false}), {1002}},
      {"RSV1", make_frame(Opcode::kText, "{}", {.reserved_bits = 4}), {1002}},
      {"RSV2", make_frame(Opcode::kText, "{}", {.reserved_bits = 2}), {1002}},
      {"RSV3", make_frame(Opcode::kText, "{}", {.reserved_bits = 1}), {1002}},
      {"126 bytes of ping", make_frame(Opcode::kPing, std::string(126, 'x')), {1002}},
      {"fragmented ping", make_frame(Opcode::kPing, "", {.is_final = false}), {1002}},
      {"length 5 in two bytes", make_frame(Opcode::kText, "hello", {.length_bytes = 2}), {1002}},
      {"length 5 in eight bytes", make_frame(Opcode::kText, "hello", {.length_bytes = 8}), {1002}},
      {"length 2^63", make_frame(Opcode::kText, "", {.length = 1ULL << 63}), {1009, 1002}},
      {"length 2^64-1", make_frame(Opcode::kText, "", {.length = ~0ULL}), {1009, 1002}},
      {"continuation first", make_frame(Opcode::kContinuation, "{}"), {1002}},
      {"text in a fragmented text",
       make_frame(Opcode::kText, "{", {.is_final = false}) + make_frame(Opcode::kText, "}"),
       {1002}},
  };
  for (const int opcode : {3, 4, 5, 6, 7, 11, 12, 13, 14, 15}) {
    cases.push_back(
        {"opcode " + std::to_string(opcode), make_frame(static_cast<Opcode>(opcode), ""), {1002}});
  }
  expect_closes(cases);
}

TEST(WebsocketFramesTest, RefusesMessagesAboveTheLimit) {
  // A peer that may publish may send 1 MiB.
  const std::string half((512 << 10) + 1, ' ');
  expect_closes({
      {"one byte too many", make_frame(Opcode::kText, std::string((1 << 20) + 1, ' ')), {1009}},
      {"announced only", make_frame(Opcode::kText, "", {.length = (1 << 20) + 1}), {1009}},
      {"sum of fragments",
       make_frame(Opcode::kText, half, {.is_final = false}) +
           make_frame(Opcode::kContinuation, half),
       {1009}},
  });
}

TEST(WebsocketFramesTest, RefusesInvalidText) {
  expect_closes({
      {"invalid UTF-8", make_frame(Opcode::kText, "\"\xc3\x28\""), {1007}},
      {"surrogate", make_frame(Opcode::kText, "\xed\xa0\x80"), {1007}},
      {"split character that never ends",
       make_frame(Opcode::kText, "\xe2\x82", {.is_final = false}) +
           make_frame(Opcode::kContinuation, "x"),
       {1007}},
      {"close with invalid UTF-8",
       make_frame(Opcode::kClose, close_payload(1000) + "\xc3\x28"),
       {1007, 1002}},
      {"binary in a JSON connection", make_frame(Opcode::kBinary, "{}"), {1003}},
  });
}

TEST(WebsocketFramesTest, RefusesTextWhereProtobufWasChosen) {
  WsClient client = WsClient::connect(gateway().http(), {.protocol = "tidegate.v1.proto"});
  ASSERT_TRUE(client.read_frame());
  client.send_text("{}");
  EXPECT_EQ(client.expect_close(), 1003);
}

TEST(WebsocketFramesTest, TakesACharacterSplitOverFragments) {
  WsClient client = connect();
  client.send_frame(Opcode::kText, "{\"op\":\"ping\",\"x\":\"\xe2\x82", {.is_final = false});
  client.send_frame(Opcode::kPing, "between");
  client.send_frame(Opcode::kContinuation, "\xac\"}");
  const auto pong = client.read_frame();
  ASSERT_TRUE(pong);
  EXPECT_EQ(pong->opcode, Opcode::kPong);
  EXPECT_EQ(pong->payload, "between");
  client.expect("pong");
}

TEST(WebsocketFramesTest, ChecksCloseFrames) {
  std::vector<Case> cases = {{"one byte", make_frame(Opcode::kClose, "\x03"), {1002}}};
  for (const int code : {0, 999, 1004, 1005, 1006, 1016, 2999, 5000}) {
    cases.push_back(
        {"code " + std::to_string(code), make_frame(Opcode::kClose, close_payload(code)), {1002}});
  }
  expect_closes(cases);
}

TEST(WebsocketFramesTest, AnswersACloseAndIgnoresWhatFollows) {
  WsClient client = connect();
  client.send_close(1000, "bye");
  client.send_text(R"({"op":"ping"})");
  EXPECT_EQ(client.expect_close(), 1000);
  EXPECT_EQ(client.socket().receive_all().value_or("still open"), "");
  expect_healthy();
}

TEST(WebsocketFramesTest, EndsAPeerThatClosesItsHalf) {
  WsClient client = connect();
  client.socket().half_close();
  EXPECT_TRUE(client.socket().receive_all());
  expect_healthy();
}

TEST(WebsocketFramesTest, ResetsAPeerThatDoesNotAnswerItsClose) {
  WsClient client = connect();
  client.send_binary("{}");
  EXPECT_EQ(client.expect_close(), 1003);
  // The peer keeps its half open; five seconds later it is cut all the same.
  EXPECT_TRUE(client.socket().receive_all(Milliseconds(15'000)));
  expect_healthy();
}

TEST(WebsocketFramesTest, TakesSixtyFourFragmentsAndNoMore) {
  WsClient client = connect();
  client.send_frame(Opcode::kText, R"({"op":"ping")", {.is_final = false});
  for (int i = 0; i < 62; ++i) client.send_frame(Opcode::kContinuation, "", {.is_final = false});
  client.send_frame(Opcode::kContinuation, "}");
  client.expect("pong");
  client.send_frame(Opcode::kText, "{", {.is_final = false});
  for (int i = 0; i < 64; ++i) client.send_frame(Opcode::kContinuation, "", {.is_final = false});
  EXPECT_EQ(client.expect_close(), 1008);
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
