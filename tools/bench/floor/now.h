#pragma once

#include <chrono>
#include <cstdint>

namespace tidegate::bench {

// The steady clock in microseconds: the same for both processes of a measurement.
inline std::int64_t now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace tidegate::bench
