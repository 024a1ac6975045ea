#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "gateway/delivery/transport.h"
#include "gateway/net/frames.h"

namespace tidegate {

// What a peer sent: a whole message (its fragments put together), or a control frame.
struct Incoming {
  enum class Kind : std::uint8_t { kMessage, kPing, kPong, kClose };
  Kind kind = Kind::kMessage;
  // Good until the next call of the reader.
  std::string_view payload;
  std::optional<std::uint16_t> close_code;  // kClose: what the peer gave, if anything
};

// Why the peer is not listened to any more.
struct Violation {
  CloseCode code = CloseCode::kProtocol;
  std::string_view text;
};

// Reads what a client sends. Checks all that the RFC lets a server check: masks, reserved bits,
// opcodes, lengths in their shortest form, fragments, close codes and UTF-8. What can no more
// become UTF-8 is refused before the message ends. It holds no memory between messages: a message
// that lies whole in the bytes given is not copied.
//
// What costs the peer nothing and us a core is bounded: fragments of a message, and control frames
// in a time. Thread: caller serialises.
class FrameReader {
 public:
  static constexpr std::uint32_t kFragmentsMax = 64;  // of one message
  static constexpr std::uint32_t kControlFramesMax = 100;
  static constexpr std::int64_t kControlWindowMs = 10'000;

  // Messages of the other kind, text or binary, are refused.
  FrameReader(bool is_binary, std::size_t message_bytes_max)
      : message_bytes_max_(message_bytes_max),
        message_opcode_(is_binary ? Opcode::kBinary : Opcode::kText) {}

  // Takes from the front of `bytes`, which it unmasks in place, up to the end of the next message
  // or control frame; nothing when all was taken and more is needed. After a violation it must not
  // be called again.
  std::optional<Incoming> read(std::span<char>& bytes, std::int64_t now_ms);
  // Why `read` returned nothing, if not for want of bytes.
  const std::optional<Violation>& violation() const { return violation_; }

 private:
  static constexpr std::size_t kHeadBytesMax = 14;

  bool read_head(std::span<char>& bytes, std::int64_t now_ms);
  bool begin_frame(std::int64_t now_ms);
  bool begin_control_frame(std::int64_t now_ms);
  bool begin_data_frame();
  std::optional<Incoming> end_control_frame(std::string_view payload);
  std::optional<Incoming> end_message(std::string_view payload);
  bool check_new_text();
  bool refuse(CloseCode code, std::string_view text);

  const std::size_t message_bytes_max_;
  const Opcode message_opcode_;
  std::optional<Violation> violation_;

  char head_[kHeadBytesMax];
  std::uint8_t head_bytes_ = 0;
  // Of the frame whose payload is being read.
  bool in_payload_ = false;
  bool is_final_ = false;
  Opcode opcode_ = Opcode::kText;
  char mask_[4] = {};
  std::uint64_t payload_bytes_ = 0;
  std::uint64_t payload_left_ = 0;

  bool in_message_ = false;  // between its first fragment and the last
  std::uint32_t fragments_ = 0;
  std::uint32_t control_frames_ = 0;
  std::int64_t window_began_ms_ = 0;
  // What came of a message, or of a control frame's payload, when it did not come at once. A
  // control frame may come between the fragments of a message.
  std::string message_;
  std::string control_;
  std::size_t checked_bytes_ = 0;  // of `message_`: whole characters, known to be UTF-8
  bool gave_message_ = false;      // `message_` was the last result
};

}  // namespace tidegate
