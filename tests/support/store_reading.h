#pragma once

#include <string>
#include <vector>

#include "eventstore/event_store.h"

namespace tidegate::test {

// A copy of an event of the log.
struct LoggedEvent {
  Sequence sequence = 0;
  Revision revision = 0;
  std::int64_t append_time_us = 0;
  Chain chain = 0;
  std::string stream;
  std::string type;
  std::string event;
  friend bool operator==(const LoggedEvent&, const LoggedEvent&) = default;
};

// Every event after `after` that the filter matches, by Reader::read up to the head. An error also
// when a step breaks the reader's contract (no progress, order, examined above the head).
Result<std::vector<LoggedEvent>> read_log(const EventStore& store, const Filter& filter,
                                          Sequence after);
// From the floor.
Result<std::vector<LoggedEvent>> read_log(const EventStore& store, const Filter& filter);
Result<std::vector<LoggedEvent>> read_log(const EventStore& store);

// Every event below `before` that the filter matches, newest first, by Reader::read_backward.
Result<std::vector<LoggedEvent>> read_log_backward(const EventStore& store, const Filter& filter,
                                                   Sequence before);

}  // namespace tidegate::test
