#include "eventstore/derived_rows.h"

#include <limits>
#include <utility>

namespace tidegate {

DerivedRows::DerivedRows(Storage& storage) : storage_(storage) {}

DerivedRows::Batch::Batch(const DerivedRows& rows) : batch_(rows.storage_) {}

void DerivedRows::Batch::put(std::string_view key, std::string_view value) {
  batch_.put(Family::kProjections, key, value);
}
void DerivedRows::Batch::remove(std::string_view key) {
  batch_.remove(Family::kProjections, key);
}
void DerivedRows::Batch::remove_range(std::string_view lower, std::string_view upper) {
  batch_.remove_range(Family::kProjections, lower, upper);
}

Status DerivedRows::write(Batch& batch) {
  auto room = storage_.make_room(Family::kProjections);
  if (!room) return room;
  return storage_.write_unlogged(batch.batch_);
}

Status DerivedRows::write_durable(Batch& batch) {
  return storage_.write_synced(batch.batch_);
}

Result<std::optional<std::string>> DerivedRows::get(std::string_view key) const {
  return storage_.get(Family::kProjections, key);
}

std::unique_ptr<StorageIterator> DerivedRows::iterate(std::string lower, std::string upper) const {
  return storage_.iterate(Family::kProjections,
                          {.lower = std::move(lower), .upper = std::move(upper)});
}

Status DerivedRows::flush() {
  return storage_.flush(Family::kProjections);
}

void DerivedRows::hold_trims(std::function<Sequence()> needed) {
  const std::lock_guard lock(needed_mutex_);
  needed_ = std::move(needed);
}

Result<Sequence> DerivedRows::floor_max() {
  Sequence needed = 0;
  {
    const std::lock_guard lock(needed_mutex_);
    if (!needed_) return std::numeric_limits<Sequence>::max();
    needed = needed_();
  }
  // After the question: what was folded by then is in the flush, so that no crash makes an event
  // below `needed` necessary again.
  auto flushed = flush();
  if (!flushed) return std::move(flushed).error();
  return needed;
}

}  // namespace tidegate
