#include "eventstore/tail.h"

#include <algorithm>

#include "eventstore/base/check.h"

namespace tidegate {
namespace {

// Segments are the unit in which the tail forgets and in which slow writers pin memory.
constexpr std::size_t kSegmentBytes = 1 << 20;
constexpr std::size_t kSegmentEvents = 4096;

}  // namespace

Tail::Tail(std::size_t bytes_max, Head start)
    : bytes_max_(bytes_max),
      state_(State{{}, {}, start}),
      head_sequence_(start.sequence),
      first_(start.sequence + 1) {}

void Tail::append(const RecordView& record) {
  if (!filling_ || !filling_->append(record)) {
    start_segment(record);
    return;
  }
  if (unpublished_.empty() || unpublished_.back() != filling_) unpublished_.push_back(filling_);
}

void Tail::start_segment(const RecordView& record) {
  // A small tail has small segments, so that it can forget in steps.
  filling_ = std::make_shared<Segment>(
      std::min(kSegmentBytes, std::max<std::size_t>(bytes_max_ / 8, 4096)),
      std::min(kSegmentEvents, std::max<std::size_t>(bytes_max_ / 2048, 16)));
  const bool fits = filling_->append(record);
  TG_CHECK(fits, record.event.size());
  unpublished_.push_back(filling_);
  state_.with([&](State& state) {
    state.segments.push_back(filling_);
    state.firsts.push_back(record.sequence);
  });
}

void Tail::publish(Head head) {
  for (const auto& segment : unpublished_) segment->publish(head.sequence);
  // A segment that still has events above the head stays on the list.
  std::erase_if(unpublished_, [](const auto& segment) { return segment->is_published(); });
  state_.with([&](State& state) { state.head = head; });
  // Pairs with the acquire in head(): who sees the head finds its events.
  head_sequence_.store(head.sequence, std::memory_order_release);
  drop_oldest();
}

void Tail::drop_oldest() {
  std::vector<std::shared_ptr<Segment>> dropped;  // freed after the lock
  state_.with([&](State& state) {
    std::size_t sum = 0;
    for (const auto& segment : state.segments) sum += segment->bytes();
    // The newest segment stays, and so does one whose events are not all visible yet.
    while (sum > bytes_max_ && state.segments.size() > 1 &&
           state.segments.front()->is_published()) {
      sum -= std::min(sum, state.segments.front()->bytes());
      dropped.push_back(std::move(state.segments.front()));
      state.segments.pop_front();
      state.firsts.pop_front();
    }
    bytes_.store(sum, std::memory_order_relaxed);
    if (!state.firsts.empty()) first_.store(state.firsts.front(), std::memory_order_release);
  });
}

Head Tail::durable_head() const {
  return state_.with([](const State& state) { return state.head; });
}

SegmentRef Tail::find(Sequence sequence) const {
  if (sequence > head()) return nullptr;
  return state_.with([&](const State& state) -> SegmentRef {
    const auto after = std::upper_bound(state.firsts.begin(), state.firsts.end(), sequence);
    if (after == state.firsts.begin()) return nullptr;
    return state.segments[static_cast<std::size_t>(after - state.firsts.begin()) - 1];
  });
}

}  // namespace tidegate
