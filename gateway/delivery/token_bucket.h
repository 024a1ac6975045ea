#pragma once

#include <algorithm>
#include <cstdint>

namespace tidegate {

// Allows `burst` at once and `per_second` on average. Starts full.
// Thread: caller serialises.
class TokenBucket {
 public:
  TokenBucket(std::uint32_t per_second, std::uint32_t burst, std::int64_t now_ms)
      : per_second_(per_second), burst_(burst), tokens_(burst), filled_ms_(now_ms) {}

  // False, and nothing is taken, when fewer are left.
  bool take(std::int64_t now_ms, double amount = 1.0) {
    const double gained = static_cast<double>(now_ms - filled_ms_) * per_second_ / 1000.0;
    tokens_ = std::min(burst_, tokens_ + gained);
    filled_ms_ = now_ms;
    if (tokens_ < amount) return false;
    tokens_ -= amount;
    return true;
  }

 private:
  double per_second_;
  double burst_;
  double tokens_;
  std::int64_t filled_ms_;
};

}  // namespace tidegate
