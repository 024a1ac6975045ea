#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tidegate {

// Counts the WebSocket frames in the bytes of a peer as they arrive, and says when there are too
// many: a message in a million empty fragments, or a flood of pings, costs the peer nothing and us
// a core. Beast handles both without an end, inside one read, so they are counted before Beast sees
// them. It only skips payloads; what is malformed is Beast's to refuse. Thread: caller serialises.
class FrameScanner {
 public:
  static constexpr std::uint32_t kFragmentsMax = 64;  // of one message
  static constexpr std::uint32_t kControlFramesMax = 100;
  static constexpr std::int64_t kControlWindowMs = 10'000;

  // Takes the next bytes; false when the peer has gone too far. What comes after that is not looked
  // at.
  bool scan(std::string_view bytes, std::int64_t now_ms);

 private:
  void end_header(std::int64_t now_ms);

  std::uint64_t payload_left_ = 0;
  std::uint8_t header_[10] = {};
  std::size_t header_bytes_ = 0;
  std::uint32_t fragments_ = 0;
  std::uint32_t control_frames_ = 0;
  std::int64_t window_began_ms_ = 0;
  bool is_flood_ = false;
};

}  // namespace tidegate
