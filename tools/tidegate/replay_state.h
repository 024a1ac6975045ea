#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "eventstore/base/result.h"
#include "eventstore/types.h"

namespace tidegate {

// How far a replay has come, as its --state file keeps it.
// Thread: immutable (a value; the functions are pure but for the file).
struct ReplayState {
  std::string log = {};        // log id
  std::string arguments = {};  // what decides which events are replayed and where they go
  // Resume reading here (checked against the history; empty: at the beginning) and pass over what
  // is not above `sequence`, the last event that the target confirmed.
  std::string position = {};
  Sequence sequence = 0;
  std::uint64_t events = 0;  // confirmed
  Sequence end = 0;          // the replay's last sequence, fixed when it first began
  // The window of --clock event, fixed with it, so that `-15m` means the same after a pause.
  std::int64_t from_us = INT64_MIN;
  std::int64_t until_us = INT64_MAX;
  std::uint64_t file_bytes = 0;  // confirmed, of --to-file
  bool complete = false;

  friend bool operator==(const ReplayState&, const ReplayState&) = default;
};

std::string to_json(const ReplayState& state);
// kBadArgument when the text is no state of this version.
Result<ReplayState> replay_state_from_json(std::string_view json);

// Nothing when there is no such file.
Result<std::optional<ReplayState>> load_replay_state(const std::string& path);
// Atomically: the file is the old state or the new one, also after a power loss.
Status save_replay_state(const std::string& path, const ReplayState& state);

// Whether a replay of `log` with these arguments may go on from the state: kHistoryMismatch,
// kBadArgument.
Status check_resumable(const ReplayState& state, std::string_view log, std::string_view arguments);

}  // namespace tidegate
