#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>

#include "tools/bench/floor/floor.h"
#include "tools/bench/floor/loopback.h"
#include "tools/bench/floor/now.h"
#include "tools/bench/floor/synced_file.h"
#include "tools/tidegate/histogram.h"
#include "tools/tidegate/stay_awake.h"

namespace tidegate::bench {
namespace {

// Connects, reads whole messages, which begin with the time at which they were due, and says how
// late they were.
class Reader {
 public:
  Reader(const Loopback& server, const SendsOptions& options)
      : options_(options),
        sockets_(connect_all(server, options.subscribers)),
        epoll_(watch_all(sockets_)),
        partial_(options.subscribers) {}

  void run() {
    const std::uint64_t wanted = options_.subscribers * options_.events;
    std::array<epoll_event, 256> events;
    const auto wait = [&](int timeout_ms) {
      return ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), timeout_ms);
    };
    while (late_.count() < wanted) {
      int ready = poll_for_a_while(now_us, [&] { return wait(0); });
      if (ready == 0) ready = wait(-1);
      for (int i = 0; i < ready; ++i) read(events[static_cast<std::size_t>(i)].data.u64);
    }
  }

  const Histogram& late() const { return late_; }

 private:
  void read(std::uint64_t at) {
    std::array<char, 64 << 10> bytes;
    const ssize_t count = ::recv(sockets_[at], bytes.data(), bytes.size(), 0);
    if (count <= 0) ::_exit(1);
    const std::int64_t now = now_us();
    std::string& partial = partial_[at];
    partial.append(bytes.data(), static_cast<std::size_t>(count));
    std::size_t done = 0;
    for (; partial.size() - done >= options_.bytes; done += options_.bytes) {
      std::int64_t due_us = 0;
      std::memcpy(&due_us, partial.data() + done, sizeof due_us);
      late_.record(now - due_us);
    }
    partial.erase(0, done);
  }

  const SendsOptions options_;
  const std::vector<int> sockets_;
  const int epoll_;
  std::vector<std::string> partial_;
  Histogram late_;
};

[[noreturn]] void read_all(const Loopback& server, const SendsOptions& options, int report) {
  pin(options.read_core);
  Reader reader(server, options);
  reader.run();
  const std::array<std::uint64_t, 2> found = {reader.late().percentile_us(50),
                                              reader.late().percentile_us(99)};
  const bool is_told = ::write(report, found.data(), sizeof found) == sizeof found;
  ::_exit(is_told ? 0 : 1);
}

bool send_whole(int fd, const std::string& message) {
  return ::send(fd, message.data(), message.size(), MSG_NOSIGNAL) ==
         static_cast<ssize_t>(message.size());
}

}  // namespace

int measure_sends(const SendsOptions& options) {
  std::unique_ptr<SyncedFile> file;
  if (!options.sync_directory.empty()) {
    file = SyncedFile::make(options.sync_directory);
    if (!file) return 1;
  }
  const auto loopback = listen_on_loopback();
  std::array<int, 2> report{};
  if (!loopback || ::pipe(report.data()) != 0) return 1;
  const pid_t child = ::fork();
  if (child == 0) read_all(*loopback, options, report[1]);
  ::close(report[1]);
  pin(options.send_core);
  const std::vector<int> sockets = accept_all(*loopback, options.subscribers);

  std::string message(options.bytes, 'x');
  const auto interval_us = static_cast<std::int64_t>(1'000'000 / options.rate);
  const std::int64_t cpu_before_us = cpu_us();
  std::int64_t due_us = now_us();
  bool is_good = child > 0;
  for (std::uint64_t event = 0; event < options.events && is_good; ++event) {
    due_us += interval_us;
    const std::int64_t wait_us = due_us - now_us();
    if (wait_us > 0) std::this_thread::sleep_for(std::chrono::microseconds(wait_us));
    std::memcpy(message.data(), &due_us, sizeof due_us);
    if (file) is_good = file->append(message);
    for (const int fd : sockets) is_good = is_good && send_whole(fd, message);
  }
  const std::int64_t behind_us = now_us() - due_us;
  const std::int64_t used_us = cpu_us() - cpu_before_us;
  std::array<std::uint64_t, 2> found{};
  is_good = is_good && ::read(report[0], found.data(), sizeof found) == sizeof found;
  ::waitpid(child, nullptr, 0);
  if (!is_good) {
    fmt::print(stderr, "tidegate_floor: a connection or the file broke\n");
    return 1;
  }
  const auto sends = static_cast<double>(options.subscribers * options.events);
  fmt::print(
      "{{\"delivery_p50_us\":{},\"delivery_p99_us\":{},\"cpu_us_per_send\":{:.2f},"
      "\"behind_at_end_us\":{}}}\n",
      found[0], found[1], static_cast<double>(used_us) / sends, behind_us);
  return 0;
}

}  // namespace tidegate::bench
