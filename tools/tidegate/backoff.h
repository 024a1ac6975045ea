#pragma once

#include <algorithm>
#include <chrono>
#include <random>

namespace tidegate {

// How long to wait before the next attempt: doubling, with jitter so that many clients of one
// gateway do not return at the same moment. Thread: caller serialises.
class Backoff {
 public:
  // `at_least_ms`: what the other side asked for.
  std::chrono::milliseconds next(std::uint32_t at_least_ms = 0) {
    const std::int64_t most = std::min<std::int64_t>(kFirstMs << std::min(attempts_, 10U), kMostMs);
    ++attempts_;
    std::uniform_int_distribution<std::int64_t> jitter(most / 2, most);
    return std::chrono::milliseconds(std::max<std::int64_t>(jitter(random_), at_least_ms));
  }
  // Attempts since the last success.
  unsigned attempts() const { return attempts_; }
  void succeeded() { attempts_ = 0; }

 private:
  static constexpr std::int64_t kFirstMs = 200;
  static constexpr std::int64_t kMostMs = 10'000;
  unsigned attempts_ = 0;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace tidegate
