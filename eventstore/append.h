#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "eventstore/base/result.h"
#include "eventstore/types.h"

namespace tidegate {

// Thread: caller serialises (value types of this file).

inline constexpr std::size_t kEventBytesMax = 1 << 20;
inline constexpr std::size_t kBatchEventsMax = 1000;
inline constexpr std::size_t kBatchBytesMax = 4 << 20;
inline constexpr std::size_t kChecksMax = 64;

// A validated event that asks for a place in the log (gateway/cloudevents makes it).
struct NewEvent {
  std::string stream;
  std::string event;  // canonical serialised tidegate.v1.CloudEvent; `id`, `source` and `type` are
                      // read from it
};

// A precondition of a request: the stream's last revision.
struct Check {
  enum class Kind : std::uint8_t { kRevision, kAbsent, kPresent };
  std::string stream;
  Kind kind = Kind::kRevision;
  Revision revision = 0;  // of kRevision; 0 means absent
};

enum class Durability : std::uint8_t { kSynced, kBuffered };

struct Appended {
  Sequence sequence = 0;
  Revision revision = 0;
  bool deduplicated = false;
};

struct AppendResult {
  std::vector<Appended> events;  // in the order of the request
  // After the one of them that is last in the log. That need not be the last one of the request
  // when some are repetitions; so a reader that goes on from here meets none of them.
  Position position;
  Durability durability = Durability::kSynced;
};

// Called exactly once, on the appender thread: it must not block. Not called at all after a fatal
// disk error.
using AppendDone = std::function<void(Result<AppendResult>)>;

// One publish request: all of it is appended, or nothing.
struct AppendRequest {
  std::vector<NewEvent> events;
  std::vector<Check> checks;
  Durability durability = Durability::kSynced;
  AppendDone done;

  // What it counts against the bound of the ingest queue.
  std::size_t bytes() const {
    std::size_t sum = 256;
    for (const NewEvent& event : events) sum += event.stream.size() + event.event.size() + 128;
    return sum;
  }
};

}  // namespace tidegate
