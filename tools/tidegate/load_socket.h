#pragma once

#include <cstddef>
#include <netdb.h>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <vector>

#include "eventstore/base/result.h"
#include "tools/tidegate/load_connection.h"

namespace tidegate {

// Where the gateway's WebSocket listener is.
// Thread: immutable.
class LoadAddress {
 public:
  // kBadArgument when `http` is not HOST:PORT or cannot be resolved.
  static Result<LoadAddress> resolve(const std::string& http, const std::string& token);

  // A connected socket. Waits for the kernel's handshake, which on a machine's own addresses is
  // over at once. kUnavailable.
  Result<int> connect() const;
  const std::string& text() const { return http_; }
  // What connections send; empty: none.
  const std::string& token() const { return token_; }

 private:
  std::string http_;
  std::string token_;
  sockaddr_storage address_{};
  socklen_t length_ = 0;
};

// What sockets receive into, one after the other: large enough for what was left of a message, and
// small enough for the bytes to be in the processor's cache still when they are read.
// Thread: caller serialises.
class ReceiveBuffer {
 public:
  // Half of a core's second-level cache.
  static constexpr std::size_t kReceiveBytes = 256 << 10;

  ReceiveBuffer() : bytes_(kBufferBytes) {}
  char* data() { return bytes_.data(); }
  std::size_t size() const { return bytes_.size(); }

 private:
  // Above the largest event, so that one always fits together with what was received before it.
  static constexpr std::size_t kBufferBytes = 4 << 20;
  std::vector<char> bytes_;
};

// A LoadConnection on a socket. It sends waiting, for what a subscriber has to say fits the
// socket's buffer, and receives without.
// Thread: caller serialises.
class LoadSocket {
 public:
  // `address` outlives it.
  LoadSocket(const LoadAddress& address, LoadForm form, std::size_t data_bytes, DeliveryCheck check)
      : address_(address), form_(form), connection_(form, data_bytes, check) {}
  ~LoadSocket();
  LoadSocket(const LoadSocket&) = delete;
  LoadSocket& operator=(const LoadSocket&) = delete;

  // Connects and asks for the upgrade; also again after `cut`.
  Status open();
  // As a network that breaks: no close frame, what is under way is lost, the gateway gets a reset.
  void cut();
  Status send(std::string_view bytes);
  Status subscribe(const v1::SubscribeOp& subscription);
  // One receive, after which `found` has what was in it and pings are answered. The number of
  // bytes; 0: there were none. kUnavailable when the connection has ended.
  Result<std::size_t> receive(ReceiveBuffer& buffer, LoadConnection::Found& found);

  int fd() const { return fd_; }
  LoadConnection& connection() { return connection_; }

 private:
  const LoadAddress& address_;
  LoadForm form_;
  int fd_ = -1;
  LoadConnection connection_;
  std::string left_;  // bytes that must be read again together with the next ones
};

}  // namespace tidegate
