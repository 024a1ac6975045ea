#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "eventstore/base/result.h"
#include "eventstore/event_store.h"
#include "tidegate/v1/event_service.pb.h"

namespace tidegate {

// A finite read of the log, one message at a time, forward or backward. It ends at the head that
// the log had when the read began.
//
// Backward, a place is the gap between two events: reading begins with the event at or before it,
// so that `position` of the last message continues the read in the same direction. `from_time`
// backward begins with the last event appended at or before the time. Thread: caller serialises.
// `begin` and `step` read the disk: read threads only.
class LogRead {
 public:
  // What the request says, checked without looking at the log. kBadArgument, kBadPattern,
  // kBadPosition.
  static Result<LogRead> make(const v1::ReadRequest& request);

  const Filter& filter() const { return filter_; }

  // Finds the two ends. kTrimmed, kHistoryMismatch, kDataLoss. The store must outlive this object.
  Status begin(const EventStore& store);

  enum class Step {
    kMore,     // nothing to send yet; call again, others first
    kMessage,  // `out` is to be sent; the next call takes an empty one
    kEnd,      // `out` is the last message
  };
  // Goes on with adding events to `out`. kTrimmed when the floor has overtaken the read, kDataLoss.
  Result<Step> step(v1::ReadResponse& out);

  // Bytes of the log that steps have read below the tail since this was last asked.
  std::size_t take_bytes_read() { return std::exchange(bytes_read_, 0); }

 private:
  LogRead() = default;

  Status begin_forward(Sequence head);
  Status begin_backward(Sequence head);
  Result<Sequence> resolve(const StartPlace& place) const;
  Result<bool> load_forward();
  Result<bool> load_backward();
  void take_chunk(ReadChunk chunk);
  // True when `out` is full or the limit is reached before the end of the chunk.
  bool take_forward(v1::ReadResponse& out);
  bool take_backward(v1::ReadResponse& out);
  bool add(const RecordView& record, v1::ReadResponse& out);
  bool is_at_end() const;
  Status set_position(v1::ReadResponse& out) const;

  // The request.
  Filter filter_ = Filter::everything();
  std::optional<StartPlace> start_;
  Sequence until_sequence_ = 0;
  std::optional<std::int64_t> until_time_us_;
  std::uint64_t limit_ = 0;
  bool is_backward_ = false;

  // The way through the log. Forward: (place_, end_] is left. Backward: [end_, place_) is left.
  const EventStore* store_ = nullptr;
  Sequence place_ = 0;
  Sequence end_ = 0;
  std::optional<Chain> chain_;  // at place_ (forward), when it is known
  std::optional<ReadChunk> chunk_;
  std::uint64_t returned_ = 0;
  std::size_t out_bytes_ = 0;
  std::size_t bytes_read_ = 0;
};

}  // namespace tidegate
