#include "eventstore/stream_table.h"

#include <algorithm>

namespace tidegate {

Result<Revision> StreamTable::last_revision(std::string_view stream) {
  const auto known = streams_.find(stream);
  if (known != streams_.end()) return known->second.revision;
  auto entry = index_.find(stream);
  if (!entry) return std::move(entry).error();
  if (!entry->has_value()) return Revision{0};
  streams_.emplace(stream, Last{(*entry)->last_revision, (*entry)->last_sequence});
  return (*entry)->last_revision;
}

void StreamTable::appended(std::string_view stream, Revision revision, Sequence sequence) {
  const auto known = streams_.find(stream);
  if (known != streams_.end()) {
    known->second = {revision, sequence};
    return;
  }
  if (streams_.size() >= sweep_at_) forget_indexed();
  streams_.emplace(stream, Last{revision, sequence});
}

void StreamTable::forget_indexed() {
  const Sequence indexed = index_.indexed();
  std::erase_if(streams_, [&](const auto& stream) { return stream.second.sequence <= indexed; });
  // When most of it is not indexed yet, the next sweep is put off, so that sweeping stays rare.
  sweep_at_ = std::max(kCachedStreamsMax, streams_.size() * 2);
}

}  // namespace tidegate
