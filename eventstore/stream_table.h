#pragma once

#include <cstddef>

#include "eventstore/base/string_map.h"
#include "eventstore/stream_index.h"
#include "eventstore/types.h"

namespace tidegate {

// The last revision of every stream, as the appender needs it: those that the index does not cover
// yet are always here, others as a cache over the index. Thread: appender only.
class StreamTable {
 public:
  // Streams kept although the index covers them: about 100 bytes each.
  static constexpr std::size_t kCachedStreamsMax = 1 << 18;

  explicit StreamTable(const StreamIndex& index) : index_(index) {}

  // 0 for a stream without events. May read the disk.
  Result<Revision> last_revision(std::string_view stream);
  void appended(std::string_view stream, Revision revision, Sequence sequence);

 private:
  struct Last {
    Revision revision = 0;
    Sequence sequence = 0;
  };
  void forget_indexed();

  const StreamIndex& index_;
  StringMap<Last> streams_;
  std::size_t sweep_at_ = kCachedStreamsMax;
};

}  // namespace tidegate
