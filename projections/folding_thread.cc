#include "projections/folding_thread.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <optional>
#include <pthread.h>
#include <utility>

#include "eventstore/base/log.h"
#include "eventstore/event_store.h"

namespace tidegate {
namespace {

// What a crash makes the next start fold once more.
constexpr std::int64_t kRowsFlushMs = 30'000;

}  // namespace

void FoldingThread::Bell::ring() {
  {
    const std::lock_guard lock(mutex);
    is_wanted = true;
  }
  rang.notify_one();
}

void FoldingThread::Bell::head_moved(Sequence head) {
  if (head < ring_at.fetch_add(0)) return;
  if (ring_at.exchange(kNever) != kNever) ring();
}

FoldingThread::FoldingThread(EventStore& store, const Projections& projections,
                             WaitingQueries& waiting, const EngineOptions& options, Calls calls)
    : store_(store),
      projections_(projections),
      waiting_(waiting),
      options_(options),
      calls_(std::move(calls)) {}

FoldingThread::~FoldingThread() {
  stop();
}

void FoldingThread::start() {
  const Tail& tail = store_.tail();
  head_moved_ = store_.on_head_moved([bell = bell_, &tail] { bell->head_moved(tail.head()); });
  thread_ = std::thread([this] { run(); });
}

void FoldingThread::stop() {
  if (!thread_.joinable()) return;
  head_moved_.reset();
  {
    const std::lock_guard lock(bell_->mutex);
    bell_->is_stopping = true;
  }
  bell_->rang.notify_one();
  thread_.join();
  slots_.clear();
  followed_.with([](Followed& followed) {
    for (const auto& version : followed.dropped) version->close();
    followed.dropped.clear();
  });
  if (!is_unflushed_) return;
  auto flushed = store_.derived_rows().flush();
  if (!flushed) {
    log(LogLevel::kWarn, "rows of projections are not flushed: the next start folds them again",
        {{"error", flushed.error().message}});
  }
}

void FoldingThread::wake() {
  bell_->ring();
}

void FoldingThread::follow(std::vector<std::shared_ptr<FoldedVersion>> dropped) {
  followed_.with([&](Followed& followed) {
    followed.is_outdated = true;
    for (auto& version : dropped) followed.dropped.push_back(std::move(version));
  });
  wake();
}

std::shared_ptr<void> FoldingThread::on_change(std::function<void()> changed) {
  auto listener = std::make_shared<std::function<void()>>(std::move(changed));
  listeners_.with([&](auto& listeners) { listeners.push_back(listener); });
  return listener;
}

bool FoldingThread::is_stopping() const {
  const std::lock_guard lock(bell_->mutex);
  return bell_->is_stopping;
}

void FoldingThread::run() {
  pthread_setname_np(pthread_self(), "folding");
  flushed_ms_ = options_.clock->steady_ms();
  while (!is_stopping()) {
    follow_projections();
    const bool has_folded = fold_round();
    answer_waiting();
    if (std::exchange(has_changed_, false)) tell_listeners();
    flush_if_due();
    if (!has_folded) wait();
  }
}

// The versions that fold now; what nobody names any more is erased once nothing folds into it.
void FoldingThread::follow_projections() {
  std::vector<std::shared_ptr<FoldedVersion>> dropped;
  const bool is_outdated = followed_.with([&](Followed& followed) {
    dropped.swap(followed.dropped);
    return std::exchange(followed.is_outdated, false);
  });
  if (!is_outdated) return;
  slots_ = slots_now();
  has_changed_ = true;
  for (const auto& version : dropped) {
    auto erased = version->erase();
    is_unflushed_ = true;
    if (!erased) {
      log(LogLevel::kWarn, "rows of a dropped version are left until the next start",
          {{"error", erased.error().message}});
    }
  }
}

std::vector<FoldingThread::Slot> FoldingThread::slots_now() {
  const Projector::Limits limits{options_.step_events, options_.step_ms,
                                 options_.row_cache_bytes_max};
  std::vector<Slot> slots;
  for (const auto& projection : projections_.all()) {
    const Projection::State state = projection->state();
    if (state.is_paused || state.is_removed) continue;
    for (const Projection::Version& version : state.versions) {
      if (version.state == VersionInfo::State::kRetired) continue;
      const auto known = std::find_if(slots_.begin(), slots_.end(), [&](const Slot& slot) {
        return slot.projector && slot.projector->version() == version.folded;
      });
      if (known != slots_.end()) {
        slots.push_back(std::move(*known));
        continue;
      }
      slots.push_back({std::make_unique<Projector>(store_, projection, version.folded, limits,
                                                   *options_.clock, *options_.probe),
                       0});
    }
  }
  return slots;
}

bool FoldingThread::is_due(const Slot& slot, Sequence behind, Sequence head) const {
  if (behind == 0) return false;
  return options_.clock->steady_ms() >= slot.not_before_ms ||
         waiting_.has_any_of(*slot.projector->projection(), head);
}

// Whether there was something to do.
bool FoldingThread::fold_round() {
  const Sequence head = store_.tail().head();
  Slot* far = nullptr;
  std::size_t far_turn = 0;
  bool has_folded = false;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    const Sequence behind = slot.projector->behind(head);
    if (behind > options_.step_events) {
      // The next one in turn: the first at or after `turn_`, else the first of all.
      if (far == nullptr || (far_turn < turn_ && i >= turn_)) {
        far = &slot;
        far_turn = i;
      }
    } else if (is_due(slot, behind, head)) {
      step(slot);
      has_folded = true;
    }
  }
  if (far != nullptr) {
    turn_ = far_turn + 1;
    step(*far);
    has_folded = true;
  }
  for (const Slot& slot : slots_) take_over_if_caught_up(slot);
  return has_folded;
}

void FoldingThread::step(Slot& slot) {
  const Projector::Outcome outcome = slot.projector->step();
  if (outcome == Projector::Outcome::kGoesOn) return;
  has_changed_ = true;
  if (outcome == Projector::Outcome::kFailed) return;
  is_unflushed_ = true;
  if (slot.projector->behind(store_.tail().head()) <= options_.step_events)
    slot.not_before_ms = options_.clock->steady_ms() + options_.commit_every_ms;
  answer_waiting();
}

// Also without a step: nothing may have happened since it was begun.
void FoldingThread::take_over_if_caught_up(const Slot& slot) {
  Projection& projection = *slot.projector->projection();
  FoldedVersion& version = *slot.projector->version();
  if (projection.live_number() == version.number() || version.has_failed()) return;
  const auto live = projection.live();
  if (!live) return;
  if (version.reached() < live->reached() && version.reached() < store_.tail().head()) return;
  has_changed_ = true;
  calls_.take_over(projection, version);
}

void FoldingThread::answer_waiting() {
  for (PendingQuery& query : waiting_.take_ready()) calls_.answer(std::move(query));
  for (PendingQuery& query : waiting_.take_expired(options_.clock->steady_ms()))
    calls_.give_up(std::move(query));
}

void FoldingThread::tell_listeners() {
  std::vector<std::shared_ptr<std::function<void()>>> alive;
  listeners_.with([&](auto& listeners) {
    std::erase_if(listeners, [](const auto& listener) { return listener.expired(); });
    for (const auto& listener : listeners) {
      if (auto held = listener.lock()) alive.push_back(std::move(held));
    }
  });
  for (const auto& listener : alive) (*listener)();
}

void FoldingThread::flush_if_due() {
  const std::int64_t now_ms = options_.clock->steady_ms();
  if (!is_unflushed_ || now_ms - flushed_ms_ < kRowsFlushMs) return;
  flushed_ms_ = now_ms;
  auto flushed = store_.derived_rows().flush();
  if (flushed) {
    is_unflushed_ = false;
  } else {
    log(LogLevel::kWarn, "rows of projections cannot be flushed",
        {{"error", flushed.error().message}});
  }
}

// Who has caught up goes on with the next event, who rests when a query's sequence is there.
// Without projections nothing is to be done.
Sequence FoldingThread::head_to_wake_at(Sequence head) const {
  const bool nobody_rests = std::all_of(slots_.begin(), slots_.end(), [head](const Slot& slot) {
    return slot.projector->behind(head) == 0;
  });
  if (nobody_rests && !slots_.empty()) return head + 1;
  Sequence wake_at = Bell::kNever;
  for (const Slot& slot : slots_) {
    const auto waited_for = waiting_.next_above(*slot.projector->projection(), head);
    if (waited_for) wake_at = std::min(wake_at, *waited_for);
  }
  return wake_at;
}

// Until somebody rings, or something is due.
void FoldingThread::wait() {
  std::int64_t until_ms = std::numeric_limits<std::int64_t>::max();
  if (is_unflushed_) until_ms = flushed_ms_ + kRowsFlushMs;
  if (const auto deadline = waiting_.look_again_ms()) until_ms = std::min(until_ms, *deadline);
  const Sequence head = store_.tail().head();
  for (const Slot& slot : slots_) {
    if (slot.projector->behind(head) > 0) until_ms = std::min(until_ms, slot.not_before_ms);
  }
  const Sequence wake_at = head_to_wake_at(head);
  bell_->ring_at.exchange(wake_at);
  // Events that came before the bell knew.
  if (store_.tail().head() >= wake_at) return;
  std::unique_lock lock(bell_->mutex);
  const auto is_wanted = [this] { return bell_->is_wanted || bell_->is_stopping; };
  if (until_ms == std::numeric_limits<std::int64_t>::max()) {
    bell_->rang.wait(lock, is_wanted);
  } else {
    const std::int64_t wait_ms = std::max<std::int64_t>(0, until_ms - options_.clock->steady_ms());
    bell_->rang.wait_for(lock, std::chrono::milliseconds(wait_ms), is_wanted);
  }
  bell_->is_wanted = false;
}

}  // namespace tidegate
