#pragma once

#include <functional>

#include "eventstore/append.h"

namespace tidegate {

// Where order is decided: turns requests into events with a place. Everything else reads the local
// log only, so a replicated sequencer can take the embedded one's place. What it then owes:
//
//  1. Sequences from the head on without a gap, revisions without a gap in each stream, a chain
//  that
//     recomputes, append times that never decrease; each event to Tail::append in that order.
//  2. Durable before visible: Tail::publish after the sync that covers the events, and after
//     HeadFile::advance.
//  3. An answer after the sync of all that it was judged on, and after HEAD. The exception is a
//     successful `buffered` one.
//  4. After Tail::publish it wakes the listeners (EventStore::on_head_moved).
//  5. It writes the cursors: take_pending, put, the same sync, written; under Cursors::write_turn.
//  6. Before it numbers a group it waits for the index when the tail would forget what is not
//     indexed (Tail::is_nearly_full).
//  7. After a failed write or sync: `on_fatal`, and no answer any more.
//
// LocalSequencer::index_advanced and LocalSequencer::fail are not here: by them the upkeep thread,
// which owns the index and HEAD's sync, speaks to an appender that shares its disk. EventStore
// holds a LocalSequencer for their sake. Thread: any (internally synchronised).
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
