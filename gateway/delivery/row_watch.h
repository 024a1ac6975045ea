#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "gateway/delivery/projection_access.h"

namespace tidegate {

// Rows of a projection that a session tells its peer: a watch, or the snapshot that stands in for
// the events of a subscription that are gone.
//
//   OPEN --opened--> NOTHING <--> READ     a step from disk is under way
//                       ^  ^----> TICK     the log had no room for it, or the budget is used up
//                       +-------> CHANGE   everything was told
//
// A step is taken in a turn of the session, when the socket is free, and told at once; one that
// comes from disk meanwhile waits here, and the session has one of these at a time. So a peer that
// does not read holds one step, whatever it watches.
//
// The session owns it and decides what is next (session_rows.cc). Thread: I/O loop only.
struct RowWatch {
  enum class Wait : std::uint8_t { kNothing, kOpen, kRead, kTick, kChange };

  std::string id;
  std::uint64_t number = 0;        // unique in the loop: what answers that come late are for
  std::uint64_t subscription = 0;  // whose snapshot it is; 0: a watch of the peer
  std::string projection;
  std::size_t selected_bytes = 0;  // of the keys that it names

  std::shared_ptr<RowCursor> cursor;  // null: not open yet
  Wait wait = Wait::kOpen;
  std::optional<WatchStep> step;  // came from disk and is to be told
  std::int64_t read_at_ms = 0;    // no step from disk before that: the budget

  // The peer has rows, or knows that there are none: what a reset is told for.
  bool has_told = false;
  // A place at which the peer's rows are right, which it was not told; whether it is to be told at
  // once, because rows came before it, or as progress.
  std::optional<WatchPlace> untold;
  bool owes_place = false;
  std::int64_t told_ms = 0;

  bool wants_turn() const { return wait == Wait::kNothing; }
  // While a step may still bring a reset, the place is none to tell.
  bool has_progress() const { return wait == Wait::kChange && untold.has_value(); }
};

// What a subscription falls back on when events after its place are gone.
// Thread: immutable.
struct SnapshotSource {
  std::string projection;
  RowSelection selection;
};

}  // namespace tidegate
