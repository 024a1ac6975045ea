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

  // False when nothing is left.
  bool take(std::int64_t now_ms) {
    const double gained = static_cast<double>(now_ms - filled_ms_) * per_second_ / 1000.0;
    tokens_ = std::min(burst_, tokens_ + gained);
    filled_ms_ = now_ms;
    if (tokens_ < 1.0) return false;
    tokens_ -= 1.0;
    return true;
  }

 private:
  double per_second_;
  double burst_;
  double tokens_;
  std::int64_t filled_ms_;
};

}  // namespace tidegate
