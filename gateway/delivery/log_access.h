#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "eventstore/append.h"
#include "eventstore/filter.h"
#include "eventstore/reader.h"
#include "eventstore/segment.h"

namespace tidegate {

// What a subscribe asks of the log.
struct OpenSubscription {
  Filter filter;
  StartPlace place;
  // Durable cursor, or empty. Once it has a position, that is the start; a further `AfterPosition`
  // or `AfterSequence` counts as an acknowledgement.
  std::string owner;
  std::string cursor;
  // Called on the loop when the cursor was opened elsewhere, sought or removed.
  std::function<void()> taken_over;
};

struct OpenedSubscription {
  ResolvedStart start;
  std::uint64_t generation = 0;  // of the cursor
  // Where the cursor stood before an accepted loss moved it; 0: it was not moved.
  Sequence lapsed_from = 0;
};

struct CursorAck {
  std::string owner;
  std::string cursor;
  std::uint64_t generation = 0;
  Sequence sequence = 0;
  std::optional<Position> claimed;  // to compare with the history
};

// What sessions need from the log. Everything that may block answers later, on the loop that asked;
// an answer that comes after the asker has gone is the asker's business (sessions hold a weak
// handle). Thread: I/O loop only; every callback comes on the same loop, never from inside the
// call.
class LogAccess {
 public:
  virtual ~LogAccess() = default;

  virtual LogId log_id() const = 0;
  virtual Sequence head() const = 0;
  virtual Sequence floor() const = 0;
  virtual Sequence tail_first() const = 0;
  // Null when the sequence is not in memory.
  virtual SegmentRef tail_segment(Sequence sequence) const = 0;

  // Runs `run` on this loop after its other work: how a turn that has more to do gives way.
  virtual void later(std::function<void()> run) = 0;
  // `look_ups` as for Reader::read. kOverloaded when too many reads wait.
  virtual void read(const Filter& filter, Sequence after, std::size_t look_ups,
                    std::function<void(Result<ReadChunk>)> done) = 0;
  // Resolves the place and opens the cursor. After a success with a cursor, whatever the outcome,
  // its generation is held until `close_cursor`; after an error nothing is.
  virtual void open(OpenSubscription request,
                    std::function<void(Result<OpenedSubscription>)> done) = 0;
  // `done` when the cursor is on disk; kTrimmed when the claim can no longer be compared;
  // kBadPosition when the claim is not this log's history; kDiskLow below the hard floor and
  // kOverloaded when too many reads wait, both before the cursor is touched. No call at all when
  // the generation is over (taken_over tells).
  virtual void acknowledge(CursorAck ack, std::function<void(Result<Position>)> done) = 0;
  virtual void close_cursor(const std::string& owner, const std::string& cursor,
                            std::uint64_t generation) = 0;
  // `done` with what AppendDone says, or with the refusal of a full queue.
  virtual void publish(AppendRequest request, std::function<void(Result<AppendResult>)> done) = 0;
};

}  // namespace tidegate
