#include "gateway/net/frame_scanner.h"

#include <algorithm>

namespace tidegate {
namespace {

constexpr std::uint8_t kFinal = 0x80;
constexpr std::uint8_t kControl = 0x08;  // opcodes 8 and above
constexpr std::uint8_t kMasked = 0x80;
constexpr std::uint8_t kLengthBits = 0x7f;
constexpr std::size_t kMaskBytes = 4;

// Bytes of the length that follow the first two.
std::size_t extended_bytes(std::uint8_t second) {
  const auto length = static_cast<std::uint8_t>(second & kLengthBits);
  if (length == 126) return 2;
  return length == 127 ? 8 : 0;
}

}  // namespace

bool FrameScanner::scan(std::string_view bytes, std::int64_t now_ms) {
  while (!bytes.empty() && !is_flood_) {
    if (payload_left_ > 0) {
      const std::size_t skipped = std::min<std::uint64_t>(payload_left_, bytes.size());
      payload_left_ -= skipped;
      bytes.remove_prefix(skipped);
      continue;
    }
    header_[header_bytes_++] = static_cast<std::uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    if (header_bytes_ >= 2 && header_bytes_ == 2 + extended_bytes(header_[1])) end_header(now_ms);
  }
  return !is_flood_;
}

void FrameScanner::end_header(std::int64_t now_ms) {
  const std::size_t extended = extended_bytes(header_[1]);
  std::uint64_t length = extended == 0 ? header_[1] & kLengthBits : 0;
  for (std::size_t i = 0; i < extended; ++i) length = length << 8 | header_[2 + i];
  // The mask is skipped with the payload. A length near 2^64 is refused by Beast; here it must only
  // not wrap.
  const std::uint64_t mask = (header_[1] & kMasked) != 0 ? kMaskBytes : 0;
  payload_left_ = length > UINT64_MAX - mask ? UINT64_MAX : length + mask;
  header_bytes_ = 0;
  if ((header_[0] & kControl) != 0) {
    if (now_ms - window_began_ms_ >= kControlWindowMs) {
      window_began_ms_ = now_ms;
      control_frames_ = 0;
    }
    is_flood_ = ++control_frames_ > kControlFramesMax;
    return;
  }
  is_flood_ = ++fragments_ > kFragmentsMax;
  if ((header_[0] & kFinal) != 0) fragments_ = 0;
}

}  // namespace tidegate
