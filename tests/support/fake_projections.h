#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "gateway/delivery/projection_access.h"
#include "tests/support/fake_log.h"

namespace tidegate::test {

// One projection in memory, named "p", whose rows, versions and answers the test controls. Answers
// wait as tasks of the log. Thread: caller serialises.
class FakeProjections final : public ProjectionAccess {
 public:
  struct Query {
    QueryRequest request;
    std::function<void(Result<RowPage>)> done;
  };

  explicit FakeProjections(FakeLog& log) : log_(log) {}

  // --- what the test does ---

  // What the log's last event makes of a row; an empty document removes it.
  void put(const std::string& key, const std::string& document) {
    pending_[key] = {key, document, log_.head()};
  }
  // Up to the log's head.
  void commit() {
    auto made = std::make_shared<RowCommit>();
    made->before = reached_;
    made->position = log_.position(log_.head());
    for (auto& [key, row] : std::exchange(pending_, {})) {
      made->rows.push_back(row);
      rows_[key] = row;
    }
    reached_ = log_.head();
    if (made->before < reached_) commits_.push_back(std::move(made));
    tell();
  }
  // Whoever is behind reads the disk.
  void forget_commits() { commits_.clear(); }
  // Another version with the same rows.
  void take_over() {
    ++version_;
    commits_.clear();
    tell();
  }
  void remove() {
    is_removed_ = true;
    tell();
  }
  void switch_off() { is_off_ = true; }
  void fail_next_open(Code code) { open_failure_ = code; }
  void fail_next_step(Code code) { step_failure_ = code; }

  // Rows of a step from disk.
  std::size_t page_rows = 2;
  // Queries wait here until the test answers them.
  std::deque<Query> queries;
  std::vector<WatchRequest> opened;
  std::size_t steps_in_memory = 0;
  std::size_t steps_from_disk = 0;
  // The prefix of the watch of each step from disk.
  std::vector<std::string> disk_steps_of;
  // So many of the next steps from disk find nothing and get no further.
  std::size_t empty_steps = 0;
  // The prefix of each watch that was asked to let go.
  std::vector<std::string> let_go_of;

  std::uint32_t version() const { return version_; }
  Position position() const { return log_.position(reached_); }
  // The rows that are there, as of the last commit.
  std::map<std::string, std::string> table() const {
    std::map<std::string, std::string> there;
    for (const auto& [key, row] : rows_) {
      if (!row.is_removed()) there[key] = row.document;
    }
    return there;
  }

  // --- ProjectionAccess ---

  Status check_exists(std::string_view name) const override {
    if (is_off_) return Error{Code::kUnsupported, "switched off"};
    if (is_removed_ || name != "p") return no_such();
    return {};
  }
  void query(QueryRequest request, std::function<void(Result<RowPage>)> done) override {
    queries.push_back({std::move(request), std::move(done)});
  }
  void open_watch(WatchRequest request,
                  std::function<void(Result<std::shared_ptr<RowCursor>>)> done) override {
    opened.push_back(request);
    log_.later([this, request, done] { done(open_now(request)); });
  }
  std::shared_ptr<void> on_change(std::function<void()> changed) override {
    auto handle = std::make_shared<std::function<void()>>(std::move(changed));
    changed_ = handle;
    return handle;
  }

 private:
  class Cursor;

  static Error no_such() { return {Code::kNotFound, "there is no projection of this name"}; }
  void tell() {
    log_.later([weak = changed_] {
      if (const auto changed = weak.lock()) (*changed)();
    });
  }
  Result<std::shared_ptr<RowCursor>> open_now(const WatchRequest& request);
  RowCommitRef commit_after(Sequence sequence) const {
    const auto at = std::find_if(commits_.begin(), commits_.end(), [&](const RowCommitRef& one) {
      return one->position.sequence > sequence;
    });
    return at != commits_.end() && (*at)->before <= sequence ? *at : nullptr;
  }

  FakeLog& log_;
  std::uint32_t version_ = 1;
  bool is_off_ = false;
  bool is_removed_ = false;
  Sequence reached_ = 0;
  std::map<std::string, Row> pending_;
  std::map<std::string, Row> rows_;  // removed ones too
  std::deque<RowCommitRef> commits_;
  std::weak_ptr<std::function<void()>> changed_;
  std::optional<Code> open_failure_;
  std::optional<Code> step_failure_;
};

// A snapshot is of the moment at which it began.
class FakeProjections::Cursor final : public RowCursor,
                                      public std::enable_shared_from_this<Cursor> {
 public:
  Cursor(FakeProjections& owner, const WatchRequest& request)
      : owner_(owner), selection_(request.selection) {
    if (!request.after || request.after->version != owner.version_) return;
    const Position& position = request.after->position;
    if (position.sequence > owner.reached_) return;
    if (position != owner.log_.position(position.sequence)) return;
    version_ = request.after->version;
    place_ = position.sequence;
    tells_end_ = true;
  }

  Watch::Next next() const override {
    EXPECT_FALSE(is_stepping_);
    if (owner_.is_removed_ || version_ != owner_.version_ || walk_) return Watch::Next::kDisk;
    if (place_ >= owner_.reached_) {
      return tells_end_ ? Watch::Next::kMemory : Watch::Next::kNothing;
    }
    return owner_.commit_after(place_) ? Watch::Next::kMemory : Watch::Next::kDisk;
  }

  WatchStep step_in_memory() override {
    ++owner_.steps_in_memory;
    WatchStep step;
    if (place_ >= owner_.reached_) {
      reach(owner_.position(), step);
      return step;
    }
    const RowCommitRef commit = owner_.commit_after(place_);
    for (const Row& row : commit->rows) {
      if (selection_.includes(row.key) && row.sequence > place_) step.rows.push_back(row);
    }
    reach(commit->position, step);
    return step;
  }

  void step_from_disk(std::function<void(Result<WatchStep>)> done) override {
    EXPECT_FALSE(is_stepping_);
    is_stepping_ = true;
    ++owner_.steps_from_disk;
    owner_.disk_steps_of.push_back(selection_.prefix);
    owner_.log_.later([self = shared_from_this(), done] {
      self->is_stepping_ = false;
      done(self->step_now());
    });
  }

  void let_go() override {
    EXPECT_FALSE(is_stepping_);
    owner_.let_go_of.push_back(selection_.prefix);
  }

 private:
  void reach(const Position& position, WatchStep& step) {
    place_ = position.sequence;
    step.position = position;
    step.version = version_;
    step.snapshot_end = std::exchange(tells_end_, false);
  }

  Result<WatchStep> step_now() {
    if (const auto failure = std::exchange(owner_.step_failure_, std::nullopt)) {
      return Error{*failure, "injected"};
    }
    if (owner_.is_removed_) return Error{Code::kNotFound, "removed"};
    WatchStep step;
    if (owner_.empty_steps > 0) {
      --owner_.empty_steps;
      return step;
    }
    if (version_ != owner_.version_) {
      version_ = owner_.version_;
      step.reset = true;
      begin_walk();
    }
    if (walk_) {
      take_page(step);
      return step;
    }
    for (const auto& [key, row] : owner_.rows_) {
      if (selection_.includes(key) && row.sequence > place_) step.rows.push_back(row);
    }
    reach(owner_.position(), step);
    return step;
  }

  void begin_walk() {
    walk_.emplace();
    walked_to_ = owner_.position();
    for (const auto& [key, row] : owner_.rows_) {
      if (selection_.includes(key) && !row.is_removed()) walk_->push_back(row);
    }
  }

  void take_page(WatchStep& step) {
    const std::size_t count = std::min(walk_->size(), owner_.page_rows);
    const auto end = walk_->begin() + static_cast<std::ptrdiff_t>(count);
    step.rows.assign(walk_->begin(), end);
    walk_->erase(walk_->begin(), end);
    step.version = version_;
    if (!walk_->empty()) return;
    walk_.reset();
    tells_end_ = true;
    reach(walked_to_, step);
  }

  FakeProjections& owner_;
  const RowSelection selection_;
  std::uint32_t version_ = 0;  // 0: it has nothing yet
  Sequence place_ = 0;
  std::optional<std::deque<Row>> walk_;  // what is left of the snapshot
  Position walked_to_;
  bool tells_end_ = false;  // the next place is the first one that it tells
  bool is_stepping_ = false;
};

inline Result<std::shared_ptr<RowCursor>> FakeProjections::open_now(const WatchRequest& request) {
  if (const auto failure = std::exchange(open_failure_, std::nullopt)) {
    return Error{*failure, "injected"};
  }
  if (Status exists = check_exists(request.projection); !exists) return exists.error();
  return std::shared_ptr<RowCursor>(std::make_shared<Cursor>(*this, request));
}

}  // namespace tidegate::test
