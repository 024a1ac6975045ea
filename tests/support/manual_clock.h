#pragma once

#include <atomic>
#include <cstdint>

#include "eventstore/base/clock.h"

namespace tidegate::test {

// A clock that moves only when the test says so.
// Thread: any (internally synchronised).
class ManualClock final : public Clock {
 public:
  std::int64_t wall_us() const override { return kStartUs + now_ms_.load() * 1000; }
  std::int64_t steady_ms() const override { return now_ms_.load(); }
  void advance_ms(std::int64_t by) { now_ms_ += by; }

 private:
  static constexpr std::int64_t kStartUs = 1'700'000'000'000'000;
  std::atomic<std::int64_t> now_ms_{1'000'000};
};

}  // namespace tidegate::test
