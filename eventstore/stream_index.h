#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/container/inlined_vector.h>

#include "eventstore/base/result.h"
#include "eventstore/base/string_map.h"
#include "eventstore/filter.h"
#include "eventstore/segment.h"
#include "eventstore/storage.h"
#include "eventstore/types.h"

namespace tidegate {

// What the index knows of a stream.
struct StreamEntry {
  std::uint64_t number = 0;
  Revision first_revision = 0;
  Revision last_revision = 0;
  Sequence last_sequence = 0;
};

struct NamedStream {
  std::string name;
  StreamEntry entry;
};

// From stream to sequences, derived from the log and written off the path of acknowledgement,
// without a write-ahead log. A crash loses its newest part; it is then derived again (applying a
// part twice changes nothing).
//
// `apply` folds events in order; look-ups see everything up to `indexed()`.
// Thread: any (internally synchronised) for look-ups, which read the disk; `open`, `apply` and
// `flush` by one thread.
class StreamIndex {
 public:
  explicit StreamIndex(Storage& storage);
  StreamIndex(const StreamIndex&) = delete;
  StreamIndex& operator=(const StreamIndex&) = delete;

  // Reads the checkpoint.
  Status open();
  // Adds the events of `segment` that come after indexed(), up to and including `last`.
  Status apply(const Segment& segment, Sequence last);
  // Writes its memory to disk. After it, the log below flushed() may be trimmed.
  Status flush();

  Sequence indexed() const { return indexed_.load(std::memory_order_acquire); }
  Sequence flushed() const { return flushed_.load(std::memory_order_acquire); }

  Result<std::optional<StreamEntry>> find(std::string_view stream) const;
  // In name order, after `after_name` (exclusive).
  Result<std::vector<NamedStream>> list(std::string_view prefix, std::string_view after_name,
                                        std::size_t limit) const;
  // The names of the streams that the pattern matches; nothing when finding them takes more than
  // `names_max` names or a look at more than `rows_max` streams that begin alike.
  Result<std::optional<std::vector<std::string>>> matching(const Pattern& pattern,
                                                           std::size_t names_max,
                                                           std::size_t rows_max) const;
  // The stream's sequences above `after` and up to `until`, ascending, at most `limit` (a run that
  // is begun is finished, so it may be more).
  Result<std::vector<Sequence>> sequences_after(std::string_view stream, Sequence after,
                                                Sequence until, std::size_t limit) const;
  // Those below `before`, descending.
  Result<std::vector<Sequence>> sequences_before(std::string_view stream, Sequence before,
                                                 std::size_t limit) const;

 private:
  struct Stream {
    StreamEntry entry;
    absl::InlinedVector<Sequence, 2> run = {};  // what `apply` adds to it
  };
  using Streams = StringMap<Stream>;
  // What `apply` is about to write.
  struct Part {
    std::vector<Streams::value_type*> streams;  // those with a run
    Sequence end;
    std::uint64_t next_number;
  };
  // Kept so that `apply` need not look them up: about 150 bytes each.
  static constexpr std::size_t kKnownStreamsMax = 1 << 18;

  Status collect(const Segment& segment, Sequence last, Part& part);
  Result<Streams::value_type*> known(std::string_view stream, Revision first_revision,
                                     std::uint64_t& next_number);
  Status write(Part& part);

  Storage& storage_;
  // Of the applying thread.
  std::uint64_t next_stream_number_ = 1;
  Streams known_;

  std::atomic<Sequence> indexed_{0};
  std::atomic<Sequence> flushed_{0};
};

// The run row of an index value; kDataLoss when malformed. For verification.
struct IndexRun {
  Revision first_revision = 0;
  std::vector<Sequence> sequences;
};
Result<IndexRun> decode_run(std::string_view value);
Result<StreamEntry> decode_stream_entry(std::string_view value);

}  // namespace tidegate
