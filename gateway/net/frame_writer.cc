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

void FrameWriter::set_message(Opcode opcode, OutgoingMessage message) {
  TG_CHECK(!message_);
  const FrameHead head(opcode, message.bytes);
  if (message.is_followed && message.runs.empty() &&
      ahead_.size() + message.bytes <= kJoinedBytesMax) {
    ahead_.append(head.bytes()).append(message.own);
    return;
  }
  message_.emplace(Message{head, std::move(message)});
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
  const Message& message = *message_;
  const std::string_view head = message.head.bytes().substr(message.head_sent);
  if (!head.empty() && count < pieces.size()) add_piece(pieces, count, head);
  std::size_t sent = message.piece_sent;
  std::size_t at = message.piece;
  for (; at < message.content.pieces() && count < pieces.size(); ++at) {
    add_piece(pieces, count, message.content.piece(at).substr(sent));
    sent = 0;
  }
  return at == message.content.pieces();
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
  if (!message_ || bytes == 0) return bytes;
  Message& message = *message_;
  const std::size_t of_head = std::min(bytes, message.head.bytes().size() - message.head_sent);
  message.head_sent += of_head;
  bytes -= of_head;
  while (!message.is_done()) {
    const std::size_t left = message.content.piece(message.piece).size() - message.piece_sent;
    if (bytes < left) {
      message.piece_sent += bytes;
      return 0;
    }
    bytes -= left;
    ++message.piece;
    message.piece_sent = 0;
  }
  message_.reset();
  return bytes;
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
  std::string rest;
  std::size_t sent = message_->piece_sent;
  const OutgoingMessage& content = message_->content;
  for (std::size_t at = message_->piece; at < content.pieces(); ++at) {
    rest += content.piece(at).substr(sent);
    sent = 0;
  }
  message_->content = OutgoingMessage::of(std::move(rest));
  message_->piece = 0;
  message_->piece_sent = 0;
}

}  // namespace tidegate
