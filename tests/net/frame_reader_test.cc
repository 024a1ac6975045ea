// What a client sends, read whatever the network cuts it into.

#include "gateway/net/frame_reader.h"

#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/ws_client.h"

namespace tidegate::test {
namespace {

// What a reader makes of bytes, in a line each.
using Lines = std::vector<std::string>;

constexpr std::size_t kMessageBytesMax = 100'000;

std::string line_of(const Incoming& incoming) {
  switch (incoming.kind) {
    case Incoming::Kind::kMessage:
      return "message " + std::string(incoming.payload);
    case Incoming::Kind::kPing:
      return "ping " + std::string(incoming.payload);
    case Incoming::Kind::kPong:
      return "pong " + std::string(incoming.payload);
    case Incoming::Kind::kClose:
      return "close " + std::to_string(incoming.close_code.value_or(0)) + " " +
             std::string(incoming.payload);
  }
  return "";
}

// Feeds the bytes in pieces of the lengths that `next_length` gives.
template <typename NextLength>
Lines read_all(FrameReader& reader, std::string bytes, const NextLength& next_length,
               std::int64_t now_ms = 0) {
  Lines lines;
  std::span<char> rest(bytes);
  while (!rest.empty()) {
    std::span<char> piece = rest.first(std::min<std::size_t>(rest.size(), next_length()));
    rest = rest.subspan(piece.size());
    while (true) {
      const auto incoming = reader.read(piece, now_ms);
      if (!incoming) break;
      lines.push_back(line_of(*incoming));
    }
    if (const auto& violation = reader.violation()) {
      lines.push_back("violation " + std::to_string(static_cast<int>(violation->code)));
      return lines;
    }
    EXPECT_TRUE(piece.empty()) << "bytes were left although nothing came";
  }
  return lines;
}

Lines read_at_once(const std::string& bytes, bool is_binary = false) {
  FrameReader reader(is_binary, kMessageBytesMax);
  return read_all(reader, bytes, [&] { return bytes.size(); });
}

class FrameReaderCutTest : public ::testing::TestWithParam<unsigned> {
 protected:
  std::size_t below(std::size_t end) { return random_() % end; }
  std::string text(std::size_t length) {
    std::string out;
    while (out.size() < length) out += below(8) == 0 ? "\xe2\x82\xac" : "x";
    return out;
  }
  // A message in one to six fragments with pings between them, and what is to be read of it.
  std::string random_message(Lines& expected) {
    static const std::size_t kLengths[] = {0, 1, 124, 125, 126, 127, 1000, 65'535, 65'536, 70'000};
    const std::string payload = text(kLengths[below(std::size(kLengths))]);
    std::string bytes;
    std::size_t sent = 0;
    const std::size_t fragments = 1 + below(6);
    for (std::size_t i = 0; i < fragments; ++i) {
      const bool is_final = i + 1 == fragments;
      const std::size_t length =
          is_final ? payload.size() - sent : below(payload.size() - sent + 1);
      bytes += make_frame(i == 0 ? test::Opcode::kText : test::Opcode::kContinuation,
                          payload.substr(sent, length), {.is_final = is_final});
      sent += length;
      if (!is_final && below(3) == 0) {
        const bool is_ping = below(2) == 0;
        const std::string control = text(below(40));
        bytes += make_frame(is_ping ? test::Opcode::kPing : test::Opcode::kPong, control);
        expected.push_back((is_ping ? "ping " : "pong ") + control);
      }
    }
    expected.push_back("message " + payload);
    return bytes;
  }

  std::mt19937_64 random_{GetParam()};
};

TEST_P(FrameReaderCutTest, ReadsTheSameWhateverTheBytesAreCutInto) {
  Lines expected;
  std::string bytes;
  for (int i = 0; i < 12; ++i) bytes += random_message(expected);
  bytes += make_frame(test::Opcode::kClose, std::string("\x03\xe8", 2) + "bye");
  expected.push_back("close 1000 bye");
  EXPECT_EQ(read_at_once(bytes), expected);
  FrameReader reader(false, kMessageBytesMax);
  EXPECT_EQ(read_all(reader, bytes, [&] { return 1 + below(below(2) == 0 ? 4 : 9000); }), expected);
}

TEST_P(FrameReaderCutTest, ReadsDamageTheSameWhateverTheBytesAreCutInto) {
  for (int round = 0; round < 300; ++round) {
    Lines ignored;
    std::string bytes = make_frame(test::Opcode::kText, text(below(200))) + random_message(ignored);
    for (std::size_t i = 0; i <= below(3); ++i)
      bytes[below(std::min<std::size_t>(bytes.size(), 300))] = static_cast<char>(random_());
    FrameReader reader(false, kMessageBytesMax);
    ASSERT_EQ(read_all(reader, bytes, [&] { return 1 + below(50); }), read_at_once(bytes));
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, FrameReaderCutTest, ::testing::Range(1U, 21U));

TEST(FrameReaderTest, DoesNotCopyAWholeMessage) {
  std::string bytes = make_frame(test::Opcode::kBinary, std::string(5000, 'x'));
  FrameReader reader(true, kMessageBytesMax);
  std::span<char> piece(bytes);
  const auto incoming = reader.read(piece, 0);
  ASSERT_TRUE(incoming);
  EXPECT_EQ(incoming->payload.data(), bytes.data() + bytes.size() - 5000);
}

struct Refused {
  std::string name;
  std::string bytes;
  CloseCode code;
};

std::string close_of(int code, const std::string& text = "") {
  return make_frame(
      test::Opcode::kClose,
      std::string{static_cast<char>(code >> 8), static_cast<char>(code & 0xff)} + text);
}

TEST(FrameReaderTest, RefusesWhatTheRfcForbids) {
  const auto part = [](std::string text, bool is_final = true) {
    return make_frame(test::Opcode::kText, text, {.is_final = is_final});
  };
  std::vector<Refused> cases = {
      {"unmasked", make_frame(test::Opcode::kText, "x", {.is_masked = false}),
       CloseCode::kProtocol},
      {"reserved bit", make_frame(test::Opcode::kText, "x", {.reserved_bits = 1}),
       CloseCode::kProtocol},
      {"length 125 in two bytes",
       make_frame(test::Opcode::kText, std::string(125, 'x'), {.length_bytes = 2}),
       CloseCode::kProtocol},
      {"length 65535 in eight bytes",
       make_frame(test::Opcode::kText, std::string(65'535, 'x'), {.length_bytes = 8}),
       CloseCode::kProtocol},
      {"continuation first", make_frame(test::Opcode::kContinuation, "x"), CloseCode::kProtocol},
      {"text within a text", part("a", false) + part("b"), CloseCode::kProtocol},
      {"fragmented ping", make_frame(test::Opcode::kPing, "", {.is_final = false}),
       CloseCode::kProtocol},
      {"long ping", make_frame(test::Opcode::kPing, std::string(126, 'x')), CloseCode::kProtocol},
      {"binary for text", make_frame(test::Opcode::kBinary, "x"), CloseCode::kUnsupportedData},
      {"too long", part(std::string(kMessageBytesMax + 1, 'x')), CloseCode::kTooBig},
      {"announced too long", make_frame(test::Opcode::kText, "", {.length = UINT64_MAX}),
       CloseCode::kTooBig},
      {"too long in sum",
       part(std::string(kMessageBytesMax, 'x'), false) +
           make_frame(test::Opcode::kContinuation, "x"),
       CloseCode::kTooBig},
      {"not UTF-8", part("\xc3\x28"), CloseCode::kBadText},
      {"half a character", part("\xe2\x82"), CloseCode::kBadText},
      {"half a close code", make_frame(test::Opcode::kClose, "x"), CloseCode::kProtocol},
      {"close text not UTF-8", close_of(1000, "\xc3\x28"), CloseCode::kBadText},
  };
  for (const int code : {0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65'535})
    cases.push_back({"close " + std::to_string(code), close_of(code), CloseCode::kProtocol});
  for (const int opcode : {3, 4, 5, 6, 7, 11, 12, 13, 14, 15}) {
    cases.push_back({"opcode " + std::to_string(opcode),
                     make_frame(static_cast<test::Opcode>(opcode), ""), CloseCode::kProtocol});
  }
  for (const Refused& bad : cases) {
    EXPECT_EQ(read_at_once(bad.bytes),
              Lines{"violation " + std::to_string(static_cast<int>(bad.code))})
        << bad.name;
  }
}

TEST(FrameReaderTest, RefusesTextBeforeItsMessageEnds) {
  const std::string begin = make_frame(test::Opcode::kText, "\xe2\x82", {.is_final = false});
  EXPECT_EQ(read_at_once(begin), Lines{});
  const auto head_of = [](std::string_view text) {
    return make_frame(test::Opcode::kContinuation, text, {.length = 1'000});
  };
  EXPECT_EQ(read_at_once(begin + head_of("\xac ")), Lines{});
  EXPECT_EQ(read_at_once(begin + head_of("x")), Lines{"violation 1007"});
  EXPECT_EQ(read_at_once(begin + head_of("\xac\xff")), Lines{"violation 1007"});
}

TEST(FrameReaderTest, TakesEveryCloseCodeThatMayBeSent) {
  EXPECT_EQ(read_at_once(make_frame(test::Opcode::kClose, "")), Lines{"close 0 "});
  for (const int code : {1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4999})
    EXPECT_EQ(read_at_once(close_of(code)), Lines{"close " + std::to_string(code) + " "});
}

TEST(FrameReaderTest, BoundsFragmentsOfAMessage) {
  const auto message = [](std::uint32_t fragments) {
    std::string bytes = make_frame(test::Opcode::kText, "x", {.is_final = false});
    for (std::uint32_t i = 2; i < fragments; ++i)
      bytes += make_frame(test::Opcode::kContinuation, "", {.is_final = false});
    return bytes + make_frame(test::Opcode::kContinuation, "y");
  };
  const std::string most = message(FrameReader::kFragmentsMax);
  EXPECT_EQ(read_at_once(most + most), (Lines{"message xy", "message xy"}));
  EXPECT_EQ(read_at_once(message(FrameReader::kFragmentsMax + 1)), Lines{"violation 1008"});
}

TEST(FrameReaderTest, BoundsControlFramesInATime) {
  std::string most;
  for (std::uint32_t i = 0; i < FrameReader::kControlFramesMax; ++i)
    most += make_frame(test::Opcode::kPing, "");
  const auto at_once = [&most] { return most.size(); };
  FrameReader reader(false, kMessageBytesMax);
  EXPECT_EQ(read_all(reader, most, at_once).size(), FrameReader::kControlFramesMax);
  EXPECT_EQ(read_all(reader, most, at_once, FrameReader::kControlWindowMs).size(),
            FrameReader::kControlFramesMax);
  EXPECT_EQ(read_all(reader, make_frame(test::Opcode::kPong, ""), at_once,
                     2 * FrameReader::kControlWindowMs - 1),
            Lines{"violation 1008"});
}

}  // namespace
}  // namespace tidegate::test
