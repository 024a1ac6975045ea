// RFC 6455 section 10.4: a server must protect itself against messages and fragments without end.
// The limits are ours; that they are kept to the byte, and told by 1009, is demanded.

#include <cstdlib>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/conformance/peer.h"

namespace tidegate::test {
namespace {

constexpr std::size_t kFragmentsMax = 64;

// The limit that `welcome` names.
std::size_t message_bytes_max() {
  WsClient client = WsClient::connect(gateway().http());
  const std::string limit = json_field(client.expect("welcome"), "message_bytes");
  EXPECT_NE(limit, "");
  return static_cast<std::size_t>(std::atoll(limit.c_str()));
}

std::string in_fragments(std::size_t count, const std::string& text) {
  std::vector<std::string> parts(count);
  parts.front() = text.substr(0, 1);
  parts.back() = text.substr(1);
  return fragments(parts);
}

TEST(LimitsTest, TakesMessagesUpToTheLimit) {
  const std::size_t max = message_bytes_max();
  const std::string most = echo_text_of("most", max);
  expect_served({
      {"10.4", "at the limit", text_frame(most), {"unknown_op most"}},
      {"10.4", "one byte less", text_frame(echo_text_of("most", max - 1)), {"unknown_op most"}},
      {"10.4",
       "at the limit in two halves",
       fragments({most.substr(0, max / 2), most.substr(max / 2)}),
       {"unknown_op most"}},
      {"10.4", "at the limit and an empty fragment", fragments({most, ""}), {"unknown_op most"}},
      {"10.4",
       "two at the limit",
       text_frame(most) + text_frame(most),
       {"unknown_op most", "unknown_op most"}},
  });
}

TEST(LimitsTest, RefusesMessagesAboveTheLimit) {
  const std::size_t max = message_bytes_max();
  const std::string half(max / 2 + 1, ' ');
  expect_closed(
      {1009},
      {
          {"10.4", "one byte too many", text_frame(std::string(max + 1, ' '))},
          {"10.4", "announced only", make_frame(Opcode::kText, "", {.length = max + 1})},
          {"10.4", "2^32 announced", make_frame(Opcode::kText, "", {.length = 1ULL << 32})},
          {"10.4", "2^63-1 announced", make_frame(Opcode::kText, "", {.length = (1ULL << 63) - 1})},
          {"10.4", "sum of fragments", fragments({half, half})},
          {"10.4", "one byte after the limit", fragments({std::string(max, ' '), " "})},
          {"10.4", "announced by the second fragment",
           first_part("x") + make_frame(Opcode::kContinuation, "", {.length = max})},
          {"10.4", "sum that would wrap",
           first_part("x") + make_frame(Opcode::kContinuation, "", {.length = (1ULL << 63) - 1})},
          {"10.4",
           "after a message at the limit",
           text_frame(echo_text_of("most", max)) + text_frame(std::string(max + 1, ' ')),
           {"unknown_op most"}},
          {"10.4",
           "binary",
           make_frame(Opcode::kBinary, "", {.length = max + 1}),
           {},
           "tidegate.v1.proto"},
      });
}

TEST(LimitsTest, TakesSixtyFourFragments) {
  const std::string most = in_fragments(kFragmentsMax, echo_text("f"));
  expect_served({{"10.4", "one message", most, {"unknown_op f"}},
                 {"10.4", "two messages", most + most, {"unknown_op f", "unknown_op f"}}});
}

TEST(LimitsTest, RefusesMoreFragments) {
  const std::string text = echo_text("f");
  expect_closed({1008}, {{"10.4", "65 fragments", in_fragments(kFragmentsMax + 1, text)},
                         {"10.4",
                          "after a message of 64",
                          in_fragments(kFragmentsMax, text) + in_fragments(kFragmentsMax + 1, text),
                          {"unknown_op f"}}});
}

}  // namespace
}  // namespace tidegate::test
