#include "tools/bench/floor/loopback.h"

#include <cstdio>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fmt/format.h>

namespace tidegate::bench {

std::optional<Loopback> listen_on_loopback() {
  Loopback made;
  made.listener = ::socket(AF_INET, SOCK_STREAM, 0);
  made.address.sin_family = AF_INET;
  made.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const address = reinterpret_cast<sockaddr*>(&made.address);
  socklen_t length = sizeof made.address;
  if (::bind(made.listener, address, length) != 0 || ::listen(made.listener, 1024) != 0 ||
      ::getsockname(made.listener, address, &length) != 0) {
    fmt::print(stderr, "tidegate_floor: cannot listen on 127.0.0.1\n");
    return std::nullopt;
  }
  return made;
}

std::vector<int> accept_all(const Loopback& loopback, std::uint64_t count) {
  std::vector<int> sockets;
  for (std::uint64_t i = 0; i < count; ++i) {
    const int fd = ::accept(loopback.listener, nullptr, nullptr);
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockets.push_back(fd);
  }
  return sockets;
}

std::vector<int> connect_all(const Loopback& loopback, std::uint64_t count) {
  std::vector<int> sockets;
  for (std::uint64_t i = 0; i < count; ++i) {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    const auto* const address = reinterpret_cast<const sockaddr*>(&loopback.address);
    if (::connect(fd, address, sizeof loopback.address) != 0) ::_exit(1);
    sockets.push_back(fd);
  }
  return sockets;
}

int watch_all(const std::vector<int>& sockets) {
  const int epoll = ::epoll_create1(0);
  for (std::uint64_t i = 0; i < sockets.size(); ++i) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = i;
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, sockets[i], &event);
  }
  return epoll;
}

void pin(std::uint64_t core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(core, &cores);
  sched_setaffinity(0, sizeof cores, &cores);
}

std::int64_t cpu_us() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1'000'000 + used.ru_utime.tv_usec +
         used.ru_stime.tv_usec;
}

}  // namespace tidegate::bench
