#include "gateway/net/frame_writer.h"

#include <algorithm>
#include <utility>

#include "eventstore/base/check.h"

namespace tidegate {
namespace {

// Of messages that wait for the one that follows them.
constexpr std::size_t kJoinedBytesMax = 16 << 10;

void add_piece(std::span<iovec> pieces, std::size_t& count, std::string_view bytes) {
  if (bytes.empty()) return;
  // Not written to: iovec is of C.
  pieces[count++] = {const_cast<char*>(bytes.data()), bytes.size()};
}

}  // namespace

void FrameWriter::set_pong(std::string_view payload) {
  pong_ = control_frame(Opcode::kPong, payload);
}

void FrameWriter::set_message(Opcode opcode, OutgoingMessage&& message) {
  TG_CHECK(!message_);
  const FrameHead head(opcode, message.bytes);
  if (message.is_followed && message.runs.empty() &&
      ahead_.size() + message.bytes <= kJoinedBytesMax) {
    ahead_.append(head.bytes()).append(message.own);
    return;
  }
  message_.emplace(head, std::move(message));
}

std::size_t FrameWriter::gather(std::span<iovec> pieces) {
  if (pong_ && ahead_.empty()) ahead_ = *std::exchange(pong_, std::nullopt);
  std::size_t count = 0;
  if (message_is_first()) {
    if (gather_message(pieces, count)) gather_ahead(pieces, count);
  } else {
    gather_ahead(pieces, count);
    if (message_) gather_message(pieces, count);
  }
  return count;
}

// True when the whole rest of the message has found room.
bool FrameWriter::gather_message(std::span<iovec> pieces, std::size_t& count) const {
  std::size_t skip = message_->sent;
  const auto add = [&](std::string_view piece) {
    if (skip >= piece.size()) {
      skip -= piece.size();
      return true;
    }
    if (count == pieces.size()) return false;
    add_piece(pieces, count, piece.substr(std::exchange(skip, 0)));
    return true;
  };
  if (!add(message_->head.bytes())) return false;
  const OutgoingMessage& content = message_->content;
  for (std::size_t at = 0; at < content.pieces(); ++at) {
    if (!add(content.piece(at))) return false;
  }
  return true;
}

void FrameWriter::gather_ahead(std::span<iovec> pieces, std::size_t& count) const {
  if (!ahead_.empty() && count < pieces.size())
    add_piece(pieces, count, std::string_view(ahead_).substr(ahead_sent_));
}

void FrameWriter::advance(std::size_t bytes) {
  written_bytes_ += bytes;
  if (message_is_first()) {
    bytes = advance_message(bytes);
    bytes = advance_ahead(bytes);
  } else {
    bytes = advance_ahead(bytes);
    bytes = advance_message(bytes);
  }
  TG_CHECK(bytes == 0, bytes);
}

// What is left of `bytes`.
std::size_t FrameWriter::advance_message(std::size_t bytes) {
  if (!message_) return bytes;
  const std::size_t taken = std::min(bytes, message_->left());
  message_->sent += taken;
  if (message_->left() == 0) message_.reset();
  return bytes - taken;
}

std::size_t FrameWriter::advance_ahead(std::size_t bytes) {
  const std::size_t sent = std::min(bytes, ahead_.size() - ahead_sent_);
  ahead_sent_ += sent;
  if (ahead_sent_ == ahead_.size()) {
    ahead_ = {};
    ahead_sent_ = 0;
  }
  return bytes - sent;
}

void FrameWriter::release_pins() {
  if (!message_) return;
  const std::size_t head = message_->head.bytes().size();
  std::string rest = message_->content.joined();
  if (message_->sent > head) {
    rest.erase(0, message_->sent - head);
    message_->sent = head;
  }
  message_->content = OutgoingMessage::of(std::move(rest));
}

}  // namespace tidegate
