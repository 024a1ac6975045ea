#pragma once

#include <functional>
#include <optional>
#include <string>

#include "eventstore/base/result.h"
#include "eventstore/history.h"
#include "eventstore/open.h"
#include "eventstore/storage.h"

namespace tidegate {

// Reading what is left of a damaged log. Thread: caller serialises.

// What is known of the event before the first one that is held.
LogEnd before_first(const Floor& floor);

// The value of the event after `end`, which moves to it; nothing when it is missing, cannot be
// read, or does not follow by its chain. It reads by key, because an iterator needs the first block
// of every table before it gives the first row.
std::optional<std::string> next_readable(const Storage& storage, LogEnd& end);

struct Salvaged {
  bool all_cursors = true;
  // False when revisions of streams without events above the floor may be forgotten.
  bool all_streams = true;
  // Of projections; their rows are never copied.
  bool all_definitions = true;
};

// Copies what can be read to the empty storage `to`: the events up to the first one that cannot,
// cursors, the index, definitions of projections, and `history`. An index that is damaged is left
// out, but for what cannot be derived anew: what it says of streams below the floor. So are the
// rows of projections, which might have holes. `has_room` is asked before every few megabytes; its
// error ends the copying. Not durable before the next synced write to `to`.
Result<Salvaged> copy_readable(const Storage& from, const History& history, Storage& to,
                               const std::function<Status()>& has_room);

}  // namespace tidegate
