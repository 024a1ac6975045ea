#pragma once

#include <functional>

#include "eventstore/append.h"

namespace tidegate {

// Where order is decided: turns requests into events with a place. Everything else reads the local
// log only, so a replicated sequencer can take the embedded one's place (DESIGN section 9). Thread:
// any (internally synchronised).
class Sequencer {
 public:
  virtual ~Sequencer() = default;

  // See EventStore::append and EventStore::when_room.
  virtual Status append(AppendRequest& request) = 0;
  virtual void when_room(std::function<void()> ready) = 0;
  virtual std::size_t queued_bytes() const = 0;
  // Refuses new requests, answers what is queued, and returns when that is done.
  virtual void stop() = 0;
};

}  // namespace tidegate
