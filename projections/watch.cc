#include "projections/watch.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "projections/projection.h"

namespace tidegate {
namespace {

RowStore::PageLimits watch_limits() {
  return {.rows = Watch::kStepRows, .bytes = Watch::kStepBytes, .examined = Watch::kStepRows};
}

}  // namespace

Watch::Watch(std::shared_ptr<const Projection> projection, RowSelection selection)
    : projection_(std::move(projection)), selection_(std::move(selection)) {}

void Watch::begin_at(std::shared_ptr<const FoldedVersion> version, const Position& position) {
  version_ = std::move(version);
  place_ = {position.sequence, {}};
  position_ = position;
}

Watch::Next Watch::next() const {
  if (!version_ || projection_->live_number() != version_->number()) return Next::kDisk;
  if (is_walking_ || is_behind_) return Next::kDisk;
  if (commit_) return Next::kMemory;
  const Sequence reached = version_->reached();
  if (place_.sequence < reached) {
    return version_->recent_commits().after(place_.sequence) ? Next::kMemory : Next::kDisk;
  }
  // After a crash a place may be ahead of what is folded: the same rows come once more.
  return tells_snapshot_end_ && place_.sequence == reached ? Next::kMemory : Next::kNothing;
}

// In memory
// -----------------------------------------------------------------------------------

WatchStep Watch::step_in_memory() {
  WatchStep step;
  if (!version_ || is_walking_ || is_behind_) return step;
  step.version = version_->number();
  if (tells_snapshot_end_ && !commit_ && place_.sequence == version_->reached())
    tell_place(step, position_);
  Budget budget;
  // Commits without rows for this watcher are passed in one step; with those of one it ends, so
  // that `position` is of all rows told.
  while (step.rows.empty() && !budget.is_spent()) {
    if (!commit_) {
      commit_ = version_->recent_commits().after(place_.sequence);
      if (commit_ != let_go_of_.lock()) told_of_commit_ = 0;
      let_go_of_.reset();
      ++budget.rows;
    }
    if (!commit_ || !tell_commit(step, budget)) break;
    place_ = {commit_->position.sequence, {}};
    tell_place(step, commit_->position);
    commit_.reset();
  }
  return step;
}

void Watch::let_go() {
  if (!commit_) return;
  let_go_of_ = commit_;
  commit_.reset();
}

// False when more of the commit is left.
bool Watch::tell_commit(WatchStep& step, Budget& budget) {
  const std::vector<Row>& rows = commit_->rows;
  const auto at_or_above = [&rows](std::string_view key) {
    return std::lower_bound(
        rows.begin(), rows.end(), key,
        [](const Row& row, std::string_view wanted) { return row.key < wanted; });
  };
  const auto tell = [&](const Row& row) {
    step.rows.push_back(row);
    budget.bytes += row.key.size() + row.document.size();
  };
  if (rows.empty()) return true;
  if (!selection_.keys.empty()) {
    for (; told_of_commit_ < selection_.keys.size(); ++told_of_commit_) {
      if (budget.is_spent()) return false;
      ++budget.rows;
      const std::string& key = selection_.keys[told_of_commit_];
      const auto found = at_or_above(key);
      if (found != rows.end() && found->key == key) tell(*found);
    }
    return true;
  }
  if (told_of_commit_ == 0)
    told_of_commit_ = static_cast<std::size_t>(at_or_above(selection_.prefix) - rows.begin());
  for (; told_of_commit_ < rows.size(); ++told_of_commit_) {
    const Row& row = rows[told_of_commit_];
    if (!row.key.starts_with(selection_.prefix)) break;
    if (budget.is_spent()) return false;
    ++budget.rows;
    tell(row);
  }
  return true;
}

// The watcher has everything up to here; whether that is a state of one moment is seen here.
void Watch::tell_place(WatchStep& step, const Position& position) {
  position_ = position;
  if (position.sequence < exact_from_) return;
  step.position = position;
  if (std::exchange(tells_snapshot_end_, false)) step.snapshot_end = true;
}

// From disk
// -----------------------------------------------------------------------------------

void Watch::walk_anew(std::shared_ptr<const FoldedVersion> version) {
  // A watcher that has nothing need not forget it.
  if (version_) tells_reset_ = true;
  version_ = std::move(version);
  tells_snapshot_end_ = true;
  is_walking_ = true;
  is_behind_ = false;
  walked_to_.reset();
  place_ = {};
  exact_from_ = 0;
  commit_.reset();
  let_go_of_.reset();
}

Result<WatchStep> Watch::step_from_disk() {
  while (true) {
    if (!version_ || projection_->live_number() != version_->number()) {
      auto live = projection_->live();
      if (!live) {
        return Error{Code::kNotFound,
                     fmt::format("projection '{}' was removed", projection_->name())};
      }
      walk_anew(std::move(live));
    }
    WatchStep step;
    step.version = version_->number();
    auto told = is_walking_ ? walk(step) : follow_from_disk(step);
    if (!told) return std::move(told).error();
    if (!*told) continue;
    step.reset = std::exchange(tells_reset_, false);
    return step;
  }
}

// Another version is live by now, unless the engine has ended.
Result<bool> Watch::rows_are_gone() {
  if (version_->is_closed())
    return Error{Code::kDraining, "the server is going down; watch again when it is back"};
  return false;
}

Result<bool> Watch::walk(WatchStep& step) {
  auto read = version_->read(
      [this](const RowStore& rows) { return rows.page(selection_, walked_to_, watch_limits()); });
  if (!read) return rows_are_gone();
  if (!*read) return std::move(*read).error();
  RowStore::Page& page = read->value();
  const Position& position = page.checkpoint.position;
  // What changes from the first page on is told after the last one.
  if (!walked_to_) place_ = {position.sequence, {}};
  exact_from_ = position.sequence;
  step.rows = std::move(page.rows);
  if (page.next) {
    walked_to_ = std::move(page.next);
    return true;
  }
  is_walking_ = false;
  if (place_.sequence == position.sequence) tell_place(step, position);
  return true;
}

Result<bool> Watch::follow_from_disk(WatchStep& step) {
  // What is begun in memory is told again as part of this.
  commit_.reset();
  let_go_of_.reset();
  auto read = version_->read([this](const RowStore& rows) {
    return rows.changes_after(selection_, place_, watch_limits());
  });
  if (!read) return rows_are_gone();
  if (!*read && read->error().code == Code::kTrimmed) {
    walk_anew(version_);
    return false;
  }
  if (!*read) return std::move(*read).error();
  RowStore::Changes& changes = read->value();
  const Position& position = changes.checkpoint.position;
  if (position.sequence < place_.sequence) return true;  // a place ahead of what is folded
  step.rows = std::move(changes.rows);
  place_ = std::move(changes.reached);
  exact_from_ = std::max(exact_from_, position.sequence);
  is_behind_ = !changes.is_complete;
  if (is_behind_) return true;
  place_ = {position.sequence, {}};
  tell_place(step, position);
  return true;
}

}  // namespace tidegate
