#include "gateway/delivery/transport.h"

#include <utility>

namespace tidegate {

OutgoingMessage OutgoingMessage::of(std::string text) {
  OutgoingMessage message;
  message.bytes = text.size();
  message.own.push_back(std::move(text));
  message.pieces.emplace_back(message.own.back());
  return message;
}

std::string OutgoingMessage::joined() const {
  std::string text;
  text.reserve(bytes);
  for (const std::string_view piece : pieces) text += piece;
  return text;
}

}  // namespace tidegate
