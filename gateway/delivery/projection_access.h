#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "eventstore/base/result.h"
#include "eventstore/types.h"
#include "projections/engine.h"
#include "projections/watch.h"

namespace tidegate {

// A page of rows that a session asks for.
struct QueryRequest {
  RowQuery query;
  // A place that the answer is to reflect as well, once it has been compared with the history.
  std::optional<Position> min_position;
};

// A session's place in the changes of a projection: `Watch` with an answer that comes later where
// that one blocks.
// Thread: I/O loop only. One step at a time: while one from disk is under way, nothing else is
// called. It may be dropped then; `done` still comes.
class RowCursor {
 public:
  virtual ~RowCursor() = default;

  // As of Watch.
  virtual Watch::Next next() const = 0;
  virtual WatchStep step_in_memory() = 0;
  // Also kOverloaded when too many reads wait; the place is where it was then.
  virtual void step_from_disk(std::function<void(Result<WatchStep>)> done) = 0;
  virtual void let_go() = 0;
};

// What sessions need from the projections. What may block answers later, on the loop that asked; an
// answer that comes after the asker has gone is the asker's business. Where projections are
// switched off every answer is kUnsupported. Thread: I/O loop only; every callback comes on the
// same loop, never from inside the call.
class ProjectionAccess {
 public:
  virtual ~ProjectionAccess() = default;

  // Whether there is such a projection now: kUnsupported, kNotFound. At once, without I/O.
  virtual Status check_exists(std::string_view name) const = 0;
  // As Engine::query; also kHistoryMismatch when `min_position` is not this log's.
  virtual void query(QueryRequest request, std::function<void(Result<RowPage>)> done) = 0;
  // As Engine::open_watch; also kOverloaded when too many reads wait or memory is short.
  virtual void open_watch(WatchRequest request,
                          std::function<void(Result<std::shared_ptr<RowCursor>>)> done) = 0;
  // Calls `changed` after rows, versions or projections have changed, once for many changes. It
  // ends with the returned handle.
  virtual std::shared_ptr<void> on_change(std::function<void()> changed) = 0;
};

}  // namespace tidegate
