#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "eventstore/base/result.h"
#include "projections/recent_commits.h"
#include "projections/row.h"
#include "projections/row_store.h"

namespace tidegate {

class Projection;
class FoldedVersion;

// A place in the changes of a projection: up to `position`, as version `version` folds it.
struct WatchPlace {
  std::uint32_t version = 0;
  Position position;
};

struct WatchRequest {
  std::string projection;
  RowSelection selection;
  // What the watcher already has; absent: nothing. A place of another version, of another history
  // or from before what is remembered of removals counts as nothing: the watch begins with a reset.
  std::optional<WatchPlace> after;
};

// The next thing to tell a watcher.
struct WatchStep {
  // Forget all rows: a snapshot follows. Also when another version has taken over.
  bool reset = false;
  // The newest state of each of these rows, to be applied in this order. Until `snapshot_end` they
  // come in pieces and are not of one moment; a row that went meanwhile is told as removed, and so
  // may be one that the watcher never had.
  std::vector<Row> rows;
  // Set when the watcher's rows, with `rows`, are exactly those of the projection at this position.
  std::optional<Position> position;
  // The first such moment after a start or a reset. Who starts at a place that is up to date is
  // told at once, without rows.
  bool snapshot_end = false;
  std::uint32_t version = 0;  // which `position` belongs to
};

// A cursor over the changes of a projection: a watcher pulls, whoever is slow is told each row
// once, as it is by then, and nothing is queued for it.
//
//          ┌──────────── another version is live, removals after the place are forgotten ─┐
//          ▼                                                                              │
//   WALKING (pages of rows, from disk) ──▶ FOLLOWING (commits in memory, or what changed on disk)
//
// A walk sees each page at another moment. What changed since its first page comes afterwards, from
// then on as while following; the rows are of one moment again once everything up to the newest
// moment that was looked at has been told (`exact_from_`).
//
// Made by Engine::open_watch. Keeps the version that it reads alive, not the engine.
// Thread: caller serialises. `step_from_disk` blocks on the disk: a read thread, never a loop.
class Watch {
 public:
  enum class Next : std::uint8_t {
    kMemory,   // step_in_memory has something
    kDisk,     // step_from_disk has something
    kNothing,  // wait for Engine::on_change
  };
  Next next() const;
  // At most kStepRows rows looked at, about kStepBytes told; without I/O, for a loop.
  WatchStep step_in_memory();
  // For who cannot take more now: holds no commit until the next step, since one may be tens of MiB
  // that nobody else needs any more. While it is among the recent ones the next step goes on in it;
  // afterwards `next` says kDisk, and what changed is told from there, piece by piece.
  void let_go();
  // kNotFound when the projection was removed; kDraining when the engine has ended; kDataLoss.
  Result<WatchStep> step_from_disk();

  static constexpr std::size_t kStepRows = 4096;
  static constexpr std::size_t kStepBytes = std::size_t{64} << 10;

 private:
  friend class Engine;
  Watch(std::shared_ptr<const Projection> projection, RowSelection selection);
  // Where it begins, if not with all rows: the watcher has those of this place already.
  void begin_at(std::shared_ptr<const FoldedVersion> version, const Position& position);
  // It begins with all rows, and the watcher must hear that what it has counts for nothing.
  void begin_with_reset() { tells_reset_ = true; }

  // A bound on what a step looks at and tells.
  struct Budget {
    std::size_t rows = 0;
    std::size_t bytes = 0;
    bool is_spent() const { return rows >= kStepRows || bytes >= kStepBytes; }
  };
  void walk_anew(std::shared_ptr<const FoldedVersion> version);
  bool tell_commit(WatchStep& step, Budget& budget);
  void tell_place(WatchStep& step, const Position& position);
  // False: nothing is told, look again at what to do.
  Result<bool> walk(WatchStep& step);
  Result<bool> follow_from_disk(WatchStep& step);
  Result<bool> rows_are_gone();

  const std::shared_ptr<const Projection> projection_;
  const RowSelection selection_;
  std::shared_ptr<const FoldedVersion> version_;  // null: begin with all rows
  bool tells_reset_ = false;                      // with the next step from disk
  bool tells_snapshot_end_ = true;                // with the next place
  bool is_walking_ = false;
  std::optional<std::string> walked_to_;  // key; null: not begun
  bool is_behind_ = false;  // a piece of what changed was told from disk: the rest comes from there
  RowStore::ChangePlace place_;  // all changes up to it are told, but for the walk's
  Position position_;            // of the place, as the watcher has it
  Sequence exact_from_ = 0;
  // The commit that is being told, and how far: an index into its rows, or into the keys.
  RowCommitRef commit_;
  std::size_t told_of_commit_ = 0;
  std::weak_ptr<const RowCommit> let_go_of_;  // the count is of this one, should it come again
};

}  // namespace tidegate
