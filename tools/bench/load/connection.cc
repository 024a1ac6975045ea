#include "tools/bench/load/connection.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fmt/format.h>

namespace tidegate::load {
namespace {

// Half of a core's second-level cache: what recv copied is still there when it is searched.
constexpr std::size_t kReceiveBytes = 256 << 10;
// A handshake's answers are short; more than this means that it will never end.
constexpr std::size_t kHandshakeBytesMax = 64 << 10;

Error system_error(const char* what) {
  return {Code::kUnavailable, fmt::format("{}: {}", what, std::strerror(errno))};
}

}  // namespace

Connection::Buffer Connection::make_buffer() {
  return Buffer(kReceiveBytes + kHandshakeBytesMax);
}

Connection::~Connection() {
  if (fd_ >= 0) close(fd_);
}

// Connects while the kernel's own handshake goes on: on the loopback it is over at once.
Status Connection::open(std::uint16_t port, int epoll_fd, std::uint64_t mark) {
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd_ < 0) return system_error("cannot open a socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return system_error(fmt::format("cannot connect to port {}", port).c_str());
  }
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  epoll_fd_ = epoll_fd;
  mark_ = mark;
  if (Status added = watch(EPOLL_CTL_ADD, false); !added) return added;
  const Result<std::size_t> begun = go_on({});
  if (!begun) return begun.error();
  return flush();
}

Result<std::string_view> Connection::receive(Buffer& buffer) {
  std::memcpy(buffer.data(), kept_.data(), kept_.size());
  const ssize_t got = recv(fd_, buffer.data() + kept_.size(), kReceiveBytes, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return std::string_view();
  if (got < 0) return system_error("a connection failed");
  if (got == 0) {
    return Error{Code::kUnavailable, fmt::format("the peer ended a connection after: {}", kept_)};
  }
  bytes_received_ += static_cast<std::uint64_t>(got);
  std::string_view bytes(buffer.data(), kept_.size() + static_cast<std::size_t>(got));
  kept_.clear();
  if (is_ready()) return bytes;
  const Result<std::size_t> read = go_on(bytes);
  if (!read) return read.error();
  bytes.remove_prefix(*read);
  if (!is_ready()) {
    kept_.assign(bytes);
    bytes = {};
  }
  if (Status sent = flush(); !sent) return sent.error();
  return bytes;
}

// How much of the peer's bytes belongs to steps that are done now.
Result<std::size_t> Connection::go_on(std::string_view bytes) {
  std::size_t read = 0;
  while (!is_ready()) {
    const Step& step = steps_[next_step_];
    const std::size_t at = bytes.find(step.wait_for, read);
    if (at == std::string_view::npos) break;
    read = at + step.wait_for.size();
    out_ += step.send;
    ++next_step_;
  }
  if (!is_ready() && bytes.size() - read >= kHandshakeBytesMax) {
    return Error{Code::kInternal,
                 fmt::format("the peer does not answer with '{}'", steps_[next_step_].wait_for)};
  }
  return read;
}

Status Connection::flush() {
  while (sent_ < out_.size()) {
    const ssize_t sent =
        send(fd_, out_.data() + sent_, out_.size() - sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) return watch(EPOLL_CTL_MOD, true);
    if (sent < 0) return system_error("cannot send");
    sent_ += static_cast<std::size_t>(sent);
  }
  out_.clear();
  sent_ = 0;
  return wants_to_write_ ? watch(EPOLL_CTL_MOD, false) : Status();
}

Status Connection::watch(int operation, bool wants_to_write) {
  wants_to_write_ = wants_to_write;
  epoll_event event{};
  event.events = wants_to_write ? EPOLLIN | EPOLLOUT : EPOLLIN;
  event.data.u64 = mark_;
  if (epoll_ctl(epoll_fd_, operation, fd_, &event) != 0) return system_error("epoll_ctl");
  return {};
}

}  // namespace tidegate::load
