#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "eventstore/base/guarded.h"
#include "eventstore/base/result.h"
#include "eventstore/derived_rows.h"
#include "eventstore/types.h"
#include "projections/definition.h"
#include "projections/engine.h"
#include "projections/recent_commits.h"
#include "projections/row_store.h"

namespace tidegate {

// What a version is from its creation on.
struct VersionIdentity {
  std::uint32_t number = 0;       // in its projection, never given twice
  std::uint64_t fold_number = 0;  // of its rows (row_store.h)
  std::int64_t created_us = 0;
  Sequence began_after = 0;
};

// One version of a projection: its definition, its rows on disk, its newest commits in memory, and
// how far it has come. What it is to the projection (building, live, retired) stands in
// Projection::State.
//
// The rows may go while others hold the version: `read` says so, and nobody reads them afterwards.
// Thread: any (internally synchronised), but for what is marked as the folding thread's.
class FoldedVersion {
 public:
  struct Limits {
    std::size_t recent_commits_bytes_max = 0;
    std::uint64_t removals_max = 0;
  };
  // `unreadable` is what is wrong with a definition that a former program took and this one does
  // not: it cannot fold, and its rows can be read.
  FoldedVersion(DerivedRows& rows, const VersionIdentity& identity, Definition definition,
                std::string unreadable, const Limits& limits);
  FoldedVersion(const FoldedVersion&) = delete;
  FoldedVersion& operator=(const FoldedVersion&) = delete;

  const VersionIdentity& identity() const { return identity_; }
  std::uint32_t number() const { return identity_.number; }
  const Definition& definition() const { return definition_; }
  const std::string& unreadable() const { return unreadable_; }

  Checkpoint checkpoint() const;
  // The checkpoint's sequence, without a lock. Whoever sees it finds the commit in `recent_commits`
  // and in the rows.
  Sequence reached() const { return reached_.load(std::memory_order_acquire); }
  const RecentCommits& recent_commits() const { return recent_commits_; }

  // Calls `look(rows)` and returns what it returns; nothing when the rows are gone, because they
  // were erased or the engine has ended. Blocks on the disk.
  template <typename Look>
  auto read(const Look& look) const
      -> std::optional<decltype(look(std::declval<const RowStore&>()))> {
    const std::shared_lock lock(reading_);
    if (gone_.load(std::memory_order_acquire)) return std::nullopt;
    return look(store_);
  }
  // The engine has ended: the store may end too.
  bool is_closed() const { return closed_.load(std::memory_order_acquire); }

  std::optional<FoldFailure> failure() const;
  bool has_failed() const { return failed_.load(std::memory_order_acquire); }
  void fail(FoldFailure failure);
  void clear_failure();

  // --- the folding thread, or whoever makes the version before others see it ---
  RowStore& rows() { return store_; }
  // Begins at a place before which nothing is folded: makes the first checkpoint there.
  Status begin(const Position& position);
  // Takes up the checkpoint that is on disk.
  void take_up(const Checkpoint& checkpoint);
  // A commit is in the rows. First it can be found in memory, then `reached` moves.
  void committed(const Checkpoint& checkpoint, RowCommitRef commit);
  // Waits for those who read, then takes the rows away.
  Status erase();
  void close();

 private:
  void end_reading();

  const VersionIdentity identity_;
  const Definition definition_;
  const std::string unreadable_;
  RowStore store_;
  RecentCommits recent_commits_;
  Guarded<Checkpoint> checkpoint_;
  std::atomic<Sequence> reached_{0};  // release by `committed`, acquire by `reached`
  Guarded<std::optional<FoldFailure>> failure_;
  std::atomic<bool> failed_{false};
  // Held shared by who reads rows; `gone_` is set first, so that no new readers keep it.
  mutable std::shared_mutex reading_;
  std::atomic<bool> gone_{false};
  std::atomic<bool> closed_{false};
};

// A projection as it is now: its versions and which of them is live.
// Thread: any (internally synchronised); `become` by one thread at a time (Changes).
class Projection {
 public:
  struct Version {
    std::shared_ptr<FoldedVersion> folded;
    VersionInfo::State state = VersionInfo::State::kBuilding;
    std::vector<Sequence> skipped;  // ascending
  };
  struct State {
    bool is_paused = false;
    bool is_removed = false;
    std::uint32_t next_number = 1;
    std::vector<Version> versions;  // by number; at most one of each state

    // Null when there is none.
    Version* in_state(VersionInfo::State state);
    const Version* in_state(VersionInfo::State state) const;
  };

  explicit Projection(std::string name) : name_(std::move(name)) {}
  Projection(const Projection&) = delete;
  Projection& operator=(const Projection&) = delete;

  const std::string& name() const { return name_; }
  bool is_built_in() const { return name_.starts_with('_'); }

  State state() const;
  // What is on disk becomes visible.
  void become(State state);

  // Null once it is removed.
  std::shared_ptr<const FoldedVersion> live() const;
  // The same, without a lock: 0 once it is removed.
  std::uint32_t live_number() const { return live_number_.load(std::memory_order_acquire); }
  bool is_paused() const { return paused_.load(std::memory_order_acquire); }

  ProjectionInfo info(Sequence head) const;

 private:
  const std::string name_;
  Guarded<State> state_;
  // Copies of parts of the state; release by `become`.
  std::atomic<std::uint32_t> live_number_{0};
  std::atomic<bool> paused_{false};
};

// All projections by name.
// Thread: any (internally synchronised).
class Projections {
 public:
  std::shared_ptr<Projection> find(std::string_view name) const;  // null: there is none
  std::vector<std::shared_ptr<Projection>> all() const;           // by name
  std::size_t count() const;
  void add(std::shared_ptr<Projection> projection);
  void remove(std::string_view name);

  // The lowest sequence that a version which folds has not folded yet: a trim must leave it.
  Sequence needed() const;
  // The same for who is about to make a version visible that needs it; null ends it. One at a time.
  void hold(std::optional<Sequence> sequence);

 private:
  // Release by `hold`, acquire by `needed`, which looks here before it looks at the versions: once
  // the hold has ended, the version is to be seen.
  std::atomic<Sequence> held_{std::numeric_limits<Sequence>::max()};
  Guarded<std::map<std::string, std::shared_ptr<Projection>, std::less<>>> by_name_;
};

}  // namespace tidegate
