#include "eventstore/segment.h"

#include <algorithm>
#include <cstring>

#include "eventstore/base/check.h"

namespace tidegate {
namespace {

constexpr std::size_t kEncodedBlockBytesMin = std::size_t{4} << 10;
constexpr std::size_t kEncodedBlockBytesMax = std::size_t{256} << 10;

}  // namespace

Segment::Segment(std::size_t bytes_max, std::size_t events_max)
    : bytes_max_(bytes_max), events_max_(events_max) {
  TG_CHECK(events_max > 0);
  entries_ = std::make_unique<Entry[]>(events_max);
  fixed_bytes_ = events_max * sizeof(Entry);
}

bool Segment::append(const RecordView& record) {
  const std::size_t need = record.stream.size() + record.event.size();
  if (appended_ == 0) {
    arena_size_ = std::max(bytes_max_, need);
    arena_ = std::make_unique_for_overwrite<char[]>(arena_size_);
    fixed_bytes_ += arena_size_;
  }
  if (appended_ == events_max_ || need > arena_size_ - arena_used_) return false;
  RecordView& copy = entries_[appended_].record;
  copy = record;
  copy.stream = copy_in(record.stream);
  copy.event = copy_in(record.event);
  // The type is part of the event's bytes: point into the copy.
  if (!record.type.empty()) {
    const auto offset = static_cast<std::size_t>(record.type.data() - record.event.data());
    copy.type = copy.event.substr(offset, record.type.size());
  }
  ++appended_;
  return true;
}

void Segment::publish(Sequence sequence) {
  std::size_t count = count_.load(std::memory_order_relaxed);
  while (count < appended_ && entries_[count].record.sequence <= sequence) ++count;
  // Pairs with the acquire in count(): readers see the entries that were filled before.
  count_.store(count, std::memory_order_release);
}

Sequence Segment::last() const {
  const std::size_t visible = count();
  return visible == 0 ? 0 : entries_[visible - 1].record.sequence;
}

std::size_t Segment::index_after(Sequence sequence) const {
  const Entry* const begin = entries_.get();
  const Entry* const found = std::upper_bound(
      begin, begin + count(), sequence,
      [](Sequence wanted, const Entry& entry) { return wanted < entry.record.sequence; });
  return static_cast<std::size_t>(found - begin);
}

std::string_view Segment::store_encoded(std::size_t index, WireForm form,
                                        std::string_view made) const {
  EncodedSlot& slot = entries_[index].encoded[static_cast<std::size_t>(form)];
  EncodedArena& arena = encoded_arenas_[static_cast<std::size_t>(form)];
  const std::lock_guard lock(arena.mutex);
  // Another thread may have been first.
  if (const char* have = slot.bytes.load(std::memory_order_relaxed)) return {have, slot.size};
  if (made.size() > arena.block_bytes - arena.used) {
    const std::size_t grown =
        std::clamp(arena.block_bytes * 2, kEncodedBlockBytesMin, kEncodedBlockBytesMax);
    arena.block_bytes = std::max(grown, made.size());
    arena.used = 0;
    arena.blocks.push_back(std::make_unique_for_overwrite<char[]>(arena.block_bytes));
    encoded_bytes_.fetch_add(arena.block_bytes, std::memory_order_relaxed);
  }
  char* const place = arena.blocks.back().get() + arena.used;
  std::memcpy(place, made.data(), made.size());
  arena.used += made.size();
  slot.size = static_cast<std::uint32_t>(made.size());
  // Pairs with the acquire in `encoded`: the bytes and the size are there.
  slot.bytes.store(place, std::memory_order_release);
  return {place, made.size()};
}

std::string_view Segment::copy_in(std::string_view bytes) {
  char* const place = arena_.get() + arena_used_;
  std::memcpy(place, bytes.data(), bytes.size());
  arena_used_ += bytes.size();
  return {place, bytes.size()};
}

}  // namespace tidegate
