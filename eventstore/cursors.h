#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "eventstore/base/clock.h"
#include "eventstore/base/guarded.h"
#include "eventstore/types.h"

namespace tidegate {

class Storage;
class StorageBatch;

// A named durable position as it is stored.
struct CursorState {
  Position position;
  std::int64_t acknowledged_time_us = 0;
  std::uint64_t generation = 0;
  Sequence lapsed_from = 0;  // 0, or where it stood before an accepted loss moved it (told once)
};

struct NamedCursor {
  std::string name;
  CursorState state;
};

struct OpenedCursor {
  std::uint64_t generation = 0;
  std::optional<CursorState> state;  // nothing: the cursor has no position yet
};

// Called once when the acknowledgement is on disk, on the appender thread; also when a later
// acknowledgement of the same cursor covered it, then with that position. Not called when the
// cursor was taken over, sought or removed meanwhile, or when the log ends first. It must not call
// `seek` or `remove`: the appender holds the turn to write.
//
// It has no error. A low disk is refused before: StoreAccess::acknowledge and `check_writable` in
// cursor_service.cc ask StoreStatus::cursors_refused and answer kDiskLow. When the space goes after
// that, the acknowledgement waits in memory, and the appender tries again every second.
using CursorDone = std::function<void(const Position&)>;

// Durable cursors: named positions, moved by acknowledgements. Acknowledgements are coalesced in
// memory and written by the appender with the next group, or after one second.
//
// A cursor is open in one place at a time. Opening it elsewhere, seeking and removing it start a
// new generation: the former holder is told (`taken_over`, on the calling thread) and its late
// acknowledgements are ignored. Thread: any (internally synchronised). Functions marked (disk) may
// block.
class Cursors {
 public:
  Cursors(Storage& storage, Clock& clock);
  Cursors(const Cursors&) = delete;
  Cursors& operator=(const Cursors&) = delete;

  // (disk) `taken_over` is called at most once, possibly before `open` returns to another caller.
  Result<OpenedCursor> open(std::string_view owner, std::string_view name,
                            std::function<void()> taken_over);
  // The holder is gone; nothing happens when the generation is not the current one.
  void close(std::string_view owner, std::string_view name, std::uint64_t generation);
  // False, and nothing happens, when the generation is not the current one. An acknowledgement at
  // or below the stored or pending position does not move it, and `done` is still called when that
  // one is on disk.
  bool acknowledge(std::string_view owner, std::string_view name, std::uint64_t generation,
                   const Position& position, CursorDone done);

  // (disk) Nothing when there is none. Pending acknowledgements are included.
  Result<std::optional<CursorState>> find(std::string_view owner, std::string_view name) const;
  // (disk) In name order, after `after_name` (exclusive), at most `limit`.
  Result<std::vector<NamedCursor>> list(std::string_view owner, std::string_view prefix,
                                        std::string_view after_name, std::size_t limit) const;
  // (disk) Synced before it returns. Creates the cursor when it is new.
  Result<CursorState> seek(std::string_view owner, std::string_view name, const Position& position);
  // (disk) kNotFound when there is none.
  Status remove(std::string_view owner, std::string_view name);

  // --- for the appender ---
  struct PendingWrite {
    std::string owner;
    std::string name;
    CursorState state;
    std::uint64_t generation = 0;
    std::vector<CursorDone> done;
  };
  // Called (outside any lock) when there is something to write and there was nothing before.
  void set_wake(std::function<void()> wake);
  bool has_pending() const;
  // From `take_pending` until `written` returns, the appender holds this; `seek` and `remove`,
  // which write on their caller's thread, hold it too. So an older acknowledgement is never written
  // after them.
  std::mutex& write_turn() { return write_turn_; }
  std::vector<PendingWrite> take_pending();
  static void put(StorageBatch& batch, const std::vector<PendingWrite>& writes);
  // What take_pending returned is on disk: calls their `done`.
  void written(std::vector<PendingWrite> writes);

 private:
  using Key = std::pair<std::string, std::string>;  // owner, name
  struct Open {
    std::uint64_t generation = 0;
    std::optional<CursorState> state;
    bool held = false;     // by a subscription
    bool dirty = false;    // in State::dirty
    bool writing = false;  // between take_pending and written
    std::function<void()> taken_over;
    std::vector<CursorDone> waiting;
  };
  struct State {
    std::map<Key, Open> open;
    std::vector<Key> dirty;
    std::function<void()> wake;
  };

  Result<std::optional<CursorState>> read(std::string_view owner, std::string_view name) const;
  static std::function<void()> mark_dirty(State& state, std::pair<const Key, Open>& cursor);
  static void forget_if_idle(State& state, std::map<Key, Open>::iterator place);
  std::function<void()> end_generation(const Key& key, std::optional<CursorState> next);

  Storage& storage_;
  Clock& clock_;
  std::mutex write_turn_;
  mutable Guarded<State> state_;
};

// The row of a cursor.
std::string encode_cursor(const CursorState& state);
Result<CursorState> decode_cursor(std::string_view value);

}  // namespace tidegate
