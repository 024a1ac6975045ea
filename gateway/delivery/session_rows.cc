#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "gateway/delivery/row_messages.h"
#include "gateway/delivery/session_core.h"

namespace tidegate {

namespace {

// What a step in memory, which looks at up to Watch::kStepRows rows, counts as among the events
// that a turn may examine: a row is looked at in a fraction of an event's time.
constexpr std::size_t kStepRecords = LoopCore::kRecordsPerTurn / 4;

}  // namespace

// --------------------------------------------------------------------------------- begin and end

RowWatch* SessionCore::find_watch(std::string_view id) {
  const auto at = std::find_if(watches_.begin(), watches_.end(), [id](const auto& have) {
    return have->subscription == 0 && have->id == id;
  });
  return at == watches_.end() ? nullptr : at->get();
}

RowWatch* SessionCore::find_watch(std::uint64_t number) {
  const auto at = std::find_if(watches_.begin(), watches_.end(),
                               [number](const auto& have) { return have->number == number; });
  return at == watches_.end() ? nullptr : at->get();
}

Status SessionCore::check_source(const std::string& projection,
                                 const RowSelection& selection) const {
  if (Status granted = principal_->check_projection(projection); !granted) return granted;
  std::size_t bytes = bytes_of(selection);
  for (const auto& watch : watches_) bytes += watch->selected_bytes;
  for (const auto& subscription : subscriptions_) {
    if (subscription->snapshot() != nullptr) bytes += bytes_of(subscription->snapshot()->selection);
  }
  if (bytes <= loop_.limits.selected_bytes) return {};
  return Error{Code::kLimit,
               fmt::format("the watches of a connection name at most {} bytes of keys: watch a "
                           "prefix, or use another connection",
                           loop_.limits.selected_bytes)};
}

void SessionCore::on_watch(const v1::WatchOp& op) {
  if (Status named = check_id(op.id(), "id", loop_.limits); !named) {
    return reply_error(named.error(), {});
  }
  if (Status room = check_room(op.id()); !room) return reply_error(room.error(), op.id());
  auto request = check_watch(op);
  if (!request) return reply_error(request.error(), op.id());
  if (Status good = check_source(request->projection, request->selection); !good) {
    return reply_error(good.error(), op.id());
  }
  begin_watch(op.id(), 0, *std::move(request));
}

void SessionCore::begin_watch(const std::string& id, std::uint64_t subscription,
                              WatchRequest request) {
  auto made = std::make_unique<RowWatch>();
  RowWatch& watch = *made;
  watch.id = id;
  watch.number = loop_.next_number();
  watch.subscription = subscription;
  watch.projection = request.projection;
  // Those of a snapshot are the subscription's.
  if (subscription == 0) watch.selected_bytes = bytes_of(request.selection);
  watch.has_told = request.after.has_value();
  watch.told_ms = loop_.now_ms();
  if (watches_.empty()) loop_.add_watching(*this);
  watches_.push_back(std::move(made));
  open_watch(watch, std::move(request));
}

void SessionCore::open_watch(RowWatch& watch, WatchRequest request) {
  watch.wait = RowWatch::Wait::kOpen;
  loop_.projections.open_watch(std::move(request), [weak = weak_from_this(), number = watch.number](
                                                       Result<std::shared_ptr<RowCursor>> cursor) {
    if (const auto self = weak.lock()) self->on_watch_opened(number, std::move(cursor));
  });
}

void SessionCore::on_watch_opened(std::uint64_t number, Result<std::shared_ptr<RowCursor>> cursor) {
  RowWatch* watch = find_watch(number);
  if (watch == nullptr) return;
  if (cursor) {
    watch->cursor = *std::move(cursor);
    watch->wait = RowWatch::Wait::kNothing;
    if (watch->subscription == 0) {
      loop_.probe.watches_changed(+1);
      if (loop_.presence != nullptr) {
        loop_.presence->watching(connection_, watch->id, watch->projection);
      }
    }
  } else if (watch->subscription != 0) {
    fail(*watch, cursor.error());
  } else {
    reply_error(cursor.error(), watch->id);
    remove(*watch);
  }
  run();
}

void SessionCore::on_unwatch(const v1::UnwatchOp& op) {
  if (Status named = check_id(op.id(), "id", loop_.limits); !named) {
    return reply_error(named.error(), {});
  }
  RowWatch* watch = find_watch(op.id());
  if (watch == nullptr) {
    return reply_error({Code::kNotFound, fmt::format("there is no watch '{}'", op.id())}, op.id());
  }
  remove(*watch);
  tell_unwatched(op.id(), "requested");
}

void SessionCore::remove(RowWatch& watch) {
  if (watch.cursor && watch.subscription == 0) {
    loop_.probe.watches_changed(-1);
    if (loop_.presence != nullptr && !has_ended_) loop_.presence->unwatched(connection_, watch.id);
  }
  // A read that is under way frees its place when it answers.
  if (watch.step && row_reader_ == watch.number) row_reader_ = 0;
  const auto at = std::find_if(watches_.begin(), watches_.end(),
                               [&](const auto& have) { return have.get() == &watch; });
  const std::size_t turn =
      subscriptions_.size() + static_cast<std::size_t>(std::distance(watches_.begin(), at));
  if (turn < next_) --next_;
  watches_.erase(at);
  if (watches_.empty()) loop_.remove_watching(*this);
}

void SessionCore::end_forbidden_watches() {
  std::vector<RowWatch*> lost;
  for (const auto& watch : watches_) {
    const bool is_own = watch->subscription == 0;
    if (is_own && !principal_->check_projection(watch->projection)) lost.push_back(watch.get());
  }
  for (RowWatch* watch : lost) {
    const std::string id = watch->id;
    remove(*watch);
    tell_unwatched(id, "forbidden");
  }
}

// A snapshot cannot be opened, or there is no next step.
void SessionCore::fail(RowWatch& watch, const Error& error) {
  if (is_worth_a_retry(error)) {
    watch.wait = RowWatch::Wait::kTick;
    loop_.tick_no_later(*this, loop_.now_ms());
    return;
  }
  const std::string id = watch.id;
  if (Subscription* subscription = find(watch.subscription); subscription != nullptr) {
    reply_error(error, id);
    remove(*subscription);
    tell_unsubscribed(id, code_info(error.code).name);
    return;
  }
  remove(watch);
  if (error.code == Code::kNotFound) return tell_unwatched(id, "removed");
  reply_error(error, id);
  tell_unwatched(id, code_info(error.code).name);
}

// ------------------------------------------------------------------------------------------- steps

SessionCore::Served SessionCore::serve(RowWatch& watch, std::size_t& records) {
  while (watch.wants_turn()) {
    const bool is_from_disk = watch.step.has_value();
    if (is_from_disk) {
      row_reader_ = 0;
    } else {
      const Watch::Next next = watch.cursor->next();
      if (next == Watch::Next::kNothing) {
        watch.wait = RowWatch::Wait::kChange;
        break;
      }
      if (next == Watch::Next::kDisk) {
        read_rows(watch);
        break;
      }
      if (records == 0) return Served::kOutOfRecords;
      records -= std::min(records, kStepRecords);
      watch.step = watch.cursor->step_in_memory();
    }
    if (!tell(watch, *std::exchange(watch.step, std::nullopt)) || !outbox_.empty()) break;
    // It may need a thousand such steps in a row: whoever else waits for the disk comes first.
    if (is_from_disk) break;
  }
  return outbox_.empty() ? Served::kNothing : Served::kTold;
}

void SessionCore::read_rows(RowWatch& watch) {
  // When the other's step has been told, everybody gets a turn (serve_next).
  if (row_reader_ != 0) return;
  if (loop_.now_ms() < watch.read_at_ms) {
    watch.wait = RowWatch::Wait::kTick;
    loop_.tick_no_later(*this, watch.read_at_ms);
    return;
  }
  watch.wait = RowWatch::Wait::kRead;
  row_reader_ = watch.number;
  watch.cursor->step_from_disk(
      [weak = weak_from_this(), number = watch.number](Result<WatchStep> step) {
        if (const auto self = weak.lock()) self->on_rows_read(number, std::move(step));
      });
}

void SessionCore::on_rows_read(std::uint64_t number, Result<WatchStep> step) {
  RowWatch* watch = find_watch(number);
  if (watch == nullptr || !step) row_reader_ = 0;
  if (watch != nullptr && step) {
    const std::int64_t wait_ms = principal_->charge_replay(bytes_of(step->rows));
    watch->read_at_ms = loop_.now_ms() + wait_ms;
    watch->wait = RowWatch::Wait::kNothing;
    watch->step = *std::move(step);
  } else if (watch != nullptr) {
    fail(*watch, step.error());
  }
  run();
}

// False when the watch has ended with it.
bool SessionCore::tell(RowWatch& watch, WatchStep step) {
  if (step.reset) {
    watch.untold.reset();
    watch.owes_place = false;
    if (std::exchange(watch.has_told, false)) {
      v1::ServerMessage message;
      message.mutable_watch_reset()->set_id(watch.id);
      reply(message);
    }
  }
  if (!step.rows.empty()) {
    v1::ServerMessage message;
    message.mutable_rows()->set_id(watch.id);
    for (Row& row : step.rows) put_row(*message.mutable_rows()->add_rows(), row);
    reply(message);
    watch.has_told = true;
    watch.untold.reset();
    watch.owes_place = true;
    watch.told_ms = loop_.now_ms();
  }
  if (!step.position) return true;
  watch.untold = WatchPlace{step.version, *step.position};
  if (step.snapshot_end) return tell_snapshot_end(watch);
  if (watch.owes_place) {
    tell_place(watch);
  } else {
    loop_.tick_no_later(*this, watch.told_ms + loop_.limits.position_ms);
  }
  return true;
}

void SessionCore::tell_place(RowWatch& watch) {
  v1::ServerMessage message;
  v1::WatchPosition& told = *message.mutable_watch_position();
  told.set_id(watch.id);
  told.set_position(watch.untold->position.text());
  told.set_version(watch.untold->version);
  reply(message);
  watch.untold.reset();
  watch.owes_place = false;
  watch.told_ms = loop_.now_ms();
}

// As `tell`.
bool SessionCore::tell_snapshot_end(RowWatch& watch) {
  const WatchPlace place = *std::exchange(watch.untold, std::nullopt);
  v1::ServerMessage message;
  v1::SnapshotEnd& end = *message.mutable_snapshot_end();
  end.set_id(watch.id);
  end.set_position(place.position.text());
  end.set_version(place.version);
  reply(message);
  watch.has_told = true;
  watch.owes_place = false;
  watch.told_ms = loop_.now_ms();
  if (watch.subscription == 0) return true;
  end_snapshot(watch, place.position);
  return false;
}

void SessionCore::tell_unwatched(std::string_view id, std::string_view reason) {
  v1::ServerMessage message;
  message.mutable_unwatched()->set_id(std::string(id));
  message.mutable_unwatched()->set_reason(std::string(reason));
  reply(message);
}

// ------------------------------------------------------------------ the snapshot of a subscription

void SessionCore::begin_snapshot(Subscription& subscription) {
  subscription.begin_again();
  const SnapshotSource& source = *subscription.snapshot();
  begin_watch(subscription.id(), subscription.number(),
              {source.projection, source.selection, std::nullopt});
}

void SessionCore::end_snapshot(RowWatch& watch, const Position& position) {
  Subscription& subscription = *find(watch.subscription);
  const std::string projection = watch.projection;
  remove(watch);
  // The peer may acknowledge it before delivery goes on.
  subscription.note_told(position.sequence, loop_.now_ms());
  const auto before = std::exchange(subscription.snapshot_at, position.sequence);
  if (before != position.sequence) {
    open_at(subscription, AfterPosition{position}, false);
    return;
  }
  // The events after it were gone the last time: the projection stands still below the floor.
  const std::string id = subscription.id();
  reply_error({.code = Code::kUnavailable,
               .message = fmt::format("projection '{}' stands still at {}, below the floor",
                                      projection, position.sequence)},
              id);
  remove(subscription);
  tell_unsubscribed(id, code_info(Code::kUnavailable).name);
}

// ------------------------------------------------------------------------------------------- time

void SessionCore::rows_changed() {
  bool has_any = false;
  for (const auto& watch : watches_) {
    if (watch->wait != RowWatch::Wait::kChange) continue;
    watch->wait = RowWatch::Wait::kNothing;
    has_any = true;
  }
  if (has_any && !writing_) loop_.wake(*this);
}

void SessionCore::tick_watches() {
  for (const auto& watch : watches_) {
    if (watch->wait != RowWatch::Wait::kTick) continue;
    if (watch->cursor) {
      watch->wait = RowWatch::Wait::kNothing;
      continue;
    }
    // Only the opening of a snapshot is tried again.
    const SnapshotSource& source = *find(watch->subscription)->snapshot();
    open_watch(*watch, {source.projection, source.selection, std::nullopt});
  }
}

// Not one whose step is under way: that drops what is in memory by itself, or at the next tick.
void SessionCore::let_go_of_rows() {
  for (const auto& watch : watches_) {
    if (watch->cursor && watch->wait != RowWatch::Wait::kRead) watch->cursor->let_go();
  }
}

void SessionCore::tell_progress(std::int64_t now_ms) {
  for (const auto& watch : watches_) {
    const bool is_due = now_ms - watch->told_ms >= loop_.limits.position_ms;
    if (watch->has_progress() && is_due) tell_place(*watch);
  }
}

std::int64_t SessionCore::next_watch_tick_ms(std::int64_t now_ms) const {
  std::int64_t next_ms = now_ms + loop_.limits.heartbeat_ms;
  for (const auto& watch : watches_) {
    if (watch->wait == RowWatch::Wait::kTick) return now_ms;
    if (!watch->has_progress()) continue;
    next_ms = std::min(next_ms, watch->told_ms + loop_.limits.position_ms);
  }
  return next_ms;
}

}  // namespace tidegate
