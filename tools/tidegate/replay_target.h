#pragma once

#include <memory>
#include <string>

#include "eventstore/base/result.h"
#include "eventstore/types.h"
#include "tidegate/v1/event.pb.h"

namespace tidegate {

class Client;
class Interrupt;
class Output;

// Where a replay's events go.
// Thread: caller serialises.
class ReplayTarget {
 public:
  // What has arrived for good, since the target was made.
  struct Confirmed {
    Sequence sequence = 0;  // of the source
    std::uint64_t events = 0;
    std::uint64_t deduplicated = 0;
    std::uint64_t file_bytes = 0;
  };

  virtual ~ReplayTarget() = default;

  // Takes one event; its stream is the target's name for it. It may be confirmed later.
  virtual Status put(v1::RecordedEvent record) = 0;
  // Waits until everything that was put is confirmed.
  virtual Status flush() = 0;
  // The replay is complete; nothing is put any more.
  virtual Status finish() = 0;

  const Confirmed& confirmed() const { return confirmed_; }

 protected:
  Confirmed confirmed_;
};

// Prints like `read`; a table shows the events' own times if that is the clock. An error with
// `output.stopped()` having a value means that the reader has enough.
std::unique_ptr<ReplayTarget> make_output_target(Output& output, bool event_clock);

// JSON Lines in `path`.partial, which becomes `path` in the end. `bytes` of a partial file are kept
// (a replay that goes on). kCheckFailed when `path` exists already.
Result<std::unique_ptr<ReplayTarget>> make_file_target(const std::string& path,
                                                       std::uint64_t bytes);

// Publishes with the events' own ids, so that doing it twice is harmless. The first refused event
// ends the replay.
std::unique_ptr<ReplayTarget> make_gateway_target(Client& client, Interrupt& interrupt);

}  // namespace tidegate
