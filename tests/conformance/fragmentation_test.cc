// RFC 6455 section 5.4: messages in fragments, and every order of frames that it forbids.

#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/conformance/peer.h"

namespace tidegate::test {
namespace {

const std::string kPingText = R"({"op":"ping"})";

std::vector<std::string> in_pieces(const std::string& text, std::size_t size) {
  std::vector<std::string> pieces;
  for (std::size_t i = 0; i < text.size(); i += size) pieces.push_back(text.substr(i, size));
  return pieces;
}

// Not final, and not a text.
std::string open_binary(std::string_view payload) {
  return make_frame(Opcode::kBinary, payload, {.is_final = false});
}

TEST(FragmentationTest, PutsFragmentsTogether) {
  std::vector<FrameCase> cases = {
      {"5.4", "empty first", fragments({"", kPingText}), {"pong"}},
      {"5.4", "empty last", fragments({kPingText, ""}), {"pong"}},
      {"5.4", "empty in the middle", fragments({"{\"op\":", "", "\"ping\"}"}), {"pong"}},
      {"5.4", "empty first and last", fragments({"", kPingText, ""}), {"pong"}},
      {"5.4", "several empty ones", fragments({"", "", "", kPingText, "", "", ""}), {"pong"}},
      {"5.4", "all empty", fragments({"", "", ""}), {"bad_message "}},
      {"5.4",
       "a message after it",
       fragments({"", kPingText}) + text_frame(kPingText),
       {"pong", "pong"}},
      {"5.4",
       "a message before it",
       text_frame(kPingText) + fragments({kPingText, ""}),
       {"pong", "pong"}},
      {"5.4",
       "two of them",
       fragments(in_pieces(echo_text("a"), 7)) + fragments(in_pieces(echo_text("b"), 5)),
       {"unknown_op a", "unknown_op b"}},
      {"5.4",
       "a long first",
       fragments({std::string(65'536, ' '), echo_text("z")}),
       {"unknown_op z"}},
      {"5.4",
       "a long last",
       fragments({" ", std::string(65'535, ' ') + echo_text("z")}),
       {"unknown_op z"}},
      {"5.4", "binary", fragments({"", ""}, Opcode::kBinary), {"unknown_op "}, "tidegate.v1.proto"},
      {"5.4",
       "binary with a payload",
       fragments({"\x22", "\x03\x0a", "\x01s"}, Opcode::kBinary),
       {"not_found s"},
       "tidegate.v1.proto"},
  };
  for (std::size_t size = 1; size <= kPingText.size(); ++size) {
    cases.push_back({"5.4",
                     fmt::format("in {} bytes each", size),
                     fragments(in_pieces(kPingText, size)),
                     {"pong"}});
  }
  expect_served(cases);
}

TEST(FragmentationTest, TakesControlFramesBetweenFragments) {
  const std::string begin = first_part("{\"op\":");
  const std::string end = last_part("\"ping\"}");
  const std::string ping = make_frame(Opcode::kPing, "x");
  expect_served({
      {"5.4", "ping", begin + ping + end, {"pong frame: x", "pong"}},
      {"5.4", "pong", begin + make_frame(Opcode::kPong, "x") + end, {"pong"}},
      {"5.4",
       "a ping of 125 bytes",
       begin + make_frame(Opcode::kPing, std::string(125, 'y')) + end,
       {"pong frame: " + std::string(125, 'y'), "pong"}},
      {"5.4",
       "a ping after each",
       first_part("{") + ping + middle_part("\"op\"") + ping + middle_part(":\"ping\"") + ping +
           last_part("}"),
       {"pong frame: x", "pong frame: x", "pong frame: x", "pong"}},
      {"5.4",
       "a ping between empty ones",
       first_part("") + ping + middle_part("") + ping + last_part(kPingText),
       {"pong frame: x", "pong frame: x", "pong"}},
      // A message that never ends is dropped by the closing handshake.
      {"5.4", "close", begin},
      {"5.4", "ping, then close", begin + ping, {"pong frame: x"}},
  });
}

TEST(FragmentationTest, RefusesAContinuationOfNothing) {
  expect_closed(
      {1002},
      {
          {"5.4", "first of all, final", last_part(kPingText)},
          {"5.4", "first of all, not final", middle_part(kPingText)},
          {"5.4", "first of all, empty", last_part("")},
          {"5.4", "first of all, empty and not final", middle_part("")},
          {"5.4", "after a message", text_frame(kPingText) + last_part(kPingText), {"pong"}},
          {"5.4",
           "after a message, not final",
           text_frame(kPingText) + middle_part(kPingText),
           {"pong"}},
          {"5.4", "after the last", fragments({"", kPingText}) + last_part("x"), {"pong"}},
          {"5.4",
           "after a ping",
           make_frame(Opcode::kPing, "x") + last_part(kPingText),
           {"pong frame: x"}},
          {"5.4", "and a message behind it", last_part("x") + text_frame(kPingText)},
          {"5.4", "where messages are binary", last_part(""), {}, "tidegate.v1.proto"},
      });
}

TEST(FragmentationTest, RefusesAMessageWithinAnother) {
  const std::string begin = first_part("{\"op\":");
  expect_closed(
      {1002},
      {
          {"5.4", "text in a text", begin + text_frame(kPingText)},
          {"5.4", "text in a text that would end", begin + text_frame(kPingText) + last_part("1}")},
          {"5.4", "first fragment in a text", begin + first_part("{")},
          {"5.4", "empty text in a text", begin + text_frame("")},
          {"5.4", "after a continuation", begin + middle_part("1") + text_frame(kPingText)},
          {"5.4", "binary in a text", begin + make_frame(Opcode::kBinary, "x")},
          {"5.4", "first binary fragment in a text", begin + open_binary("x")},
          {"5.4",
           "after a ping",
           begin + make_frame(Opcode::kPing, "x") + text_frame(kPingText),
           {"pong frame: x"}},
          {"5.4",
           "in the second message",
           fragments({"", kPingText}) + begin + text_frame(kPingText),
           {"pong"}},
          {"5.4",
           "binary in a binary",
           open_binary("") + make_frame(Opcode::kBinary, ""),
           {},
           "tidegate.v1.proto"},
          {"5.4", "text in a binary", open_binary("") + text_frame("x"), {}, "tidegate.v1.proto"},
      });
}

}  // namespace
}  // namespace tidegate::test
