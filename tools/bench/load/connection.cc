#include "tools/bench/load/connection.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

namespace tidegate::load {
namespace {

// Half of a core's second-level cache: what recv copied is still there when it is searched.
constexpr std::size_t kReceiveBytes = 256 << 10;
// Nothing that a handshake waits for is longer.
constexpr std::size_t kHeardBytesMax = 4 << 10;
// The most that a caller keeps is the head of an event.
constexpr std::size_t kKeptBytesMax = 4 << 10;

Error system_error(const char* what) {
  return {Code::kUnavailable, fmt::format("{}: {}", what, std::strerror(errno))};
}

}  // namespace

Connection::Buffer Connection::make_buffer() {
  return Buffer(kReceiveBytes + kKeptBytesMax);
}

Connection::~Connection() {
  if (fd_ >= 0) close(fd_);
}

void Connection::cut() {
  if (fd_ < 0) return;
  const linger at_once{1, 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  close(std::exchange(fd_, -1));
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
  go_on();
  return flush();
}

Result<std::string_view> Connection::receive(Buffer& buffer) {
  TG_CHECK(kept_.size() <= kKeptBytesMax);
  std::memcpy(buffer.data(), kept_.data(), kept_.size());
  const ssize_t got = recv(fd_, buffer.data() + kept_.size(), kReceiveBytes, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return std::string_view();
  if (got < 0) return system_error("a connection failed");
  if (got == 0) {
    return Error{Code::kUnavailable, fmt::format("the peer ended a connection after: {}", kept_)};
  }
  bytes_received_ += static_cast<std::uint64_t>(got);
  std::string_view bytes(buffer.data(), kept_.size() + static_cast<std::size_t>(got));
  const std::size_t old = kept_.size();
  kept_.clear();
  if (is_ready()) return bytes;
  heard_ += bytes.substr(old);
  go_on();
  if (Status sent = flush(); !sent) return sent.error();
  return bytes;
}

void Connection::go_on() {
  while (!is_ready()) {
    const Step& step = steps_[next_step_];
    const std::size_t at = heard_.find(step.wait_for);
    if (at == std::string::npos) break;
    answer_ = heard_.substr(0, at + step.wait_for.size());
    heard_.erase(0, answer_.size());
    out_ += step.send;
    ++next_step_;
  }
  if (is_ready()) {
    heard_ = {};
  } else if (heard_.size() > kHeardBytesMax) {
    heard_.erase(0, heard_.size() - kHeardBytesMax);
  }
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
