#include "gateway/delivery/subscription.h"

#include <algorithm>
#include <utility>

#include "eventstore/base/check.h"
#include "gateway/delivery/loop_core.h"
#include "gateway/delivery/session_core.h"

namespace tidegate {

namespace {

// A subscription that is served again within this time has not fallen behind for anybody but us:
// without it a burst would make it say `fell_behind` and `caught_up` many times a second.
constexpr std::int64_t kTellBehindAfterMs = 1000;

}  // namespace

Subscription::Subscription(SessionCore& session, Settings settings)
    : session_(session), settings_(std::move(settings)) {
  if (settings_.window != 0) unacknowledged_.emplace();
}

Subscription::~Subscription() {
  if (state_ == State::kBehind) session_.loop().probe.behind_changed(-1);
}

void Subscription::begin_at(const Place& place) {
  TG_CHECK(state_ == State::kOpening);
  place_ = place;
  reads_here_ = 0;
  state_ = State::kBehind;
  wait_ = Wait::kNothing;
  behind_since_ms_ = session_.loop().now_ms();
  owes_caught_up_ = true;
  session_.loop().probe.behind_changed(+1);
  session_.loop().tick_no_later(session_, behind_since_ms_);
}

void Subscription::begin_again() {
  if (state_ == State::kBehind) session_.loop().probe.behind_changed(-1);
  clear_list();
  chunk_.reset();
  wait_ = Wait::kNothing;
  state_ = State::kOpening;
}

Place Subscription::reached() const {
  if (state_ == State::kLive && list_.empty())
    return later_of(place_, session_.loop().dispatched());
  return place_;
}

void Subscription::note_told(Sequence sequence, std::int64_t now_ms) {
  if (sequence > told_) told_ = sequence;
  told_ms_ = now_ms;
}

// ------------------------------------------------------------------------------------------- live

void Subscription::offer(const SegmentRef& segment, std::size_t index, const RecordView& record) {
  if (state_ != State::kLive || record.sequence <= place_.sequence) return;
  if (!settings_.filter.matches_type(record.type)) return;
  const std::size_t batch_events = session_.loop().limits.batch_events;
  if (listed_ >= batch_events || is_window_full(listed_)) {
    fall_behind();
    return;
  }
  if (list_.empty()) place_ = later_of(place_, session_.loop().before_dispatched());
  if (pins_.empty() || pins_.back() != segment) pins_.push_back(segment);
  const auto pin = static_cast<std::uint32_t>(pins_.size() - 1);
  if (!list_.empty() && list_.back().pin == pin && list_.back().end() == index) {
    ++list_.back().count;
  } else {
    list_.push_back({pin, static_cast<std::uint32_t>(index), 1});
  }
  ++listed_;
  if (session_.is_writing()) return;
  session_.loop().wake(session_);
  if (listed_ == batch_events) session_.loop().serve_soon(session_);
}

void Subscription::fill_live(EventsMessage& message) {
  std::size_t done = 0;
  for (; done < list_.size(); ++done) {
    Run& run = list_[done];
    const SegmentRef& segment = pins_[run.pin];
    while (run.count > 0 && take(segment, run.first, message)) {
      place_ = last_filled_;
      ++run.first;
      --run.count;
      --listed_;
    }
    if (run.count > 0) break;
  }
  if (done == list_.size()) {
    clear_list();
    return;
  }
  list_.erase(list_.begin(), list_.begin() + static_cast<std::ptrdiff_t>(done));
  const std::uint32_t unused = list_.front().pin;
  pins_.erase(pins_.begin(), pins_.begin() + unused);
  for (Run& run : list_) run.pin -= unused;
}

void Subscription::clear_list() {
  list_.clear();
  listed_ = 0;
  pins_.clear();
}

void Subscription::fall_behind() {
  if (state_ != State::kLive) return;
  place_ = list_.empty() ? later_of(place_, session_.loop().before_dispatched()) : place_;
  clear_list();
  state_ = State::kBehind;
  wait_ = Wait::kNothing;
  behind_since_ms_ = session_.loop().now_ms();
  session_.loop().probe.behind_changed(+1);
  session_.loop().tick_no_later(session_, behind_since_ms_);
  session_.loop().wake(session_);
}

void Subscription::become_live() {
  state_ = State::kLive;
  wait_ = Wait::kNothing;
  session_.loop().probe.behind_changed(-1);
  if (!std::exchange(owes_caught_up_, false)) return;
  session_.tell_caught_up(*this);
}

// ----------------------------------------------------------------------------------------- behind

bool Subscription::wants_turn() const {
  switch (state_) {
    case State::kOpening:
      return false;
    case State::kBehind:
      return wait_ == Wait::kNothing;
    case State::kLive:
      return !list_.empty();
  }
  return false;
}

void Subscription::fill(EventsMessage& message, std::size_t& records) {
  if (state_ == State::kLive) fill_live(message);
  if (state_ == State::kBehind) fill_behind(message, records);
}

void Subscription::fill_behind(EventsMessage& message, std::size_t& records) {
  while (state_ == State::kBehind && wait_ == Wait::kNothing) {
    if (chunk_) {
      const ReadChunk& chunk = *chunk_;
      if (chunk.segment && !walk(chunk.segment, chunk.examined, message, records)) return;
      place_ = {chunk.examined, static_cast<std::uint32_t>(chunk.chain >> 32)};
      chunk_.reset();
      continue;
    }
    const Sequence dispatched = session_.loop().dispatched().sequence;
    if (place_.sequence >= dispatched) {
      become_live();
      return;
    }
    const SegmentRef segment = session_.loop().log.tail_segment(place_.sequence + 1);
    if (!segment) {
      begin_read();
      return;
    }
    if (!walk(segment, dispatched, message, records)) return;
  }
}

bool Subscription::walk(const SegmentRef& segment, Sequence until, EventsMessage& message,
                        std::size_t& records) {
  const std::size_t batch_events = session_.loop().limits.batch_events;
  const std::size_t count = segment->count();
  for (std::size_t i = segment->index_after(place_.sequence); i < count; ++i) {
    const RecordView& record = segment->record(i);
    if (record.sequence > until) return true;
    if (records == 0 || message.events() >= batch_events) return false;
    --records;
    if (settings_.filter.matches(record.stream, record.type)) {
      if (is_window_full(0)) {
        // The peer may take its time: nothing is held for it meanwhile.
        chunk_.reset();
        wait_ = Wait::kWindow;
        return false;
      }
      if (!take(segment, i, message)) return false;
    }
    place_ = place_of(record);
  }
  return true;
}

bool Subscription::take(const SegmentRef& segment, std::size_t index, EventsMessage& message) {
  const SessionLimits& limits = session_.loop().limits;
  if (message.events() >= limits.batch_events || message.runs() >= limits.batch_runs) return false;
  const WireForm form = session_.form();
  const std::string_view bytes = segment->encoded(
      index, form,
      [form](const RecordView& record, std::string& out) { encode_event(form, record, out); });
  // An event that is larger than a batch travels alone.
  if (message.events() > 0 && message.bytes() + bytes.size() > limits.batch_bytes) return false;
  message.add(bytes, segment);
  last_filled_ = place_of(segment->record(index));
  if (settings_.window != 0) unacknowledged_->push_back(last_filled_.sequence);
  return true;
}

bool Subscription::is_window_full(std::size_t listed) const {
  return settings_.window != 0 && unacknowledged_->size() + listed >= settings_.window;
}

void Subscription::begin_read() {
  if (!owes_caught_up_) {
    owes_caught_up_ = true;
    session_.tell_fell_behind(*this);
  }
  if (session_.loop().now_ms() < read_at_ms_) {
    wait_ = Wait::kTick;
    return;
  }
  wait_ = Wait::kRead;
  session_.begin_read(*this, ++read_, place_.sequence, next_look_ups());
}

// Few at first, so that the first events come soon, and no more than the peer may be sent.
std::size_t Subscription::next_look_ups() {
  constexpr std::size_t kFirstLookUps = 2;
  constexpr std::uint32_t kDoublings = 7;
  std::size_t look_ups = kFirstLookUps << std::min(reads_here_, kDoublings);
  static_assert(kFirstLookUps << kDoublings == Reader::kLookUpsMax);
  reads_here_ = std::min(reads_here_ + 1, kDoublings);
  if (settings_.window != 0) {
    look_ups = std::min<std::size_t>(look_ups, settings_.window - unacknowledged_->size());
  }
  return std::max<std::size_t>(look_ups, 1);
}

void Subscription::on_read(ReadChunk chunk) {
  // Nothing new although the loop has dispatched more: ask again later rather than at once.
  if (chunk.examined <= place_.sequence) {
    wait_ = Wait::kTick;
    return;
  }
  wait_ = Wait::kNothing;
  chunk_ = std::move(chunk);
}

// -------------------------------------------------------------------------------- the peer's moves

void Subscription::change_filter(Filter filter) {
  place_ = reached();
  settings_.filter = std::move(filter);
  chunk_.reset();
  // What is listed, read or under way was chosen by the old filter.
  if (state_ == State::kBehind) wait_ = Wait::kNothing;
  if (state_ == State::kLive && !list_.empty()) fall_behind();
}

void Subscription::acknowledge(Sequence sequence) {
  while (unacknowledged_ && !unacknowledged_->empty() && unacknowledged_->front() <= sequence) {
    unacknowledged_->pop_front();
  }
  if (wait_ == Wait::kWindow && !is_window_full(0)) wait_ = Wait::kNothing;
}

// ------------------------------------------------------------------------------------------- time

void Subscription::let_go() {
  chunk_.reset();
  if (state_ == State::kLive && !list_.empty()) fall_behind();
}

void Subscription::tick(std::int64_t now_ms) {
  if (state_ != State::kBehind) return;
  if (wait_ == Wait::kTick) wait_ = Wait::kNothing;
  if (owes_caught_up_ || now_ms - behind_since_ms_ < kTellBehindAfterMs) return;
  owes_caught_up_ = true;
  session_.tell_fell_behind(*this);
}

std::int64_t Subscription::next_tick_ms(std::int64_t now_ms) const {
  constexpr std::int64_t kLookMs = 2500;
  switch (state_) {
    case State::kOpening:
      return open_at_tick ? now_ms : now_ms + session_.loop().limits.position_ms;
    case State::kBehind:
      return now_ms;
    case State::kLive: {
      const std::int64_t due_ms = told_ms_ + session_.loop().limits.position_ms;
      if (due_ms > now_ms) return due_ms;
      // What the loop dispatches to others moves the place of one that has nothing to send.
      return list_.empty() && reached().sequence <= told_ ? kWhenTheLoopMoves : now_ms + kLookMs;
    }
  }
  return now_ms;
}

bool Subscription::is_position_due(std::int64_t now_ms) const {
  return state_ != State::kOpening && list_.empty() &&
         now_ms - told_ms_ >= session_.loop().limits.position_ms && reached().sequence > told_;
}

}  // namespace tidegate
