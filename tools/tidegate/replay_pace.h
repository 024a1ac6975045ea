#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "eventstore/base/result.h"

namespace tidegate {

// When each event of a replay is due: the original distances divided by the speed, silences cut,
// never faster than a rate. Pure: all times are arguments. Thread: caller serialises.
class ReplayPace {
 public:
  struct Options {
    double speed = 1;  // 0: as fast as possible
    std::int64_t max_gap_us =
        -1;                  // longest wait between two events, as it is played; below 0: none
    std::uint64_t rate = 0;  // events per second; 0: no limit
  };

  explicit ReplayPace(const Options& options) : options_(options) {}

  // When the next event is due, in microseconds since the replay began. `time_us` is when it
  // happened; events may come out of their order in time, a late one is due at once. `elapsed_us`
  // is now, which only the rate cares about: a target that was slow is not made up for with a
  // burst.
  std::int64_t next(std::int64_t time_us, std::int64_t elapsed_us);

  bool is_timed() const { return options_.speed > 0; }

 private:
  Options options_;
  std::optional<std::int64_t> newest_us_;
  double schedule_us_ = 0;
  double slot_us_ = 0;  // when the rate has room for another event
};

// "1", "0.5", "600", "10x" or "max" (0). kBadArgument.
Result<double> parse_speed(std::string_view text);

}  // namespace tidegate
