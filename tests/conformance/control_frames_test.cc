// RFC 6455 section 5.5: control frames; and of 5.2 the bits and opcodes that are reserved.

#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/conformance/peer.h"

namespace tidegate::test {
namespace {

const std::string kPingMessage = text_frame(R"({"op":"ping"})");

std::string ping(std::string_view payload = "") {
  return make_frame(Opcode::kPing, payload);
}
std::string pong(std::string_view payload = "") {
  return make_frame(Opcode::kPong, payload);
}

TEST(ControlFramesTest, AnswersPingsOfEverySize) {
  std::vector<FrameCase> cases;
  for (std::size_t size = 0; size <= 125; ++size) {
    const std::string payload(size, static_cast<char>('a' + size % 26));
    cases.push_back({"5.5.2",
                     fmt::format("ping of {} bytes", size),
                     ping(payload),
                     {"pong frame: " + payload}});
  }
  expect_served(cases);
}

TEST(ControlFramesTest, GivesAPingsBytesBackUnchanged) {
  std::vector<FrameCase> cases;
  for (int first = 0; first < 256; first += 64) {
    std::string payload;
    for (int c = first; c < first + 64; ++c) payload += static_cast<char>(c);
    cases.push_back({"5.5.3",
                     fmt::format("bytes {} to {}", first, first + 63),
                     ping(payload),
                     {"pong frame: " + payload}});
  }
  // Application data is any bytes, not text.
  cases.push_back(
      {"5.5.2", "not UTF-8", ping("\xfe\xc3\x28\xed\xa0"), {"pong frame: \xfe\xc3\x28\xed\xa0"}});
  expect_served(cases);
}

TEST(ControlFramesTest, AnswersEachPingInOrder) {
  std::string ten;
  Lines pongs;
  for (int i = 0; i < 10; ++i) {
    ten += ping(std::to_string(i));
    pongs.push_back(fmt::format("pong frame: {}", i));
  }
  expect_served({
      {"5.5.3", "ten in a row", ten, pongs},
      {"5.5.2",
       "around messages",
       ping("1") + kPingMessage + ping("2") + kPingMessage,
       {"pong frame: 1", "pong", "pong frame: 2", "pong"}},
      {"5.5.2",
       "between fragments",
       first_part("{\"op\":") + ping("1") + middle_part("\"pi") + ping("2") + last_part("ng\"}"),
       {"pong frame: 1", "pong frame: 2", "pong"}},
      {"5.5.2", "ten between two fragments", first_part("{\"op\":") + ten + last_part("\"ping\"}"),
       [&pongs] {
         Lines said = pongs;
         said.push_back("pong");
         return said;
       }()},
  });
}

TEST(ControlFramesTest, IgnoresPongsThatNobodyAskedFor) {
  expect_served({
      {"5.5.3", "empty", pong()},
      {"5.5.3", "with a payload", pong("unasked")},
      {"5.5.3", "of 125 bytes", pong(std::string(125, 'x'))},
      {"5.5.3", "ten in a row",
       pong() + pong("1") + pong() + pong("2") + pong() + pong() + pong() + pong() + pong() +
           pong()},
      {"5.5.3", "before a ping", pong("mine") + ping("yours"), {"pong frame: yours"}},
      {"5.5.3",
       "between fragments",
       first_part("{\"op\":") + pong("x") + last_part("\"ping\"}"),
       {"pong"}},
  });
}

TEST(ControlFramesTest, RefusesLongOnes) {
  const std::string close126 = close_payload(1000, std::string(124, 'x'));
  expect_closed(
      {1002},
      {
          {"5.5", "ping of 126 bytes", ping(std::string(126, 'x'))},
          {"5.5", "ping of 127 bytes", ping(std::string(127, 'x'))},
          {"5.5", "ping of 65,536 bytes", ping(std::string(65'536, 'x'))},
          {"5.5", "pong of 126 bytes", pong(std::string(126, 'x'))},
          {"5.5", "close of 126 bytes", make_frame(Opcode::kClose, close126)},
          {"5.5", "reserved control opcode with 126 bytes",
           make_frame(static_cast<Opcode>(11), std::string(126, 'x'))},
          {"5.5", "between fragments", first_part("{") + ping(std::string(126, 'x'))},
          {"5.5", "after a proper one", ping("1") + ping(std::string(126, 'x')), {"pong frame: 1"}},
      });
}

TEST(ControlFramesTest, RefusesFragmentedOnes) {
  const auto open = [](Opcode opcode, std::string_view payload) {
    return make_frame(opcode, payload, {.is_final = false});
  };
  expect_closed({1002},
                {
                    {"5.5", "ping", open(Opcode::kPing, "x")},
                    {"5.5", "empty ping", open(Opcode::kPing, "")},
                    {"5.5", "ping that is continued", open(Opcode::kPing, "x") + last_part("y")},
                    {"5.5", "pong", open(Opcode::kPong, "x")},
                    {"5.5", "pong that is continued", open(Opcode::kPong, "x") + last_part("y")},
                    {"5.5", "close", open(Opcode::kClose, close_payload(1000))},
                    {"5.5", "empty close", open(Opcode::kClose, "")},
                    {"5.5", "between the fragments of a text",
                     first_part("{\"op\":") + open(Opcode::kPing, "x") + last_part("\"ping\"}")},
                });
}

TEST(ControlFramesTest, RefusesReservedBits) {
  std::vector<FrameCase> cases;
  for (std::uint8_t bits = 1; bits <= 7; ++bits) {
    const FrameShape shape = {.reserved_bits = bits};
    const std::string name = fmt::format("RSV1-3 {:03b} in a ", bits);
    cases.push_back({"5.2", name + "text", make_frame(Opcode::kText, R"({"op":"ping"})", shape)});
    cases.push_back({"5.2", name + "ping", make_frame(Opcode::kPing, "x", shape)});
    cases.push_back({"5.2", name + "pong", make_frame(Opcode::kPong, "", shape)});
    cases.push_back(
        {"5.2", name + "close", make_frame(Opcode::kClose, close_payload(1000), shape)});
    cases.push_back({"5.2", name + "continuation",
                     first_part("{") + make_frame(Opcode::kContinuation, "}", shape)});
    cases.push_back({"5.2",
                     name + "text after a proper one",
                     kPingMessage + make_frame(Opcode::kText, "{}", shape) + kPingMessage,
                     {"pong"}});
    cases.push_back(
        {"5.2", name + "binary", make_frame(Opcode::kBinary, "", shape), {}, "tidegate.v1.proto"});
  }
  expect_closed({1002}, cases);
}

TEST(ControlFramesTest, RefusesReservedOpcodes) {
  std::vector<FrameCase> cases;
  for (const int number : {3, 4, 5, 6, 7, 11, 12, 13, 14, 15}) {
    const auto opcode = static_cast<Opcode>(number);
    const std::string name = fmt::format("opcode {}", number);
    cases.push_back({"5.2", name, make_frame(opcode, "")});
    cases.push_back({"5.2", name + " with a payload", make_frame(opcode, R"({"op":"ping"})")});
    cases.push_back({"5.2", name + " not final", make_frame(opcode, "x", {.is_final = false})});
    cases.push_back({"5.2",
                     name + " after a message",
                     kPingMessage + make_frame(opcode, "") + kPingMessage,
                     {"pong"}});
    cases.push_back({"5.2",
                     name + " after a ping",
                     ping("1") + make_frame(opcode, "") + ping("2"),
                     {"pong frame: 1"}});
    cases.push_back({"5.2", name + " between fragments",
                     first_part("{\"op\":") + make_frame(opcode, "") + last_part("\"ping\"}")});
  }
  expect_closed({1002}, cases);
}

}  // namespace
}  // namespace tidegate::test
