#include "tools/tidegate/frame_reader.h"

#include <algorithm>
#include <cstring>

namespace tidegate {
namespace {

constexpr std::uint8_t kFinalBit = 0x80;
constexpr std::uint8_t kReservedBits = 0x70;
constexpr std::uint8_t kControlBit = 0x08;
constexpr std::size_t kControlBytesMax = 125;

Error bad_frame(const char* what) {
  return {Code::kInternal, std::string("the gateway sent a wrong WebSocket frame: ") + what};
}

}  // namespace

Result<FrameReader::Header> FrameReader::read_header(const char* bytes, std::size_t size) {
  if (size < 2) return Header{};
  const auto first = static_cast<std::uint8_t>(bytes[0]);
  const auto second = static_cast<std::uint8_t>(bytes[1]);
  if ((first & kReservedBits) != 0) return bad_frame("reserved bits");
  if (second > 127) return bad_frame("it is masked");
  const std::size_t length_bytes = second == 127 ? 8 : second == 126 ? 2 : 0;
  if (size < 2 + length_bytes) return Header{};
  Header header{2 + length_bytes, second, static_cast<std::uint8_t>(first & 0x0F),
                (first & kFinalBit) != 0};
  if (length_bytes > 0) header.payload = 0;
  for (std::size_t i = 0; i < length_bytes; ++i) {
    header.payload = header.payload << 8 | static_cast<std::uint8_t>(bytes[2 + i]);
  }
  return header;
}

Result<std::size_t> FrameReader::take(char* bytes, std::size_t size, FrameSink& sink) {
  // [untaken, at) is payload that the sink wants to see again, [at, size) was not read yet.
  std::size_t untaken = 0;
  std::size_t at = untaken_;
  const auto drop_before_payload = [&](std::size_t count) {
    std::memmove(bytes + untaken + count, bytes + untaken, at - untaken);
    untaken += count;
    at += count;
  };
  while (at < size || (in_message_ && frame_left_ == 0)) {
    if (frame_left_ == 0) {
      const Result<Header> header = read_header(bytes + at, size - at);
      if (!header) return header.error();
      if (header->size == 0) break;
      if ((header->opcode & kControlBit) != 0) {
        const std::size_t frame = header->size + static_cast<std::size_t>(header->payload);
        if (header->payload > kControlBytesMax || !header->is_final)
          return bad_frame("a large control frame");
        if (size - at < frame) break;
        const std::string_view payload(bytes + at + header->size, frame - header->size);
        if (Status taken = sink.on_control(header->opcode, payload); !taken) return taken.error();
        drop_before_payload(frame);
        continue;
      }
      if ((header->opcode == 0) != in_message_) return bad_frame("no beginning, or a second one");
      drop_before_payload(header->size);
      frame_left_ = header->payload;
      is_final_ = header->is_final;
      in_message_ = true;
    }
    const std::size_t now =
        static_cast<std::size_t>(std::min<std::uint64_t>(frame_left_, size - at));
    at += now;
    frame_left_ -= now;
    const bool is_end = frame_left_ == 0 && is_final_;
    const Result<std::size_t> taken =
        sink.on_payload(std::string_view(bytes + untaken, at - untaken), is_end);
    if (!taken) return taken.error();
    untaken += *taken;
    if (!is_end) continue;
    if (untaken != at) return bad_frame("a message that ends in the middle");
    in_message_ = false;
  }
  untaken_ = at - untaken;
  return untaken;
}

}  // namespace tidegate
