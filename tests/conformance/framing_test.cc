// RFC 6455 sections 5.1 to 5.3: lengths, masks and where one frame ends and the next begins.

#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/conformance/peer.h"
#include "tidegate/v1/session.pb.h"

namespace tidegate::test {
namespace {

// On both sides of the borders between the 7-, 16- and 64-bit forms of a length.
constexpr std::size_t kBorderSizes[] = {124, 125, 126, 127, 128, 65'534, 65'535, 65'536, 65'537};

std::string echo_id(std::size_t size) {
  return fmt::format("size-{}", size);
}

// A binary message of this size, answered by "not_found ID": the bytes of a field that is not known
// fill it, and are no UTF-8.
std::string binary_of(const std::string& id, std::size_t size) {
  v1::ClientMessage message;
  message.mutable_unsubscribe()->set_id(id);
  std::string bytes = message.SerializeAsString();
  constexpr char kUnknownField = 15 << 3 | 2;
  constexpr std::size_t kLengthBytes = 3;  // more than needed is allowed there
  const std::size_t rest = size - bytes.size() - 1 - kLengthBytes;
  bytes += {kUnknownField, static_cast<char>(rest | 0x80), static_cast<char>(rest >> 7 | 0x80),
            static_cast<char>(rest >> 14)};
  return bytes + std::string(rest, '\xff');
}

TEST(FramingTest, ReadsALengthInEachOfItsForms) {
  std::vector<FrameCase> cases = {
      {"5.2", "empty text", text_frame(""), {"bad_message "}},
      {"5.2", "one byte of text", text_frame("7"), {"bad_message "}},
      {"5.2",
       "empty binary",
       make_frame(Opcode::kBinary, ""),
       {"unknown_op "},
       "tidegate.v1.proto"},
  };
  for (const std::size_t size : kBorderSizes) {
    const std::string id = echo_id(size);
    cases.push_back({"5.2",
                     fmt::format("text of {} bytes", size),
                     text_frame(echo_text_of(id, size)),
                     {"unknown_op " + id}});
    cases.push_back({"5.2",
                     fmt::format("binary of {} bytes", size),
                     make_frame(Opcode::kBinary, binary_of(id, size)),
                     {"not_found " + id},
                     "tidegate.v1.proto"});
  }
  expect_served(cases);
}

TEST(FramingTest, RefusesALengthThatIsNotInItsShortestForm) {
  std::vector<FrameCase> cases;
  for (const std::size_t size : {0, 1, 125}) {
    const std::string text(size, ' ');
    cases.push_back({"5.2", fmt::format("{} in two bytes", size),
                     make_frame(Opcode::kText, text, {.length_bytes = 2})});
  }
  for (const std::size_t size : {0, 1, 125, 126, 65'535}) {
    const std::string text(size, ' ');
    cases.push_back({"5.2", fmt::format("{} in eight bytes", size),
                     make_frame(Opcode::kText, text, {.length_bytes = 8})});
  }
  cases.push_back(
      {"5.2", "ping, 5 in two bytes", make_frame(Opcode::kPing, "hello", {.length_bytes = 2})});
  cases.push_back({"5.2", "close, 2 in two bytes",
                   make_frame(Opcode::kClose, close_payload(1000), {.length_bytes = 2})});
  expect_closed({1002}, cases);
}

TEST(FramingTest, RefusesALengthWithTheHighestBitSet) {
  // Too long as well: either answer will do.
  expect_closed({1002, 1009},
                {{"5.2", "2^63", make_frame(Opcode::kText, "", {.length = 1ULL << 63})},
                 {"5.2", "2^64-1", make_frame(Opcode::kText, "", {.length = ~0ULL})}});
}

TEST(FramingTest, Unmasks) {
  const std::string text = echo_text("masked", "abcdefg");
  const auto masked = [&text](std::array<char, 4> mask) {
    return make_frame(Opcode::kText, text, {.mask = mask});
  };
  std::vector<FrameCase> cases = {
      {"5.3", "mask of zeros", masked({0, 0, 0, 0}), {"unknown_op masked"}},
      {"5.3", "mask of ones", masked({-1, -1, -1, -1}), {"unknown_op masked"}},
      {"5.3", "one byte of the mask", masked({0, 0, 0, 1}), {"unknown_op masked"}},
      {"5.3", "all bytes of the mask differ", masked({1, 2, 4, 8}), {"unknown_op masked"}},
      {"5.3", "mask like a frame", masked({'\x81', '\x80', 0, 0}), {"unknown_op masked"}},
      {"5.3",
       "a mask of its own for each fragment",
       make_frame(Opcode::kText, text.substr(0, 5), {.is_final = false, .mask = {1, 2, 3, 4}}) +
           make_frame(Opcode::kContinuation, text.substr(5, 6),
                      {.is_final = false, .mask = {9, 8, 7, 6}}) +
           make_frame(Opcode::kContinuation, text.substr(11), {.mask = {0, 0, 0, 0}}),
       {"unknown_op masked"}},
      {"5.3",
       "ping with a mask of zeros",
       make_frame(Opcode::kPing, "zeros", {.mask = {0, 0, 0, 0}}),
       {"pong frame: zeros"}},
      {"5.3",
       "empty ping with a mask",
       make_frame(Opcode::kPing, "", {.mask = {1, 2, 3, 4}}),
       {"pong frame: "}},
  };
  expect_served(cases);
}

// Where the payload ends in a word is where unmasking by words goes wrong.
TEST(FramingTest, UnmasksEveryLength) {
  std::vector<FrameCase> cases;
  for (std::size_t size = 36; size < 36 + 17; ++size) {
    cases.push_back({"5.3",
                     fmt::format("{} bytes", size),
                     text_frame(echo_text_of("m", size)),
                     {"unknown_op m"}});
  }
  expect_served(cases);
}

TEST(FramingTest, RefusesFramesWithoutAMask) {
  const auto bare = [](Opcode opcode, std::string_view payload) {
    return make_frame(opcode, payload, {.is_masked = false});
  };
  expect_closed({1002},
                {
                    {"5.1", "text", bare(Opcode::kText, R"({"op":"ping"})")},
                    {"5.1", "empty text", bare(Opcode::kText, "")},
                    {"5.1", "binary", bare(Opcode::kBinary, "x"), {}, "tidegate.v1.proto"},
                    {"5.1", "long text", bare(Opcode::kText, std::string(70'000, ' '))},
                    {"5.1", "ping", bare(Opcode::kPing, "x")},
                    {"5.1", "pong", bare(Opcode::kPong, "")},
                    {"5.1", "close", bare(Opcode::kClose, close_payload(1000))},
                    {"5.1", "continuation", first_part("{") + bare(Opcode::kContinuation, "}")},
                    {"5.1",
                     "after a masked one",
                     text_frame(R"({"op":"ping"})") + bare(Opcode::kText, R"({"op":"ping"})"),
                     {"pong"}},
                });
}

TEST(FramingTest, ReadsFramesThatLieSideBySide) {
  std::string bytes;
  Lines said;
  for (int i = 0; i < 50; ++i) {
    bytes +=
        text_frame(echo_text(std::to_string(i), std::string(static_cast<std::size_t>(i), 'x')));
    said.push_back(fmt::format("unknown_op {}", i));
  }
  expect_served({{"5.2", "fifty messages", bytes, said},
                 {"5.2",
                  "short after long",
                  text_frame(echo_text_of("long", 65'536)) + text_frame(echo_text("short")),
                  {"unknown_op long", "unknown_op short"}},
                 {"5.2",
                  "long after short",
                  text_frame(echo_text("short")) + text_frame(echo_text_of("long", 65'536)),
                  {"unknown_op short", "unknown_op long"}}});
}

// The head and the first bytes of the payload come in two segments, cut at each byte. The first is
// known to have been read when a ping before it was answered.
TEST(FramingTest, ReadsAHeadThatIsCutAnywhere) {
  for (const std::size_t size : {std::size_t{100}, std::size_t{300}, std::size_t{66'000}}) {
    const std::string frame = text_frame(echo_text_of("cut", size));
    for (std::size_t cut = 1; cut <= 20; ++cut) {
      SCOPED_TRACE(fmt::format("RFC 6455 section 5.2: {} bytes cut at {}", size, cut));
      WsClient client = connect();
      client.send_raw(make_frame(Opcode::kPing, "") + frame.substr(0, cut));
      const auto pong = client.read_frame();
      ASSERT_TRUE(pong);
      EXPECT_EQ(pong->opcode, Opcode::kPong);
      client.send_raw(frame.substr(cut) + close_bytes(1000));
      EXPECT_EQ(read_to_end(client), (Lines{"unknown_op cut", "close 1000", "end"}));
      expect_unharmed();
    }
  }
}

// A frame of the gateway with a mask, a reserved bit or a length in a longer form fails every test
// here; its answers must only be made to cross the border of the forms.
TEST(FramingTest, SendsLengthsInTheirShortestForm) {
  WsClient client = connect();
  std::set<std::size_t> sizes;
  for (std::size_t i = 1; i <= 64; ++i) {
    client.send_text(echo_text(std::string(i, 'i')));
    const auto frame = client.read_frame();
    ASSERT_TRUE(frame) << "RFC 6455 section 5.2: answer to an id of " << i << " bytes";
    sizes.insert(frame->payload.size());
  }
  for (const std::size_t border : {125, 126, 127})
    EXPECT_TRUE(sizes.contains(border)) << "no answer had " << border << " bytes";
  expect_unharmed();
}

}  // namespace
}  // namespace tidegate::test
