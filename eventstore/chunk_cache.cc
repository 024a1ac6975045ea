#include "eventstore/chunk_cache.h"

#include <algorithm>

namespace tidegate {

ChunkCache::ChunkCache(std::size_t bytes_max, Load load)
    : bytes_max_(bytes_max), load_(std::move(load)) {}

Result<SegmentRef> ChunkCache::get(std::uint64_t chunk) {
  {
    std::unique_lock lock(mutex_);
    auto found = entries_.find(chunk);
    while (found != entries_.end() && !found->second.segment) {
      loaded_.wait(lock);
      found = entries_.find(chunk);
    }
    if (found != entries_.end()) {
      recent_.splice(recent_.begin(), recent_, found->second.place);
      return found->second.segment;
    }
    entries_[chunk] = {};
  }
  auto segment = load_(chunk);
  {
    const std::lock_guard lock(mutex_);
    if (segment) {
      recent_.push_front(chunk);
      entries_[chunk] = {*segment, recent_.begin()};
      evict_locked();
    } else {
      entries_.erase(chunk);
    }
  }
  loaded_.notify_all();
  return segment;
}

void ChunkCache::evict_locked() {
  // The sizes grow while readers encode, so they are added up anew; there are a few hundred
  // entries.
  std::size_t sum = 0;
  for (const std::uint64_t chunk : recent_) sum += entries_[chunk].segment->bytes();
  while (sum > bytes_max_ && recent_.size() > 1) {
    const auto oldest = entries_.find(recent_.back());
    sum -= std::min(sum, oldest->second.segment->bytes());
    entries_.erase(oldest);
    recent_.pop_back();
  }
}

}  // namespace tidegate
