#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "eventstore/base/result.h"

namespace tidegate {

// What FrameReader finds in a connection's bytes.
class FrameSink {
 public:
  virtual ~FrameSink() = default;

  // The payload of a message goes on with `bytes` (what was left of the last call comes again
  // first); returns how many were taken. Everything must be taken when `is_end`.
  virtual Result<std::size_t> on_payload(std::string_view bytes, bool is_end) = 0;
  // A ping, pong or close frame.
  virtual Status on_control(std::uint8_t opcode, std::string_view payload) = 0;
};

inline constexpr std::uint8_t kCloseFrame = 8;
inline constexpr std::uint8_t kPingFrame = 9;
inline constexpr std::uint8_t kPongFrame = 10;

// Takes a server's WebSocket frames (RFC 6455, not masked) apart where they were received. Payload
// is handed on as it comes, so that no message is ever copied together.
// Thread: caller serialises.
class FrameReader {
 public:
  // Reads bytes[0, size) and returns where those begin that must be there again, in front of newer
  // ones, at the next call. May move payload within the buffer. kInternal: no WebSocket, or an
  // error of the sink.
  Result<std::size_t> take(char* bytes, std::size_t size, FrameSink& sink);

 private:
  struct Header {
    std::size_t size = 0;  // 0: not all of it is there
    std::uint64_t payload = 0;
    std::uint8_t opcode = 0;
    bool is_final = false;
  };
  static Result<Header> read_header(const char* bytes, std::size_t size);

  std::uint64_t frame_left_ = 0;  // payload of the current frame that is still to come
  bool is_final_ = false;
  bool in_message_ = false;
  std::size_t untaken_ = 0;  // payload at the front of the buffer that the sink did not take
};

}  // namespace tidegate
