#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "eventstore/base/result.h"

namespace tidegate {

// A place to listen at: "host:port", "[v6]:port". Hosts are numeric addresses or localhost, so that
// nothing is looked up.
struct ListenAddress {
  std::string host;
  bool is_v6 = false;
  std::uint16_t port = 0;

  bool is_loopback() const;
  std::string text() const;
};

// kBadArgument with what is wrong.
Result<ListenAddress> parse_listen_address(std::string_view text);

// A listening TCP socket, closed with the object.
// Thread: caller serialises.
class ListenSocket {
 public:
  // kUnavailable with the address and the reason when it cannot be had.
  static Result<ListenSocket> open(const ListenAddress& address);
  ListenSocket(ListenSocket&& other) noexcept;
  ListenSocket& operator=(ListenSocket&& other) noexcept;
  ~ListenSocket();

  int fd() const { return fd_; }
  // With the port that was bound.
  const ListenAddress& address() const { return address_; }
  // Gives the descriptor away.
  int release();

 private:
  ListenSocket(int fd, ListenAddress address) : fd_(fd), address_(std::move(address)) {}
  int fd_ = -1;
  ListenAddress address_;
};

}  // namespace tidegate
