#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include <absl/container/inlined_vector.h>

#include "eventstore/filter.h"
#include "eventstore/reader.h"
#include "gateway/delivery/codec.h"
#include "gateway/delivery/interest_index.h"
#include "gateway/delivery/place.h"
#include "gateway/delivery/row_watch.h"

namespace tidegate {

class SessionCore;

// What to do when events after the place are gone.
enum class GapAnswer : std::uint8_t { kEnd, kGoOnFromFloor, kSnapshot };

// A durable cursor that a subscription holds.
struct HeldCursor {
  std::string name;              // empty: none
  std::uint64_t generation = 0;  // 0: not opened
};

// A subscription: a place in the log and a filter. It takes the next matching events after its
// place, from the list of what was dispatched while it was live, from the tail, or from disk.
//
//   OPENING --opened--> BEHIND --place reaches what the loop has dispatched--> LIVE
//      ^                  |  ^                                                   |
//      +---events gone----+  +---list full, window full, or a write is stuck-----+
//
// LIVE: dispatched events are listed until a message takes them. With an empty list the place is
// implicitly the loop's. BEHIND: dispatched events are ignored; the place moves with every examined
// event, matching or not. It may wait for a read, for an acknowledgement (window), or for the next
// tick (the log had no room for its read).
//
// What it holds. LIVE: the list and its pins, until a message takes them, it falls behind, or a
// write is stuck. BEHIND: at most one chunk of a read, until it is used up, the window is full at
// the next matching event, the filter changes, or a write is stuck (`let_go`); of the tail's
// segments none. In any state: with a window, the sequences that are not acknowledged.
//
// The session owns it and tells the peer what happens; this class decides what is next.
// Thread: I/O loop only.
class Subscription final : public Interested {
 public:
  enum class State : std::uint8_t { kOpening, kBehind, kLive };
  enum class Wait : std::uint8_t { kNothing, kRead, kWindow, kTick };

  struct Settings {
    std::string id;
    Filter filter;
    std::uint32_t window = 0;  // 0: none
    GapAnswer on_gap = GapAnswer::kEnd;
    std::uint64_t number = 0;  // unique in the loop: what answers that come late are for
    HeldCursor cursor;
    std::unique_ptr<const SnapshotSource> snapshot;  // of kSnapshot
  };
  Subscription(SessionCore& session, Settings settings);
  ~Subscription() override;
  Subscription(const Subscription&) = delete;
  Subscription& operator=(const Subscription&) = delete;

  const std::string& id() const { return settings_.id; }
  std::uint64_t number() const { return settings_.number; }
  const Filter& filter() const { return settings_.filter; }
  const HeldCursor& cursor() const { return settings_.cursor; }
  void hold(std::uint64_t generation) { settings_.cursor.generation = generation; }
  GapAnswer on_gap() const { return settings_.on_gap; }
  const SnapshotSource* snapshot() const { return settings_.snapshot.get(); }
  bool is_opening() const { return state_ == State::kOpening; }

  // Its place is known: it is BEHIND and owes a `caught_up`.
  void begin_at(const Place& place);
  // The place is to be found anew.
  void begin_again();
  // Everything up to here was examined, and what matched was handed to messages.
  Place reached() const;

  void offer(const SegmentRef& segment, std::size_t index, const RecordView& record) override;

  // Whether `fill` would get anywhere.
  bool wants_turn() const;
  // Adds the next matching events until the message is full, nothing is in reach, or `records` more
  // were examined (it counts down). May tell `caught_up` or `fell_behind` by the session's outbox,
  // which goes after the message.
  void fill(EventsMessage& message, std::size_t& records);
  // After the last event that `fill` added.
  const Place& last_filled() const { return last_filled_; }

  // Whether it waits for this read: an answer to any other is out of date and to be dropped.
  bool is_reading(std::uint64_t read) const { return wait_ == Wait::kRead && read == read_; }
  void on_read(ReadChunk chunk);
  // The next read has to wait until then: the subject's budget is used up.
  void read_not_before(std::int64_t time_ms) { read_at_ms_ = time_ms; }
  void retry_at_tick() { wait_ = Wait::kTick; }

  // Events after `reached` come by the new filter.
  void change_filter(Filter filter);
  // Cumulative; frees the window.
  void acknowledge(Sequence sequence);

  // Holds no memory of the log any more: a write is stuck.
  void let_go();
  // The loop can no longer dispatch what follows its place.
  void fall_behind();
  void tick(std::int64_t now_ms);
  static constexpr std::int64_t kWhenTheLoopMoves = INT64_MAX;
  // When `tick` or `is_position_due` is next to be asked: a time, or kWhenTheLoopMoves.
  std::int64_t next_tick_ms(std::int64_t now_ms) const;

  // The highest place that the peer was told, which it may acknowledge.
  Sequence told() const { return told_; }
  void note_told(Sequence sequence, std::int64_t now_ms);
  bool is_position_due(std::int64_t now_ms) const;

  // Acknowledgements of the cursor: one is under way at a time, the newest of the others waits.
  struct Claim {
    Sequence sequence = 0;
    std::optional<Position> position;
  };
  bool is_acknowledging = false;
  std::optional<Claim> next_claim;
  // `update` operations that wait for the place to be known.
  std::uint32_t updates_waiting = 0;
  // Where the last snapshot stood, until delivery goes on from there.
  std::optional<Sequence> snapshot_at;
  // OPENING: its place is to be asked for again at the next tick.
  std::optional<StartPlace> open_at_tick;
  // In the loop's index, from the first time that its place is known.
  bool is_indexed = false;

 private:
  // Events that follow one another in a segment.
  struct Run {
    std::uint32_t pin = 0;
    std::uint32_t first = 0;
    std::uint32_t count = 0;

    std::size_t end() const { return std::size_t{first} + count; }
  };

  void fill_live(EventsMessage& message);
  void fill_behind(EventsMessage& message, std::size_t& records);
  // Examines events in (place, until]. False when it must stop before the end.
  bool walk(const SegmentRef& segment, Sequence until, EventsMessage& message,
            std::size_t& records);
  // False when the event has to wait.
  bool take(const SegmentRef& segment, std::size_t index, EventsMessage& message);
  bool is_window_full(std::size_t listed) const;
  void begin_read();
  std::size_t next_look_ups();
  void become_live();
  void clear_list();

  // What every delivery looks at comes first, in as few lines of the processor's cache as it can.
  SessionCore& session_;
  State state_ = State::kOpening;
  Wait wait_ = Wait::kNothing;
  Place place_;
  // LIVE: matching events after place_, at most limits.batch_events. Each segment is pinned once.
  absl::InlinedVector<Run, 1> list_;
  std::size_t listed_ = 0;  // events in it
  absl::InlinedVector<SegmentRef, 1> pins_;
  Place last_filled_;
  Sequence told_ = 0;
  std::int64_t told_ms_ = 0;
  Settings settings_;

  // BEHIND: what a read brought and is not used up.
  std::optional<ReadChunk> chunk_;
  std::uint64_t read_ = 0;
  std::int64_t read_at_ms_ = 0;
  std::uint32_t reads_here_ = 0;  // since its place was found
  std::int64_t behind_since_ms_ = 0;
  // `subscribed` or `fell_behind` was told and `caught_up` not yet.
  bool owes_caught_up_ = false;

  // With a window: delivered and not acknowledged, ascending, at most settings_.window. (An empty
  // deque holds memory.)
  std::optional<std::deque<Sequence>> unacknowledged_;
};

}  // namespace tidegate
