// RFC 6455 sections 5.5.1, 7.1 and 7.4: the closing handshake from either side, its codes and
// reasons, and who ends the connection.

#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/conformance/peer.h"

namespace tidegate::test {
namespace {

const std::string kPing = text_frame(R"({"op":"ping"})");

// The third bad message closes with 4400: a closing handshake that the gateway begins.
const std::string kThreeBadMessages = text_frame("1") + text_frame("2") + text_frame("3");
const Lines kThreeRefusals = {"bad_message ", "bad_message ", "bad_message ", "close 4400"};

WsClient closed_by_gateway() {
  WsClient client = connect();
  client.send_raw(kThreeBadMessages);
  EXPECT_EQ(client.expect_close(), 4400);
  return client;
}

TEST(ClosingTest, AnswersWithTheSameCode) {
  for (const int code : {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014,
                         3000, 3001, 3999, 4000, 4001, 4400, 4999}) {
    expect_closed({code},
                  {{"5.5.1", fmt::format("code {}", code), close_bytes(code)},
                   {"5.5.1", fmt::format("code {} and a reason", code), close_bytes(code, "bye")}});
  }
  expect_closed({1005}, {{"5.5.1", "no code", make_frame(Opcode::kClose, "")}});
}

TEST(ClosingTest, RefusesCodesThatMustNotBeSent) {
  std::vector<FrameCase> cases;
  const auto add = [&cases](const std::string& section, int code) {
    cases.push_back({section, fmt::format("code {}", code), close_bytes(code)});
    cases.push_back({section, fmt::format("code {} and a reason", code), close_bytes(code, "bye")});
  };
  for (const int code : {0, 1, 999}) add("7.4.2", code);
  for (const int code : {1004, 1005, 1006, 1015}) add("7.4.1", code);
  // For the protocol's own use, and not defined.
  for (const int code : {1016, 1100, 2000, 2999}) add("7.4.2", code);
  for (const int code : {5000, 65'535}) add("7.4.2", code);
  cases.push_back({"5.5.1", "half a code", make_frame(Opcode::kClose, "\x03")});
  cases.push_back(
      {"5.5.1", "half a code of zeros", make_frame(Opcode::kClose, std::string(1, '\0'))});
  expect_closed({1002}, cases);
}

TEST(ClosingTest, TakesReasonsOfEveryLength) {
  std::vector<FrameCase> cases;
  for (std::size_t size = 0; size <= 123; ++size) {
    cases.push_back({"5.5.1", fmt::format("reason of {} bytes", size),
                     close_bytes(1000, std::string(size, 'r'))});
  }
  cases.push_back({"5.5.1", "reason of NULs", close_bytes(1000, std::string(5, '\0'))});
  expect_closed({1000}, cases);
}

TEST(ClosingTest, AnswersWhatCameBeforeTheClose) {
  expect_closed({1000}, {
                            {"5.5.1", "a message", kPing + close_bytes(1000), {"pong"}},
                            {"5.5.1",
                             "a ping",
                             make_frame(Opcode::kPing, "x") + close_bytes(1000),
                             {"pong frame: x"}},
                            {"5.5.1",
                             "a message and the beginning of another",
                             kPing + first_part("{") + close_bytes(1000),
                             {"pong"}},
                        });
}

TEST(ClosingTest, IgnoresWhatComesAfterTheClose) {
  const std::string close = close_bytes(1000);
  expect_closed({1000}, {
                            {"5.5.1", "a message", close + kPing},
                            {"5.5.1", "a ping", close + make_frame(Opcode::kPing, "x")},
                            {"5.5.1", "another close", close + close_bytes(1001)},
                            {"5.5.1", "a fragment", close + first_part("{")},
                            {"1.4", "a frame without a mask",
                             close + make_frame(Opcode::kText, "{}", {.is_masked = false})},
                            {"1.4", "text that is not UTF-8", close + text_frame("\xff")},
                            {"1.4", "no frame at all", close + "GET / HTTP/1.1\r\n\r\n"},
                            {"1.4", "a frame that is not whole", close + kPing.substr(0, 3)},
                            // Bytes that nobody reads must not turn the end into a reset, which
                            // would take the close frame away from the peer.
                            {"7.1.1", "a megabyte", close + std::string(1 << 20, 'x')},
                        });
}

TEST(ClosingTest, IgnoresWhatComesAfterAViolation) {
  const std::string bad = make_frame(Opcode::kText, "{}", {.reserved_bits = 4});
  expect_closed({1002}, {
                            {"7.1.7", "a message", bad + kPing},
                            {"7.1.7", "a ping", bad + make_frame(Opcode::kPing, "x")},
                            {"7.1.7", "a close", bad + close_bytes(1000)},
                            {"7.1.7", "another violation", bad + text_frame("\xff")},
                            {"7.1.7", "a megabyte", bad + std::string(1 << 20, 'x')},
                        });
}

TEST(ClosingTest, RefusesTheKindOfMessageThatWasNotAgreed) {
  expect_closed(
      {1003},
      {
          {"7.4.1", "binary where text was agreed", make_frame(Opcode::kBinary, "{}")},
          {"7.4.1", "empty binary", make_frame(Opcode::kBinary, "")},
          {"7.4.1", "first fragment of a binary",
           make_frame(Opcode::kBinary, "{", {.is_final = false})},
          {"7.4.1", "binary where nothing was agreed", make_frame(Opcode::kBinary, "{}"), {}, ""},
          {"7.4.1", "text where binary was agreed", text_frame("{}"), {}, "tidegate.v1.proto"},
          {"7.4.1",
           "text that is not UTF-8 where binary was agreed",
           text_frame("\xff"),
           {},
           "tidegate.v1.proto"},
      });
}

TEST(ClosingTest, EndsTheConnectionAfterThePeersAnswer) {
  const std::vector<FrameCase> answers = {
      {"7.1.1", "the same code", close_bytes(4400)},
      {"7.1.1", "another code", close_bytes(1000, "sorry")},
      {"7.1.1", "no code", make_frame(Opcode::kClose, "")},
      // A data frame may be on its way when the peer learns of the end.
      {"1.4", "a message before it", kPing + close_bytes(4400)},
      {"1.4", "half a message before it", first_part("{") + close_bytes(4400)},
      {"5.5.2", "a pong before it", make_frame(Opcode::kPong, "") + close_bytes(4400)},
      // No close frame has been received yet, so a ping is to be answered.
      {"5.5.2",
       "a ping before it",
       make_frame(Opcode::kPing, "late") + close_bytes(4400),
       {"pong frame: late"}},
      {"7.1.1", "messages after it", close_bytes(4400) + kPing + kPing},
  };
  for (const FrameCase& answer : answers) {
    SCOPED_TRACE(fmt::format("RFC 6455 section {}: {}", answer.section, answer.name));
    WsClient client = closed_by_gateway();
    client.send_raw(answer.bytes);
    Lines expected = answer.said;
    expected.push_back("end");
    EXPECT_EQ(read_to_end(client), expected);
    expect_unharmed();
  }
}

TEST(ClosingTest, SendsOneCloseWhenBothSidesBegin) {
  for (const Delivery delivery : {Delivery::kWhole, Delivery::kPieces, Delivery::kBytes}) {
    SCOPED_TRACE(fmt::format("RFC 6455 section 5.5.1: both close ({})", name_of(delivery)));
    WsClient client = connect();
    send(client.socket(), kThreeBadMessages + close_bytes(1000), delivery);
    Lines expected = kThreeRefusals;
    expected.push_back("end");
    EXPECT_EQ(read_to_end(client), expected);
    expect_unharmed();
  }
}

TEST(ClosingTest, GivesAReasonThatIsText) {
  WsClient client = closed_by_gateway();
  // Of the gateway's close frame; its size was checked when it was read.
  ASSERT_TRUE(client.closed());
  EXPECT_EQ(client.closed()->close_text(), "too many bad messages");
  WsClient broken = connect();
  broken.send_text("\xff");
  EXPECT_EQ(broken.expect_close(), 1007);
  EXPECT_EQ(broken.closed()->close_text(), "a text message is not UTF-8");
  expect_unharmed();
}

TEST(ClosingTest, EndsWithAPeerThatLeavesWithoutAClose) {
  const std::vector<std::pair<std::string, std::string>> begun = {
      {"after nothing", ""},
      {"after a message", kPing},
      {"within a head", kPing.substr(0, 1)},
      {"within a payload", kPing.substr(0, 10)},
      {"between fragments", first_part("{")},
  };
  for (const auto& [name, bytes] : begun) {
    SCOPED_TRACE("RFC 6455 section 7.1.5: the peer ends its half " + name);
    WsClient client = connect();
    client.send_raw(bytes);
    client.socket().half_close();
    const Lines expected = bytes == kPing ? Lines{"pong", "end"} : Lines{"end"};
    EXPECT_EQ(read_to_end(client), expected);
    expect_unharmed();
  }
}

}  // namespace
}  // namespace tidegate::test
