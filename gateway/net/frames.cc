#include "gateway/net/frames.h"

#include "eventstore/base/check.h"

namespace tidegate {

FrameHead::FrameHead(Opcode opcode, std::uint64_t payload_bytes) {
  bytes_[size_++] = static_cast<char>(frame::kFinal | static_cast<std::uint8_t>(opcode));
  std::size_t extended = 0;
  if (payload_bytes < frame::kTwoByteLength) {
    bytes_[size_++] = static_cast<char>(payload_bytes);
  } else {
    extended = payload_bytes <= UINT16_MAX ? 2 : 8;
    bytes_[size_++] =
        static_cast<char>(extended == 2 ? frame::kTwoByteLength : frame::kEightByteLength);
  }
  for (std::size_t i = extended; i-- > 0;)
    bytes_[size_++] = static_cast<char>(payload_bytes >> (8 * i));
}

std::string control_frame(Opcode opcode, std::string_view payload) {
  TG_CHECK(payload.size() <= frame::kControlBytesMax, payload.size());
  std::string frame(FrameHead(opcode, payload.size()).bytes());
  frame += payload;
  return frame;
}

std::string close_frame(std::optional<std::uint16_t> code, std::string_view text) {
  std::string payload;
  if (code) {
    payload += static_cast<char>(*code >> 8);
    payload += static_cast<char>(*code & 0xff);
    payload += text.substr(0, frame::kControlBytesMax - payload.size());
  }
  return control_frame(Opcode::kClose, payload);
}

}  // namespace tidegate
