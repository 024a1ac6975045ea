// What the gateway sends, whatever the socket takes at a time.

#include "gateway/net/frame_writer.h"

#include <array>
#include <deque>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace tidegate::test {
namespace {

struct Frame {
  int opcode = 0;
  std::string payload;
  friend bool operator==(const Frame&, const Frame&) = default;
};

std::uint8_t byte_at(const std::string& bytes, std::size_t at) {
  return static_cast<std::uint8_t>(bytes.at(at));
}

// A client's reading of RFC 6455: final, unmasked frames with lengths in their shortest form.
std::vector<Frame> parse(const std::string& bytes) {
  std::vector<Frame> frames;
  for (std::size_t at = 0; at < bytes.size();) {
    EXPECT_EQ(byte_at(bytes, at) & 0xf0, 0x80);
    Frame frame{byte_at(bytes, at) & 0x0f, {}};
    std::uint64_t length = byte_at(bytes, at + 1);
    at += 2;
    const std::size_t extended = length == 126 ? 2 : length == 127 ? 8 : 0;
    if (extended > 0) {
      length = 0;
      for (std::size_t i = 0; i < extended; ++i) length = length << 8 | byte_at(bytes, at++);
      EXPECT_GE(length, extended == 2 ? 126U : 65'536U);
    }
    frame.payload = bytes.substr(at, length);
    EXPECT_EQ(frame.payload.size(), length);
    at += length;
    frames.push_back(std::move(frame));
  }
  return frames;
}

// Takes up to `bytes` of what the writer has.
void write_some(FrameWriter& writer, std::size_t bytes, std::string& out) {
  std::array<iovec, FrameWriter::kPiecesMax> pieces;
  const std::size_t count = writer.gather(pieces);
  std::size_t taken = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t here = std::min(bytes - taken, pieces[i].iov_len);
    out.append(static_cast<const char*>(pieces[i].iov_base), here);
    taken += here;
  }
  writer.advance(taken);
}

class FrameWriterCutTest : public ::testing::TestWithParam<unsigned> {
 protected:
  std::size_t below(std::size_t end) { return random_() % end; }
  OutgoingMessage random_message(std::string& text) {
    static const std::size_t kRuns[] = {0, 1, 60, 200};
    OutgoingMessage message;
    message.own = std::string(below(600), 'x');
    message.before = below(message.own.size() + 1);
    message.is_followed = below(2) == 0;
    message.bytes = message.own.size();
    const std::size_t count = kRuns[below(std::size(kRuns))];
    for (std::size_t i = 0; i < count; ++i) {
      shared_.emplace_back(below(600), static_cast<char>('a' + below(26)));
      message.runs.push_back(shared_.back());
      message.bytes += shared_.back().size();
    }
    text += message.joined();
    return message;
  }
  std::mt19937_64 random_{GetParam()};
  std::deque<std::string> shared_;
};

TEST_P(FrameWriterCutTest, WritesWholeFramesWhateverIsTakenAtATime) {
  FrameWriter writer;
  std::string out;
  std::vector<Frame> messages;
  std::size_t controls = 0;
  for (int step = 0; step < 2000; ++step) {
    if (!writer.has_message() && below(3) == 0) {
      messages.push_back({1, {}});
      writer.set_message(tidegate::Opcode::kText, random_message(messages.back().payload));
    }
    if (below(20) == 0) {
      writer.add_control(control_frame(tidegate::Opcode::kPing, std::to_string(controls++)));
    }
    if (below(50) == 0) writer.release_pins();
    write_some(writer, below(below(2) == 0 ? 20 : 20'000), out);
  }
  while (!writer.is_empty()) write_some(writer, 1000, out);
  EXPECT_FALSE(writer.has_message());
  EXPECT_EQ(writer.written_bytes(), out.size());
  std::vector<Frame> seen;
  std::size_t seen_controls = 0;
  for (const Frame& frame : parse(out)) {
    if (frame.opcode == 1) {
      seen.push_back(frame);
    } else {
      EXPECT_EQ(frame.payload, std::to_string(seen_controls++));
    }
  }
  EXPECT_EQ(seen_controls, controls);
  EXPECT_EQ(seen, messages);
}

INSTANTIATE_TEST_SUITE_P(Seeds, FrameWriterCutTest, ::testing::Range(1U, 21U));

TEST(FrameWriterTest, ReplacesAPongThatHasNotGone) {
  FrameWriter writer;
  std::string out;
  writer.set_pong("one");
  write_some(writer, 1, out);  // has begun, so it must end
  writer.set_pong("two");
  writer.set_pong("three");
  while (!writer.is_empty()) write_some(writer, 100, out);
  EXPECT_EQ(parse(out), (std::vector<Frame>{{10, "one"}, {10, "three"}}));
}

TEST(FrameWriterTest, ControlFramesGoBeforeAMessageThatHasNotBegun) {
  FrameWriter writer;
  std::string out;
  writer.set_message(tidegate::Opcode::kBinary, OutgoingMessage::of("message"));
  writer.add_control(control_frame(tidegate::Opcode::kPing, ""));
  write_some(writer, 100, out);
  EXPECT_EQ(parse(out), (std::vector<Frame>{{9, ""}, {2, "message"}}));
  EXPECT_TRUE(writer.is_empty());
}

TEST(FrameWriterTest, AFollowedMessageIsKeptForTheNext) {
  const auto followed = [](std::string text) {
    OutgoingMessage message = OutgoingMessage::of(std::move(text));
    message.is_followed = true;
    return message;
  };
  FrameWriter writer;
  writer.set_message(tidegate::Opcode::kText, followed("one"));
  EXPECT_FALSE(writer.has_message());
  writer.set_message(tidegate::Opcode::kText, followed("two"));
  writer.set_message(tidegate::Opcode::kText, OutgoingMessage::of("three"));
  std::string out;
  write_some(writer, 100, out);
  EXPECT_EQ(parse(out), (std::vector<Frame>{{1, "one"}, {1, "two"}, {1, "three"}}));
  EXPECT_TRUE(writer.is_empty());
  // What is large goes by itself.
  const std::string large(100'000, 'x');
  writer.set_message(tidegate::Opcode::kText, followed(large));
  EXPECT_TRUE(writer.has_message());
}

TEST(FrameWriterTest, ACloseFrameHasACodeAndAsMuchTextAsFits) {
  EXPECT_EQ(parse(close_frame(std::nullopt, "ignored")), (std::vector<Frame>{{8, ""}}));
  EXPECT_EQ(parse(close_frame(4400, std::string(200, 'x'))),
            (std::vector<Frame>{{8, "\x11\x30" + std::string(123, 'x')}}));
}

}  // namespace
}  // namespace tidegate::test
