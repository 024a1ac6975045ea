#pragma once

#include <atomic>
#include <cstddef>
#include <deque>
#include <memory>
#include <vector>

#include "eventstore/base/guarded.h"
#include "eventstore/segment.h"

namespace tidegate {

// The newest part of the log in memory, bounded by bytes. Events become visible when they are
// durable, never before.
//
// A reader asks for the segment that holds a sequence and walks it without locks; the segment stays
// alive as long as the reader holds it, also after the tail has dropped it. Thread: any (internally
// synchronised) for reading; `append` and `publish` by the appender only.
class Tail {
 public:
  // `start`: the durable end of the log when it was opened; the tail begins empty, right after it.
  Tail(std::size_t bytes_max, Head start);
  Tail(const Tail&) = delete;
  Tail& operator=(const Tail&) = delete;

  // Takes the next event; not yet visible.
  void append(const RecordView& record);
  // Makes everything up to `head` visible and drops the oldest segments beyond the byte limit.
  void publish(Head head);

  // Last durable sequence.
  Sequence head() const { return head_sequence_.load(std::memory_order_acquire); }
  // With its chain (takes a lock).
  Head durable_head() const;
  // Lowest sequence in memory; head() + 1 when empty.
  Sequence first() const { return first_.load(std::memory_order_acquire); }
  // The segment that holds `sequence`, or null when it is below first() or above head().
  SegmentRef find(Sequence sequence) const;
  std::size_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  // Whether it will soon begin to forget: three quarters are full. From then on the appender waits
  // before each group until the index reaches the middle of [first(), head()]
  // (LocalSequencer::wait_for_index), because readers of exact names take from the tail what the
  // index does not cover.
  bool is_nearly_full() const { return bytes() > bytes_max_ / 4 * 3; }

 private:
  struct State {
    std::deque<std::shared_ptr<Segment>> segments;  // by first sequence
    std::deque<Sequence> firsts;                    // first sequence of each, parallel
    Head head;
  };

  void start_segment(const RecordView& record);
  void drop_oldest();

  const std::size_t bytes_max_;
  Guarded<State> state_;
  std::shared_ptr<Segment> filling_;  // appender only; also the last of state_.segments
  std::vector<std::shared_ptr<Segment>>
      unpublished_;  // appender only: touched since the last publish
  std::atomic<Sequence> head_sequence_;
  std::atomic<Sequence> first_;
  std::atomic<std::size_t> bytes_{0};
};

}  // namespace tidegate
