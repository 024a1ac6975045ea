#include "gateway/net/frame_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "eventstore/base/check.h"
#include "eventstore/base/text.h"

namespace tidegate {
namespace {

constexpr std::uint8_t kReserved = 0x70;
constexpr std::uint8_t kOpcodeBits = 0x0f;
constexpr std::uint8_t kMasked = 0x80;
constexpr std::uint8_t kLengthBits = 0x7f;
constexpr std::size_t kMaskBytes = 4;
constexpr std::string_view kNotUtf8 = "a text message is not UTF-8";

// Bytes of the length that follow the first two.
std::size_t length_bytes(std::uint8_t second) {
  const std::uint64_t length = second & kLengthBits;
  if (length == frame::kTwoByteLength) return 2;
  return length == frame::kEightByteLength ? 8 : 0;
}

bool is_control(Opcode opcode) {
  return static_cast<std::uint8_t>(opcode) >= static_cast<std::uint8_t>(Opcode::kClose);
}

// `offset`: how many bytes of the frame's payload come before.
void unmask(std::span<char> bytes, const char (&mask)[kMaskBytes], std::uint64_t offset) {
  char turned[8];
  for (std::size_t i = 0; i < sizeof turned; ++i) turned[i] = mask[(offset + i) % kMaskBytes];
  std::uint64_t wide = 0;
  std::memcpy(&wide, turned, sizeof wide);
  std::size_t at = 0;
  for (; at + sizeof wide <= bytes.size(); at += sizeof wide) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, sizeof word);
    word ^= wide;
    std::memcpy(bytes.data() + at, &word, sizeof word);
  }
  for (; at < bytes.size(); ++at)
    bytes[at] = static_cast<char>(bytes[at] ^ turned[at % sizeof turned]);
}

// RFC 6455 section 7.4, with the codes that are registered since.
bool may_be_sent(std::uint16_t code) {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
         (code >= 3000 && code <= 4999);
}

}  // namespace

bool FrameReader::refuse(CloseCode code, std::string_view text) {
  violation_ = Violation{code, text};
  return false;
}

std::optional<Incoming> FrameReader::read(std::span<char>& bytes, std::int64_t now_ms) {
  TG_CHECK(!violation_);
  // Given back only now: the caller has read it.
  if (std::exchange(gave_message_, false)) message_ = {};
  while (true) {
    if (!in_payload_ && !read_head(bytes, now_ms)) return std::nullopt;
    const std::size_t here = std::min<std::uint64_t>(payload_left_, bytes.size());
    const std::span<char> part = bytes.first(here);
    bytes = bytes.subspan(here);
    unmask(part, mask_, payload_bytes_ - payload_left_);
    payload_left_ -= here;
    const std::string_view text(part.data(), part.size());
    std::string& kept = is_control(opcode_) ? control_ : message_;
    const bool is_whole = payload_left_ == 0 && kept.empty() && (is_final_ || is_control(opcode_));
    if (!is_whole) kept += text;
    if (!is_whole && !is_control(opcode_) && !check_new_text()) return std::nullopt;
    if (payload_left_ > 0) return std::nullopt;
    in_payload_ = false;
    if (is_control(opcode_)) return end_control_frame(is_whole ? text : std::string_view(kept));
    if (is_final_) return end_message(is_whole ? text : std::string_view(kept));
  }
}

// True when a frame has begun.
bool FrameReader::read_head(std::span<char>& bytes, std::int64_t now_ms) {
  while (!bytes.empty()) {
    head_[head_bytes_++] = bytes.front();
    bytes = bytes.subspan(1);
    if (head_bytes_ < 2) continue;
    const auto second = static_cast<std::uint8_t>(head_[1]);
    if ((second & kMasked) == 0)
      return refuse(CloseCode::kProtocol, "a client's frames are masked");
    if (head_bytes_ == 2 + length_bytes(second) + kMaskBytes) return begin_frame(now_ms);
  }
  return false;
}

bool FrameReader::begin_frame(std::int64_t now_ms) {
  const auto first = static_cast<std::uint8_t>(head_[0]);
  const auto second = static_cast<std::uint8_t>(head_[1]);
  const std::size_t extended = length_bytes(second);
  std::uint64_t length = extended == 0 ? second & kLengthBits : 0;
  for (std::size_t i = 0; i < extended; ++i)
    length = length << 8 | static_cast<std::uint8_t>(head_[2 + i]);
  std::memcpy(mask_, head_ + 2 + extended, kMaskBytes);
  head_bytes_ = 0;
  in_payload_ = true;
  is_final_ = (first & frame::kFinal) != 0;
  opcode_ = static_cast<Opcode>(first & kOpcodeBits);
  payload_bytes_ = payload_left_ = length;
  if ((first & kReserved) != 0) return refuse(CloseCode::kProtocol, "a reserved bit is set");
  const std::uint64_t least = extended == 2 ? frame::kTwoByteLength : std::uint64_t{UINT16_MAX} + 1;
  if (extended != 0 && length < least)
    return refuse(CloseCode::kProtocol, "a length is not in its shortest form");
  return is_control(opcode_) ? begin_control_frame(now_ms) : begin_data_frame();
}

bool FrameReader::begin_control_frame(std::int64_t now_ms) {
  if (opcode_ != Opcode::kClose && opcode_ != Opcode::kPing && opcode_ != Opcode::kPong)
    return refuse(CloseCode::kProtocol, "the opcode is unknown");
  if (!is_final_) return refuse(CloseCode::kProtocol, "a control frame is fragmented");
  if (payload_bytes_ > frame::kControlBytesMax)
    return refuse(CloseCode::kProtocol, "a control frame has more than 125 bytes");
  if (now_ms - window_began_ms_ >= kControlWindowMs) {
    window_began_ms_ = now_ms;
    control_frames_ = 0;
  }
  if (++control_frames_ > kControlFramesMax)
    return refuse(CloseCode::kPolicy, "too many control frames");
  control_.clear();
  return true;
}

bool FrameReader::begin_data_frame() {
  if (opcode_ == Opcode::kContinuation) {
    if (!in_message_) return refuse(CloseCode::kProtocol, "there is no message to continue");
  } else {
    if (opcode_ != Opcode::kText && opcode_ != Opcode::kBinary)
      return refuse(CloseCode::kProtocol, "the opcode is unknown");
    if (in_message_) return refuse(CloseCode::kProtocol, "a message begins within another");
    if (opcode_ != message_opcode_) {
      return refuse(CloseCode::kUnsupportedData,
                    message_opcode_ == Opcode::kBinary
                        ? "tidegate.v1.proto takes binary messages only"
                        : "tidegate.v1.json takes text messages only");
    }
    fragments_ = 0;
  }
  in_message_ = !is_final_;
  if (++fragments_ > kFragmentsMax) return refuse(CloseCode::kPolicy, "too many fragments");
  if (payload_bytes_ > message_bytes_max_ - message_.size())
    return refuse(CloseCode::kTooBig, "the message is larger than `limits` in `welcome` allows");
  return true;
}

std::optional<Incoming> FrameReader::end_control_frame(std::string_view payload) {
  if (opcode_ == Opcode::kPing) return Incoming{Incoming::Kind::kPing, payload, {}};
  if (opcode_ == Opcode::kPong) return Incoming{Incoming::Kind::kPong, payload, {}};
  Incoming close{Incoming::Kind::kClose, payload, {}};
  if (payload.empty()) return close;
  if (payload.size() == 1) {
    refuse(CloseCode::kProtocol, "a close frame has half a code");
    return std::nullopt;
  }
  close.close_code = static_cast<std::uint16_t>(static_cast<std::uint8_t>(payload[0]) << 8 |
                                                static_cast<std::uint8_t>(payload[1]));
  if (!may_be_sent(*close.close_code)) {
    refuse(CloseCode::kProtocol, "a close frame has a code that must not be sent");
    return std::nullopt;
  }
  close.payload = payload.substr(2);
  if (!is_valid_utf8(close.payload)) {
    refuse(CloseCode::kBadText, "a close frame's text is not UTF-8");
    return std::nullopt;
  }
  return close;
}

// Each byte is looked at once, however small the pieces are that it came in.
bool FrameReader::check_new_text() {
  if (message_opcode_ != Opcode::kText) return true;
  const auto unfinished = unfinished_utf8_bytes(std::string_view(message_).substr(checked_bytes_));
  if (!unfinished) return refuse(CloseCode::kBadText, kNotUtf8);
  checked_bytes_ = message_.size() - *unfinished;
  return true;
}

std::optional<Incoming> FrameReader::end_message(std::string_view payload) {
  const std::string_view unchecked = payload.substr(std::exchange(checked_bytes_, 0));
  if (message_opcode_ == Opcode::kText && !is_valid_utf8(unchecked)) {
    refuse(CloseCode::kBadText, kNotUtf8);
    return std::nullopt;
  }
  gave_message_ = true;
  return Incoming{Incoming::Kind::kMessage, payload, {}};
}

}  // namespace tidegate
