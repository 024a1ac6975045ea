#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tidegate {

// The frames of a WebSocket (RFC 6455 section 5) as a server sends them.
// Thread: any (pure functions and values).

enum class Opcode : std::uint8_t {
  kContinuation = 0,
  kText = 1,
  kBinary = 2,
  kClose = 8,
  kPing = 9,
  kPong = 10,
};

// Parts of a frame's first two bytes.
namespace frame {
inline constexpr std::uint8_t kFinal = 0x80;
inline constexpr std::size_t kControlBytesMax = 125;
// In the seven bits of the length: it follows in two bytes, or in eight.
inline constexpr std::uint64_t kTwoByteLength = 126;
inline constexpr std::uint64_t kEightByteLength = 127;
}  // namespace frame

// The head of a frame that a server sends: final, unmasked.
class FrameHead {
 public:
  FrameHead(Opcode opcode, std::uint64_t payload_bytes);
  std::string_view bytes() const { return {bytes_, size_}; }

 private:
  static constexpr std::size_t kBytesMax = 10;
  char bytes_[kBytesMax];
  std::size_t size_ = 0;
};

// A whole frame with at most 125 bytes of payload.
std::string control_frame(Opcode opcode, std::string_view payload);
// `text` is cut to the 123 bytes that fit. Without a code the frame has no payload.
std::string close_frame(std::optional<std::uint16_t> code, std::string_view text);

}  // namespace tidegate
