#pragma once

#include <atomic>
#include <cstdint>

namespace tidegate {

// How far the memory that the process may use is used up, and so what is refused.
enum class Pressure : std::uint8_t {
  kNone,
  kHigh,      // subscriptions that would begin by reading the disk
  kCritical,  // new connections too
};

// Who measures sets it, who grants asks it. Thread: any (internally synchronised).
class PressureGauge {
 public:
  Pressure level() const { return level_.load(std::memory_order_relaxed); }
  void set(Pressure level) { level_.store(level, std::memory_order_relaxed); }

 private:
  std::atomic<Pressure> level_{Pressure::kNone};
};

}  // namespace tidegate
