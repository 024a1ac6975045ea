#include "gateway/delivery/transport.h"

#include <utility>

namespace tidegate {

OutgoingMessage OutgoingMessage::of(std::string text) {
  OutgoingMessage message;
  message.bytes = text.size();
  message.before = text.size();
  message.own = std::move(text);
  return message;
}

std::string OutgoingMessage::joined() const {
  std::string text;
  text.reserve(bytes);
  for (std::size_t at = 0; at < pieces(); ++at) text += piece(at);
  return text;
}

}  // namespace tidegate
