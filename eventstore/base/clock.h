#pragma once

#include <chrono>
#include <cstdint>

namespace tidegate {

// The two clocks of the system, injectable.
// Thread: any (internally synchronised).
class Clock {
 public:
  virtual ~Clock() = default;

  // Wall time in microseconds since 1970-01-01 UTC. May jump; nothing is ordered by it.
  virtual std::int64_t wall_us() const = 0;

  // For timeouts and intervals; never goes back. Milliseconds since an arbitrary start.
  virtual std::int64_t steady_ms() const = 0;
};

class SystemClock final : public Clock {
 public:
  std::int64_t wall_us() const override {
    return std::chrono::duration_cast<std::chrono::microseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
  std::int64_t steady_ms() const override {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
};

}  // namespace tidegate
