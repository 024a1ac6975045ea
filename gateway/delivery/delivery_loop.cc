#include "gateway/delivery/delivery_loop.h"

#include <algorithm>
#include <utility>

#include "eventstore/base/check.h"
#include "gateway/delivery/loop_core.h"
#include "gateway/delivery/session.h"
#include "gateway/delivery/session_core.h"

namespace tidegate {

LoopCore::LoopCore(LogAccess& log_access, ProjectionAccess& projection_access, const Clock& clock,
                   const SessionLimits& session_limits, DeliveryProbe& observer,
                   const Authority& token_authority, Presence* presence_keeper,
                   std::string server_name)
    : log(log_access),
      projections(projection_access),
      limits(session_limits),
      probe(observer),
      authority(token_authority),
      presence(presence_keeper),
      server(std::move(server_name)),
      clock_(clock),
      timers_(clock.steady_ms()),
      revocations_(token_authority.revocations()),
      random_(static_cast<std::minstd_rand::result_type>(clock.wall_us())) {
  jump_to(log.head());
}

LoopCore::~LoopCore() {
  TG_CHECK(sessions_.empty(), sessions_.size());
}

// --------------------------------------------------------------------------------------- dispatch

bool LoopCore::dispatch() {
  turn_ms_ = clock_.steady_ms();
  const bool has_more = walk();
  const bool has_waiting = serve_ready();
  turn_ms_.reset();
  return has_more || has_waiting;
}

// Offers what follows `dispatched` to whom it may concern. True when it stopped before the head.
bool LoopCore::walk() {
  const Sequence head = log.head();
  if (index.empty()) {
    jump_to(head);
    return false;
  }
  std::size_t left = kDispatchedPerTurn;
  while (dispatched_.sequence < head) {
    const SegmentRef segment = log.tail_segment(dispatched_.sequence + 1);
    if (!segment) {
      // The loop stood still for longer than the tail reaches back. Everybody goes on by reading.
      before_ = dispatched_;
      for (SessionCore* session : sessions_) session->fall_behind();
      jump_to(head);
      return false;
    }
    // It may show events a moment before the head says so. Whoever got such a one could come back
    // with its position before the log knows it.
    const std::size_t count = segment->index_after(head);
    for (std::size_t i = segment->index_after(dispatched_.sequence); i < count; ++i) {
      if (left == 0) return true;
      --left;
      offer(segment, i);
    }
  }
  return false;
}

void LoopCore::offer(const SegmentRef& segment, std::size_t at) {
  const RecordView& record = segment->record(at);
  // `dispatched` moves first: a subscription that catches up while this event is offered reads it
  // by itself and is not missed, and one that is offered it as well ignores it.
  before_ = dispatched_;
  dispatched_ = place_of(record);
  has_moved_ = true;
  for (const InterestIndex::Interest& interest : index.match(record.stream)) {
    interest.who->offer(segment, at, record);
  }
  if (full_.empty()) return;
  for (SessionCore* session : full_) {
    std::size_t records = kRecordsPerTurn;
    if (session->pump(records)) wake(*session);
  }
  full_.clear();
}

const std::string& LoopCore::position_text(const Place& place) {
  if (text_.empty() || place != text_of_) {
    text_of_ = place;
    text_.clear();
    Position{log.log_id(), place.sequence, place.check}.append_to(text_);
  }
  return text_;
}

void LoopCore::watch_rows() {
  row_changes_ = projections.on_change([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->rows_changed();
  });
}

void LoopCore::rows_changed() {
  for (SessionCore* session : watching_) session->rows_changed();
}

void LoopCore::jump_to(Sequence head) {
  // Nobody is live, so nobody asks for the check.
  dispatched_ = {head, 0};
  has_moved_ = true;
  before_ = dispatched_;
}

// ------------------------------------------------------------------------------------------ turns

void LoopCore::wake(SessionCore& session) {
  if (!session.is_ready) {
    session.is_ready = true;
    ready_.push_back(&session);
  }
  if (!turn_ms_) schedule();
}

void LoopCore::schedule() {
  if (std::exchange(scheduled_, true)) return;
  log.later([weak = weak_from_this()] {
    const std::shared_ptr<LoopCore> self = weak.lock();
    if (!self) return;
    self->scheduled_ = false;
    const bool has_waiting = self->serve_ready();
    self->turn_ms_.reset();
    if (has_waiting) self->schedule();
  });
}

// A block at a time: messages are made for all of them and then written. Each of the two runs
// faster while it has the processor's caches for itself (a thousand subscribers at 50 events/s:
// 5-7% of the processor time of a delivery), and a block is small enough for both to stay there.
bool LoopCore::serve_ready() {
  constexpr std::size_t kBlock = 64;
  std::size_t total = kRecordsPerLoopTurn;
  const auto examine = [&total](std::size_t& records, const auto& step) {
    records = std::min(records, total);
    total -= records;
    step(records);
    total += records;
  };
  const std::size_t waiting = ready_.size();
  std::size_t served = 0;
  while (served < waiting && total > 0) {
    turn_ms_ = clock_.steady_ms();
    const std::size_t count = std::min(kBlock, waiting - served);
    std::array<std::size_t, kBlock> records{};
    records.fill(kRecordsPerTurn);
    for (std::size_t i = 0; i < count; ++i) {
      SessionCore& session = *ready_[served + i];
      session.is_ready = false;
      examine(records[i], [&](std::size_t& left) { session.prepare(left); });
    }
    for (std::size_t i = 0; i < count; ++i) {
      SessionCore& session = *ready_[served + i];
      bool wants_more = false;
      examine(records[i], [&](std::size_t& left) { wants_more = session.pump(left); });
      if (wants_more) wake(session);  // behind those who have not had their turn
    }
    served += count;
  }
  ready_.erase(ready_.begin(), ready_.begin() + static_cast<std::ptrdiff_t>(served));
  return !ready_.empty();
}

// --------------------------------------------------------------------------------------- sessions

void LoopCore::add(SessionCore& session) {
  session.loop_slot = sessions_.size();
  sessions_.push_back(&session);
  tick_no_later(session, now_ms());
}

void LoopCore::remove(SessionCore& session) {
  sessions_.back()->loop_slot = session.loop_slot;
  sessions_[session.loop_slot] = sessions_.back();
  sessions_.pop_back();
  timers_.remove(session);
  unrest(session);
  if (session.is_ready) std::erase(ready_, &session);
}

void LoopCore::tick() {
  const std::int64_t now = now_ms();
  wake_resting(now);
  timers_.advance(now, [&](SessionCore& session) {
    const std::int64_t next_ms = session.tick(now);
    timers_.set_no_later(session, next_ms);
  });
  const std::uint64_t revocations = authority.revocations();
  if (std::exchange(revocations_, revocations) == revocations) return;
  for (SessionCore* session : sessions_) session->check_revoked();
}

void LoopCore::rest(SessionCore& session) {
  if (session.resting_slot) return;
  session.resting_list = rests_into_;
  session.resting_slot = resting_[rests_into_].size();
  resting_[rests_into_].push_back(&session);
}

void LoopCore::unrest(SessionCore& session) {
  if (!session.resting_slot) return;
  std::vector<SessionCore*>& list = resting_[session.resting_list];
  list.back()->resting_slot = session.resting_slot;
  list[*session.resting_slot] = list.back();
  list.pop_back();
  session.resting_slot.reset();
}

// Some at a time, because each sends a position: about 6 ms. Who goes to rest meanwhile waits for
// the next move.
void LoopCore::wake_resting(std::int64_t now_ms) {
  constexpr std::size_t kWokenPerTick = 1024;
  if (resting_[1 - rests_into_].empty() && std::exchange(has_moved_, false))
    rests_into_ = 1 - rests_into_;
  std::vector<SessionCore*>& woken = resting_[1 - rests_into_];
  for (std::size_t left = kWokenPerTick; left > 0 && !woken.empty(); --left) {
    SessionCore& session = *woken.back();
    unrest(session);
    tick_no_later(session, now_ms);
  }
}

void LoopCore::tick_no_later(SessionCore& session, std::int64_t due_ms) {
  timers_.set_no_later(session, due_ms);
}

void LoopCore::drain(std::int64_t spread_ms) {
  draining_ = true;
  drain_spread_ms_ = spread_ms;
  std::uniform_int_distribution<std::int64_t> spread(0, std::max<std::int64_t>(spread_ms, 0));
  for (SessionCore* session : sessions_) session->drain_at(now_ms() + spread(random_));
}

std::uint32_t LoopCore::reconnect_after_ms() {
  // At least as spread out as the drain itself, so that the other gateways are not met by a wave.
  constexpr std::int64_t kLeastMs = 250;
  constexpr std::int64_t kSpreadMs = 2000;
  constexpr std::int64_t kMostMs = 60'000;
  const std::int64_t spread_ms = std::clamp(drain_spread_ms_, kSpreadMs, kMostMs);
  std::uniform_int_distribution<std::int64_t> wait(kLeastMs, kLeastMs + spread_ms);
  return static_cast<std::uint32_t>(wait(random_));
}

// ----------------------------------------------------------------------------------- DeliveryLoop

DeliveryLoop::DeliveryLoop(LogAccess& log, ProjectionAccess& projections, const Clock& clock,
                           const SessionLimits& limits, DeliveryProbe& probe,
                           const Authority& authority, Presence* presence, std::string server)
    : core_(std::make_shared<LoopCore>(log, projections, clock, limits, probe, authority, presence,
                                       std::move(server))) {
  core_->watch_rows();
}

DeliveryLoop::~DeliveryLoop() = default;

std::unique_ptr<Session> DeliveryLoop::open(Transport& transport, WireForm form,
                                            PrincipalRef principal, std::string connection) {
  auto core = std::make_shared<SessionCore>(*core_, transport, form, std::move(principal),
                                            std::move(connection));
  core->begin();
  return std::unique_ptr<Session>(new Session(std::move(core)));
}

bool DeliveryLoop::dispatch() {
  return core_->dispatch();
}
void DeliveryLoop::tick() {
  core_->tick();
}
void DeliveryLoop::drain(std::int64_t spread_ms) {
  core_->drain(spread_ms);
}
std::size_t DeliveryLoop::sessions() const {
  return core_->sessions();
}

}  // namespace tidegate
