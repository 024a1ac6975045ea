#include "gateway/delivery/engine_access.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <shared_mutex>
#include <utility>

#include <fmt/format.h>

#include "eventstore/filter.h"
#include "eventstore/reader.h"
#include "projections/engine.h"

namespace tidegate {

namespace {

using PostToLoop = std::function<void(std::function<void()>)>;

Error switched_off() {
  return {Code::kUnsupported, "projections are switched off: set projections.enabled"};
}

Error too_many_row_reads() {
  return {.code = Code::kOverloaded,
          .message = "too many reads of the log are waiting",
          .retry_after_ms = 1000};
}

// A Watch whose steps from disk run on the store's read threads. The watch outlives a cursor that
// goes while a step is under way.
class EngineCursor final : public RowCursor {
 public:
  EngineCursor(std::unique_ptr<Watch> watch, EventStore& store, PostToLoop post)
      : watch_(std::move(watch)), store_(store), post_(std::move(post)) {}

  Watch::Next next() const override { return watch_->next(); }
  WatchStep step_in_memory() override { return watch_->step_in_memory(); }
  void step_from_disk(std::function<void(Result<WatchStep>)> done) override {
    const bool queued = store_.post_read([watch = watch_, post = post_, done] {
      post([done, step = watch->step_from_disk()]() mutable { done(std::move(step)); });
    });
    if (!queued) post_([done] { done(too_many_row_reads()); });
  }
  void let_go() override { watch_->let_go(); }

 private:
  const std::shared_ptr<Watch> watch_;
  EventStore& store_;
  const PostToLoop post_;
};

}  // namespace

// What tasks on read threads reach the engine through: they may wait in the store's queue for
// longer than the engine lives.
class EngineAccess::Gate {
 public:
  explicit Gate(Engine& engine) : engine_(&engine) {}

  void close() {
    const std::unique_lock lock(mutex_);
    engine_ = nullptr;
  }
  // Calls `use(engine)` unless the gate is closed, which waits for it.
  template <typename Use>
  void with(const Use& use) {
    const std::shared_lock lock(mutex_);
    if (engine_ != nullptr) use(*engine_);
  }

 private:
  std::shared_mutex mutex_;
  Engine* engine_;  // under mutex_
};

EngineAccess::EngineAccess(Engine* engine, EventStore& store, const PressureGauge& pressure,
                           std::function<void(std::function<void()>)> post)
    : store_(store),
      pressure_(pressure),
      post_(std::move(post)),
      gate_(engine != nullptr ? std::make_shared<Gate>(*engine) : nullptr) {}

EngineAccess::~EngineAccess() {
  if (gate_) gate_->close();
}

Status EngineAccess::check_exists(std::string_view name) const {
  if (!gate_) return switched_off();
  Status exists;
  gate_->with([&](Engine& engine) {
    if (auto info = engine.info(name); !info) exists = std::move(info).error();
  });
  return exists;
}

void EngineAccess::query(QueryRequest request, std::function<void(Result<RowPage>)> done) {
  auto answer = [post = post_, done](Result<RowPage> page) {
    post([done, page = std::move(page)]() mutable { done(std::move(page)); });
  };
  if (!gate_) return answer(switched_off());
  if (!request.min_position) {
    gate_->with([&](Engine& engine) { engine.query(std::move(request.query), answer); });
    return;
  }
  const bool queued = store_.post_read([&store = store_, gate = gate_, request, answer] {
    const auto sequence = check_min_position(store, *request.min_position);
    if (!sequence) return answer(sequence.error());
    RowQuery query = request.query;
    query.min_sequence = std::max(query.min_sequence, *sequence);
    gate->with([&](Engine& engine) { engine.query(std::move(query), answer); });
  });
  if (!queued) answer(too_many_row_reads());
}

void EngineAccess::open_watch(WatchRequest request,
                              std::function<void(Result<std::shared_ptr<RowCursor>>)> done) {
  auto answer = [post = post_, done](Result<std::shared_ptr<RowCursor>> cursor) {
    post([done, cursor = std::move(cursor)] { done(cursor); });
  };
  if (!gate_) return answer(switched_off());
  // It begins with a snapshot, or with changes that may lie on disk.
  if (pressure_.level() != Pressure::kNone) {
    return answer(Error{.code = Code::kOverloaded,
                        .message = "memory is short: no watch is begun at the moment",
                        .retry_after_ms = 5000});
  }
  const bool queued = store_.post_read(
      [&store = store_, gate = gate_, post = post_, request = std::move(request), answer] {
        gate->with([&](Engine& engine) {
          auto watch = engine.open_watch(request);
          if (!watch) return answer(watch.error());
          answer(std::shared_ptr<RowCursor>(
              std::make_shared<EngineCursor>(*std::move(watch), store, post)));
        });
      });
  if (!queued) answer(too_many_row_reads());
}

std::shared_ptr<void> EngineAccess::on_change(std::function<void()> changed) {
  if (!gate_) return nullptr;
  // Set while a call is posted and has not begun: what keeps the engine from posting one per
  // commit.
  const auto is_woken = std::make_shared<std::atomic<bool>>(false);
  std::shared_ptr<void> handle;
  gate_->with([&](Engine& engine) {
    handle = engine.on_change([post = post_, is_woken, changed = std::move(changed)] {
      if (is_woken->exchange(true)) return;
      post([is_woken, changed] {
        // Before the rows are looked at: a change that comes later wakes again.
        is_woken->store(false);
        changed();
      });
    });
  });
  return handle;
}

Result<Sequence> check_min_position(const EventStore& store, const Position& position) {
  auto start = store.reader().resolve(AfterPosition{position}, Filter::everything());
  if (!start) return std::move(start).error();
  switch (start->outcome) {
    case ResolvedStart::Outcome::kOk:
    case ResolvedStart::Outcome::kTrimmed:
      return position.sequence;
    case ResolvedStart::Outcome::kRewound:
    case ResolvedStart::Outcome::kAhead:
    case ResolvedStart::Outcome::kUnknownLog:
      break;
  }
  return Error{Code::kHistoryMismatch,
               fmt::format("'{}' is not of this log's history; ask without it, or with a position "
                           "that this log gave",
                           position.text())};
}

}  // namespace tidegate
