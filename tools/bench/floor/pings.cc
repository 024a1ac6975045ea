#include <array>
#include <cstdio>
#include <string_view>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>

#include "tools/bench/floor/floor.h"
#include "tools/bench/floor/loopback.h"
#include "tools/bench/floor/now.h"

namespace tidegate::bench {
namespace {

// An empty ping frame of a server, and the masked pong to it (RFC 6455 section 5.5).
constexpr std::string_view kPing("\x89\x00", 2);
constexpr std::string_view kPong("\x8A\x80\x00\x00\x00\x00", 6);
// As often as a loop of the gateway looks whose ping is due.
constexpr std::int64_t kTickUs = 250'000;

using Events = std::array<epoll_event, 256>;

bool send_all(int fd, std::string_view bytes) {
  return ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
}

// Answers until the other side ends.
[[noreturn]] void answer_all(const Loopback& loopback, const PingsOptions& options) {
  pin(options.answer_core);
  const std::vector<int> sockets = connect_all(loopback, options.connections);
  const int epoll = watch_all(sockets);
  Events events;
  std::array<char, 64> bytes;
  while (true) {
    const int ready = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < ready; ++i) {
      const int fd = sockets[events[static_cast<std::size_t>(i)].data.u64];
      if (::recv(fd, bytes.data(), bytes.size(), 0) <= 0 || !send_all(fd, kPong)) ::_exit(0);
    }
  }
}

// The answers that have come by then; false when a connection broke.
bool take_answers(int epoll, const std::vector<int>& sockets, std::int64_t until_us,
                  std::uint64_t& answers) {
  Events events;
  std::array<char, 64> bytes;
  for (std::int64_t left_us = until_us - now_us(); left_us > 0; left_us = until_us - now_us()) {
    const int ready = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()),
                                   static_cast<int>(left_us / 1000 + 1));
    for (int i = 0; i < ready; ++i) {
      const int fd = sockets[events[static_cast<std::size_t>(i)].data.u64];
      if (::recv(fd, bytes.data(), bytes.size(), 0) <= 0) return false;
      ++answers;
    }
  }
  return true;
}

}  // namespace

int measure_pings(const PingsOptions& options) {
  const auto loopback = listen_on_loopback();
  if (!loopback) return 1;
  const pid_t child = ::fork();
  if (child == 0) answer_all(*loopback, options);
  pin(options.ping_core);
  const std::vector<int> sockets = accept_all(*loopback, options.connections);
  const int epoll = watch_all(sockets);
  const std::int64_t cpu_before_us = cpu_us();
  const std::int64_t begin_us = now_us();
  const auto period_us = static_cast<std::int64_t>(options.period_ms) * 1000;
  std::uint64_t pinged = 0;
  std::uint64_t answers = 0;
  bool is_good = child > 0;
  // Each connection once, evenly over the period.
  for (std::int64_t at_us = kTickUs; pinged < sockets.size() && is_good; at_us += kTickUs) {
    const double part = static_cast<double>(at_us) / static_cast<double>(period_us);
    const auto due = static_cast<std::uint64_t>(part * static_cast<double>(sockets.size())) + 1;
    for (; pinged < sockets.size() && pinged < due; ++pinged) {
      is_good = is_good && send_all(sockets[pinged], kPing);
    }
    is_good = is_good && take_answers(epoll, sockets, begin_us + at_us, answers);
  }
  while (is_good && answers < pinged) {
    is_good = take_answers(epoll, sockets, now_us() + kTickUs, answers);
  }
  const std::int64_t used_us = cpu_us() - cpu_before_us;
  for (const int fd : sockets) ::close(fd);
  ::waitpid(child, nullptr, 0);
  if (!is_good) {
    fmt::print(stderr, "tidegate_floor: a connection broke\n");
    return 1;
  }
  const double each = static_cast<double>(used_us) / static_cast<double>(pinged);
  fmt::print("{{\"pings\":{},\"cpu_us_per_ping\":{:.2f}}}\n", pinged, each);
  return 0;
}

}  // namespace tidegate::bench
