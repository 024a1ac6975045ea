#pragma once

#include <cstddef>
#include <list>
#include <string>
#include <utility>

namespace tidegate {

// Encoded answers that wait for the socket, one message each. The session bounds it: above its
// limit the peer's messages are not read, so what can still come are the answers to what was read
// before. Thread: caller serialises.
class Outbox {
 public:
  void push(std::string message) {
    bytes_ += message.size();
    messages_.push_back(std::move(message));
  }
  std::string pop() {
    std::string message = std::move(messages_.front());
    messages_.pop_front();
    bytes_ -= message.size();
    return message;
  }
  bool empty() const { return messages_.empty(); }
  std::size_t bytes() const { return bytes_; }

 private:
  std::list<std::string> messages_;  // an empty deque would hold memory, in every session
  std::size_t bytes_ = 0;
};

}  // namespace tidegate
