#include "tools/tidegate/replay_pace.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

namespace tidegate {
namespace {

// A timer is late by some tens of microseconds; without this allowance a high rate would not be
// reached.
constexpr double kRateSlackUs = 10'000;
constexpr double kSpeedMax = 1e9;

}  // namespace

std::int64_t ReplayPace::next(std::int64_t time_us, std::int64_t elapsed_us) {
  if (options_.speed > 0 && newest_us_ && time_us > *newest_us_) {
    double wait = static_cast<double>(time_us - *newest_us_) / options_.speed;
    if (options_.max_gap_us >= 0) wait = std::min(wait, static_cast<double>(options_.max_gap_us));
    schedule_us_ += wait;
  }
  newest_us_ = std::max(newest_us_.value_or(time_us), time_us);
  if (options_.rate == 0) return std::llround(schedule_us_);
  const double due = std::max(schedule_us_, slot_us_);
  const double sent = std::max(due, static_cast<double>(elapsed_us) - kRateSlackUs);
  slot_us_ = sent + 1e6 / static_cast<double>(options_.rate);
  return std::llround(due);
}

Result<double> parse_speed(std::string_view text) {
  if (text == "max") return 0.0;
  std::string_view digits = text;
  if (digits.ends_with('x')) digits.remove_suffix(1);
  double speed = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), speed,
                                            std::chars_format::fixed);
  const bool whole = error == std::errc() && end == digits.data() + digits.size();
  if (whole && std::isfinite(speed) && speed > 0 && speed <= kSpeedMax) return speed;
  return Error{Code::kBadArgument,
               fmt::format("'{}' is not a speed: a number above 0 (1, 0.5, 600) or max", text)};
}

}  // namespace tidegate
