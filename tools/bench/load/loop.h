#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <span>
#include <sys/epoll.h>
#include <unistd.h>

#include "eventstore/base/check.h"
#include "tools/tidegate/stay_awake.h"

namespace tidegate::load {

// Microseconds of a clock that never jumps.
inline std::int64_t now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// The epoll set of a scenario.
// Thread: caller serialises.
class Loop {
 public:
  Loop() : fd_(epoll_create1(EPOLL_CLOEXEC)) { TG_CHECK(fd_ >= 0); }
  ~Loop() { close(fd_); }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  int fd() const { return fd_; }

  // For events that come by a schedule (stay_awake.h).
  void stay_awake() { stays_awake_ = true; }

  // Waits until something happens or it is `until_us`. Valid until the next call.
  std::span<const epoll_event> wait(std::int64_t until_us) {
    if (stays_awake_) {
      const int found = poll_for_a_while(now_us, [this] {
        return epoll_wait(fd_, events_.data(), static_cast<int>(events_.size()), 0);
      });
      if (found > 0) return {events_.data(), static_cast<std::size_t>(found)};
    }
    const std::int64_t wait_us = std::max<std::int64_t>(until_us - now_us(), 0);
    const timespec timeout{wait_us / 1'000'000, wait_us % 1'000'000 * 1000};
    const int count =
        epoll_pwait2(fd_, events_.data(), static_cast<int>(events_.size()), &timeout, nullptr);
    return {events_.data(), static_cast<std::size_t>(std::max(count, 0))};
  }

 private:
  int fd_;
  bool stays_awake_ = false;
  std::array<epoll_event, 128> events_{};
};

}  // namespace tidegate::load
