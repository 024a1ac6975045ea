#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/types.h"

namespace tidegate {

// One event of the log as readers see it. The views live as long as the Segment that holds it.
struct RecordView {
  Sequence sequence = 0;
  Revision revision = 0;
  std::int64_t append_time_us = 0;
  Chain chain = 0;
  std::string_view stream;
  std::string_view type;
  std::string_view event;  // a serialised tidegate.v1.CloudEvent
};

// The wire forms that an event is encoded to. What they look like is delivery's business
// (gateway/delivery/codec.h).
enum class WireForm : std::uint8_t { kJson, kProto };
inline constexpr std::size_t kWireForms = 2;

// A run of events in sequence order: a piece of the tail, or a chunk read from disk. Each event has
// a slot per wire form that the first reader fills, so that its bytes are made once, whoever reads
// them.
//
// Filled by one thread (`append`), read by any number: a reader sees the first `count()` events,
// for good. Thread: any (internally synchronised); `append` and `publish` by the filling thread
// only.
class Segment {
 public:
  // `bytes_max` and `events_max` bound what is appended; both are allocated at once.
  Segment(std::size_t bytes_max, std::size_t events_max);
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  // Copies the record in; false when it does not fit. The first record always fits: its bytes get a
  // buffer of their own when they are larger than `bytes_max`. Not visible before `publish`.
  bool append(const RecordView& record);
  // Makes all that was appended up to and including `sequence` visible.
  void publish(Sequence sequence);
  // Whether all that was appended is visible (filling thread only).
  bool is_published() const { return count_.load(std::memory_order_relaxed) == appended_; }

  std::size_t count() const { return count_.load(std::memory_order_acquire); }
  const RecordView& record(std::size_t index) const { return entries_[index].record; }
  // Of the visible part; 0 when empty.
  Sequence first() const { return count() == 0 ? 0 : entries_[0].record.sequence; }
  Sequence last() const;
  // Index of the first visible event above `sequence`; count() when there is none.
  std::size_t index_after(Sequence sequence) const;

  // The event's bytes in a wire form: what an earlier call stored, or else what `encode(record,
  // out)` appends to `out`. The view lives as long as the segment. Two threads may encode at the
  // same time; one result is kept. Events that are encoded one after the other lie one after the
  // other, so that a reader of a whole run sends one piece of memory.
  template <typename Encode>
  std::string_view encoded(std::size_t index, WireForm form, Encode&& encode) const {
    const EncodedSlot& slot = entries_[index].encoded[static_cast<std::size_t>(form)];
    // Pairs with the release in `store_encoded`.
    if (const char* have = slot.bytes.load(std::memory_order_acquire)) return {have, slot.size};
    std::string made;
    encode(entries_[index].record, made);
    return store_encoded(index, form, made);
  }

  // Memory held, encoded forms included.
  std::size_t bytes() const {
    return fixed_bytes_ + encoded_bytes_.load(std::memory_order_relaxed);
  }

 private:
  // `size` is written before `bytes`, under the lock of the form's arena.
  struct EncodedSlot {
    std::atomic<const char*> bytes = nullptr;
    std::uint32_t size = 0;
  };
  struct Entry {
    RecordView record;
    mutable EncodedSlot encoded[kWireForms];
  };
  // Where the encoded events of a form lie. Blocks grow, so that one event of a large segment costs
  // little and a whole segment has few seams.
  struct EncodedArena {
    std::mutex mutex;
    std::vector<std::unique_ptr<char[]>> blocks;
    std::size_t block_bytes = 0;  // of the last block
    std::size_t used = 0;         // of the last block
  };

  std::string_view store_encoded(std::size_t index, WireForm form, std::string_view made) const;
  std::string_view copy_in(std::string_view bytes);

  const std::size_t bytes_max_;
  const std::size_t events_max_;
  std::unique_ptr<char[]> arena_;
  std::size_t arena_used_ = 0;
  std::size_t arena_size_ = 0;
  std::unique_ptr<Entry[]> entries_;
  std::size_t appended_ = 0;           // filling thread only
  std::atomic<std::size_t> count_{0};  // visible; release by `publish`, acquire by readers
  std::size_t fixed_bytes_ = 0;
  mutable EncodedArena encoded_arenas_[kWireForms];
  mutable std::atomic<std::size_t> encoded_bytes_{0};
};

using SegmentRef = std::shared_ptr<const Segment>;

}  // namespace tidegate
