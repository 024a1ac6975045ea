#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/base/result.h"

namespace tidegate::load {

// One move of a handshake: once the peer's bytes contain `wait_for` (empty: at once), `send`.
struct Step {
  std::string wait_for;
  std::string send;
};

// A TCP connection to a peer on this machine, which is ready once its handshake is through.
// Thread: caller serialises.
class Connection {
 public:
  // Where `receive` puts bytes; shared by all connections.
  using Buffer = std::vector<char>;
  static Buffer make_buffer();

  explicit Connection(std::vector<Step> steps) : steps_(std::move(steps)) {}
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Ends the connection by a TCP reset, as a network that goes away does.
  void cut();

  // Connects and adds the socket to an epoll set under `mark`: for reading, and for writing while
  // there is something that the socket did not take.
  Status open(std::uint16_t port, int epoll_fd, std::uint64_t mark);

  // Reads once. The result is what was kept of earlier bytes and what came, also during the
  // handshake: a peer may send events before it ends. Empty when nothing came. Valid until the
  // buffer is used again.
  Result<std::string_view> receive(Buffer& buffer);
  // The last `count` bytes of what `receive` returned come again.
  void keep(std::string_view received, std::size_t count) {
    kept_.assign(received.substr(received.size() - count));
  }

  // To append to; `flush` sends as much as the socket takes.
  std::string& out() { return out_; }
  Status flush();

  // What the peer said in the last move of the handshake, including what was waited for.
  const std::string& answer() const { return answer_; }

  bool is_ready() const { return next_step_ == steps_.size(); }
  std::uint64_t bytes_received() const { return bytes_received_; }

 private:
  void go_on();
  Status watch(int operation, bool wants_to_write);

  std::vector<Step> steps_;
  std::size_t next_step_ = 0;
  int fd_ = -1;
  int epoll_fd_ = -1;
  std::uint64_t mark_ = 0;
  bool wants_to_write_ = false;
  std::string heard_;  // during the handshake: what no step has waited for yet
  std::string answer_;
  std::string kept_;
  std::string out_;
  std::size_t sent_ = 0;  // of out_
  std::uint64_t bytes_received_ = 0;
};

}  // namespace tidegate::load
