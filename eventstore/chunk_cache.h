#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <unordered_map>

#include "eventstore/base/result.h"
#include "eventstore/segment.h"

namespace tidegate {

// Decoded pieces of the log below the tail, cut at fixed sequences, so that a thousand readers at
// nearby places cost one disk read per piece. Two readers that want the same piece at the same time
// share one load. Thread: any (internally synchronised).
class ChunkCache {
 public:
  // Chunk k holds the sequences k * kChunkEvents + 1 .. (k + 1) * kChunkEvents.
  static constexpr std::size_t kChunkEvents = 1024;
  static std::uint64_t chunk_of(Sequence sequence) { return (sequence - 1) / kChunkEvents; }
  static Sequence first_of(std::uint64_t chunk) { return chunk * kChunkEvents + 1; }
  static Sequence last_of(std::uint64_t chunk) { return (chunk + 1) * kChunkEvents; }

  // `load` reads a chunk from disk; it may be called on several threads for different chunks.
  using Load = std::function<Result<SegmentRef>(std::uint64_t chunk)>;
  ChunkCache(std::size_t bytes_max, Load load);
  ChunkCache(const ChunkCache&) = delete;
  ChunkCache& operator=(const ChunkCache&) = delete;

  // Blocks while the chunk is read. A failed load is not kept: the next call tries again.
  Result<SegmentRef> get(std::uint64_t chunk);

 private:
  struct Entry {
    SegmentRef segment;  // null while it is being loaded
    std::list<std::uint64_t>::iterator place;
  };
  void evict_locked();

  const std::size_t bytes_max_;
  const Load load_;
  std::mutex mutex_;
  std::condition_variable loaded_;
  // All under mutex_.
  std::unordered_map<std::uint64_t, Entry> entries_;
  std::list<std::uint64_t> recent_;  // newest use first; loaded ones only
};

}  // namespace tidegate
