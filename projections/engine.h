#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/base/clock.h"
#include "eventstore/base/result.h"
#include "eventstore/types.h"
#include "projections/row.h"
#include "projections/row_store.h"
#include "projections/watch.h"

namespace tidegate {

class EventStore;

// What the engine tells its observer: verbs without names of metrics.
// Thread: any (internally synchronised by the implementation); called on the folding thread.
class ProjectionProbe {
 public:
  virtual ~ProjectionProbe() = default;
  virtual void committed(std::string_view /*projection*/, std::size_t /*events*/,
                         std::size_t /*rows*/, std::int64_t /*commit_us*/) {}
  virtual void failed(std::string_view /*projection*/) {}
};

// Why a version does not go on. Null in VersionInfo: it does. Not kept over a restart: the version
// then tries again by itself.
struct FoldFailure {
  Sequence sequence = 0;  // of the event; 0: not the fault of an event
  std::string stream;
  std::string type;
  std::string message;
};

struct VersionInfo {
  enum class State : std::uint8_t {
    kBuilding,  // folds beside the live one and takes over when it has caught up
    kLive,      // answers queries and watches
    kRetired,   // was live before; for rollback; does not fold
  };
  std::uint32_t number = 0;
  State state = State::kBuilding;
  std::string definition;  // TOML
  std::int64_t created_us = 0;
  Checkpoint checkpoint;
  // Where its fold began: 0, or the floor - 1 of a trimmed log.
  Sequence began_after = 0;
  std::optional<FoldFailure> failure;
  std::vector<Sequence> skipped;  // events that an operator left out
};

struct ProjectionInfo {
  std::string name;
  std::string description;
  bool is_paused = false;
  bool is_built_in = false;
  std::vector<VersionInfo> versions;  // by number; at most one of each state
  Sequence head = 0;

  const VersionInfo* live() const;
  const VersionInfo* building() const;
};

struct RowQuery {
  std::string projection;
  RowSelection selection;
  std::optional<std::string> after;  // key; from a page's `next`
  std::uint32_t limit = 1000;        // 1-10,000
  // Of keys and documents: a page ends with the row that reaches it, and has one row at least.
  std::size_t bytes = std::size_t{1} << 20;
  // Answer only with rows that reflect this sequence at least; wait for it this long.
  Sequence min_sequence = 0;
  std::uint32_t wait_ms = 0;  // at most 60,000
};

struct RowPage {
  std::vector<Row> rows;
  Position position;  // of all rows of this page
  std::uint32_t version = 0;
  Sequence head = 0;
  std::optional<std::string> next;
};

struct EngineOptions {
  // Rows in memory, per version that folds.
  std::size_t row_cache_bytes_max = std::size_t{64} << 20;
  // Recent commits in memory, per version.
  std::size_t recent_commits_bytes_max = std::size_t{8} << 20;
  std::size_t projections_max = 256;
  // Whether the projections that come with the program (built_in.h), but `_presence`, are applied;
  // if not, they are removed.
  bool built_in = false;
  // The same of `_presence` alone, whatever `built_in` says.
  bool presence = false;
  // Removed rows that a version remembers, so that watches which were away hear of them.
  std::uint64_t removals_max = RowStore::kRemovalsMax;
  // A step of a version: so many events looked at, or so long.
  std::size_t step_events = 16'384;
  std::int64_t step_ms = 20;
  // From one commit of a version that has caught up to the next, unless a query waits for it.
  std::int64_t commit_every_ms = 10;
  const Clock* clock = nullptr;      // null: the system's
  ProjectionProbe* probe = nullptr;  // null: nobody listens
};

// All projections of a log: their definitions, the thread that folds, queries and watches. Start
// here; projections/README.md gives the reading order.
//
// One thread folds all versions in turn, a bounded step each (so a script that is slow delays the
// others and never stops them), and commits at most every few milliseconds unless somebody waits
// for a position. A version whose fold fails stops where it is; the others go on.
//
// The destructor joins the thread, flushes, and answers what waits with kDraining; no callback
// comes after it. The store must outlive it; watches may outlive it. Thread: any (internally
// synchronised).
class Engine {
 public:
  // Reads the definitions. kDataLoss when their rows are damaged. A version whose checkpoint is not
  // of this log's history (after a restore or an accepted loss) begins anew.
  static Result<std::unique_ptr<Engine>> open(EventStore& store, EngineOptions options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // (disk) The following may block, and are on disk when they return.

  // Creates the projection, or begins a new version beside the live one when the text differs from
  // that of the version that is building, or else of the live one; equal text changes nothing. An
  // earlier version that was still building is dropped. kBadArgument for a bad definition,
  // kForbidden for a built-in name, kLimit for too many.
  Result<ProjectionInfo> apply(std::string_view toml);
  // All below: kNotFound for an unknown name.
  Result<ProjectionInfo> info(std::string_view name) const;
  std::vector<ProjectionInfo> list() const;  // by name
  Result<ProjectionInfo> pause(std::string_view name);
  Result<ProjectionInfo> resume(std::string_view name);
  // A new version with the live one's definition.
  Result<ProjectionInfo> rebuild(std::string_view name);
  // The retired version catches up and takes over again. kCheckFailed when there is none, or when
  // the log was trimmed past it.
  Result<ProjectionInfo> rollback(std::string_view name);
  // What to do about a failure: try the event again, or leave it out for good. kCheckFailed when
  // nothing has failed; for `skip` also when `sequence` is not the failed event's.
  Result<ProjectionInfo> retry(std::string_view name);
  Result<ProjectionInfo> skip(std::string_view name, Sequence sequence);
  // kForbidden for a built-in one.
  Status remove(std::string_view name);

  // `done` once: on a read thread, on the calling one for a refusal, or on the folding thread when
  // the wait ends; it must not block. kOutcomeUnknown is never
  // said; kUnavailable (retryable) when the wait ends before the position is reached, with how far
  // the projection is; kOverloaded when too many reads or 10,000 queries wait already. Every page
  // of an answer reflects `min_sequence`, whichever version has taken over meanwhile. kBadArgument
  // for a limit or a wait out of range.
  void query(RowQuery query, std::function<void(Result<RowPage>)> done);

  // (disk) Checks the place against the log's history and makes the watch.
  Result<std::unique_ptr<Watch>> open_watch(WatchRequest request) const;

  // Calls `changed` on the folding thread after a round of commits, a take-over or a removal; it
  // must only wake somebody. It ends with the returned handle; a call may be under way then.
  std::shared_ptr<void> on_change(std::function<void()> changed);

 private:
  struct Parts;
  explicit Engine(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace tidegate
