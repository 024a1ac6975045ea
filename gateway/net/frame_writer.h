#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <sys/uio.h>
#include <utility>

#include "gateway/delivery/transport.h"
#include "gateway/net/frames.h"

namespace tidegate {

// What a connection has still to write: at most one message, whose pieces are not copied, and
// before it whole frames: control frames, which never go into a message, and small messages that
// are written together with the one that follows them.
// Thread: caller serialises.
class FrameWriter {
 public:
  // Of one system call: a full message has a head, 60 runs and two pieces around them.
  static constexpr std::size_t kPiecesMax = 64;

  // The bytes of a control frame, or of the upgrade's answer. A connection makes few of them.
  void add_control(std::string_view frame) { ahead_ += frame; }
  // The answer to a ping. One that has not gone yet is replaced: RFC 6455 section 5.5.3 asks for no
  // more, and a peer that only sends pings must not fill our memory.
  void set_pong(std::string_view payload);
  // The message in flight. One that `is_followed` and small is kept until the next one is set, and
  // is not in flight.
  void set_message(Opcode opcode, OutgoingMessage&& message);

  bool is_empty() const { return ahead_.empty() && !pong_ && !message_; }
  bool has_message() const { return message_.has_value(); }

  // The next bytes, as many as the pieces hold; returns how many pieces. Good until the next call
  // of any other function.
  std::size_t gather(std::span<iovec> pieces);
  // So many of the bytes that `gather` gave were written.
  void advance(std::size_t bytes);
  // Copies what is left of the message, so that nothing of the log is pinned.
  void release_pins();

  std::uint64_t written_bytes() const { return written_bytes_; }

 private:
  // A message on its way.
  struct Message {
    Message(const FrameHead& its_head, OutgoingMessage&& its_content)
        : head(its_head), content(std::move(its_content)) {}

    FrameHead head;
    OutgoingMessage content;
    std::size_t sent = 0;  // of both

    std::size_t left() const { return head.bytes().size() + content.bytes - sent; }
  };

  bool gather_message(std::span<iovec> pieces, std::size_t& count) const;
  void gather_ahead(std::span<iovec> pieces, std::size_t& count) const;
  std::size_t advance_message(std::size_t bytes);
  std::size_t advance_ahead(std::size_t bytes);
  bool message_is_first() const { return message_ && message_->sent > 0; }

  std::string ahead_;  // whole frames
  std::size_t ahead_sent_ = 0;
  std::optional<std::string> pong_;
  std::optional<Message> message_;
  std::uint64_t written_bytes_ = 0;
};

}  // namespace tidegate
