#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "eventstore/base/result.h"

namespace tidegate::load {

struct Options {
  std::string peer;
  std::uint16_t subscribe_port = 0;
  std::uint16_t publish_port = 0;
  std::vector<int> server_pids;
  std::uint64_t size = 128;
  double seconds = 5;
  std::uint64_t events = 0;      // ingest: 0 means as many as fit in `seconds`
  std::uint64_t publishers = 8;  // ingest
  std::uint64_t window = 64;     // ingest: of each publisher; fan-out: of the run
  std::uint64_t rate = 0;        // fan-out: events per second instead of a window
  std::uint64_t subscribers = 1000;
  double down_seconds = 2;  // storm
};

// Each prints a report. Errors are the peer's: it did not answer, or not as it should.
// Thread: caller serialises.

// Publishers with acknowledgements, each with a window of events in flight.
Status run_ingest(const Options& options);
// One publisher and many subscribers: flat out with a window of events that not all have received,
// or by a schedule that waits for nobody (open loop).
Status run_fanout(const Options& options);
// Subscribers that read the `events` which are stored already.
Status run_catchup(const Options& options);
// All subscribers of a schedule of events are cut at once and resume, while publishing goes on.
Status run_storm(const Options& options);
// What a connected and subscribed, but silent connection costs in memory.
Status run_idle(const Options& options);

}  // namespace tidegate::load
