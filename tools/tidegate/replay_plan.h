#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "eventstore/base/result.h"
#include "tidegate/v1/event_service.pb.h"
#include "tools/tidegate/command.h"
#include "tools/tidegate/replay_pace.h"
#include "tools/tidegate/selection.h"
#include "tools/tidegate/stream_map.h"

namespace tidegate {

// What was typed after `tidegate replay`.
struct ReplayOptions {
  Selection selection;
  std::string speed = "1";
  std::string max_gap;
  std::uint64_t rate = 0;
  std::string clock = "event";
  std::string to;
  std::string to_token_file;
  TlsChoice to_tls;
  std::string to_file;
  std::vector<std::string> map;
  std::string state;
  bool yes = false;
  bool dry_run = false;
};

// The same, checked: which events, when each is due, and what its stream is called at the target.
// Thread: immutable.
class ReplayPlan {
 public:
  // kBadArgument, kBadPattern. `now_us` is what relative times count from.
  static Result<ReplayPlan> make(const ReplayOptions& options, std::int64_t now_us);

  // When an event happened by the clock that was chosen; one without a time of its own by its
  // append time.
  std::int64_t time_us(const v1::RecordedEvent& record) const;

  v1::ReadRequest request;  // filter and ends, as far as the log itself knows them
  // The window of --clock event, which the log cannot look up.
  std::int64_t from_us = INT64_MIN;
  std::int64_t until_us = INT64_MAX;
  std::uint64_t limit = 0;
  ReplayPace::Options pace;
  StreamMap map;
  // What decides which events are replayed and where to; two runs of one --state file must agree in
  // it.
  std::string arguments;

 private:
  ReplayPlan() = default;
  Status set_ends(const ReplayOptions& options, std::int64_t now_us);
  Status set_pace(const ReplayOptions& options);

  bool event_clock_ = true;
};

}  // namespace tidegate
