#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "eventstore/filter.h"
#include "eventstore/segment.h"

namespace tidegate {

class Storage;
class Tail;
class ChunkCache;
class History;
class StreamIndex;

// A step of a read: the events to look at and how far that gets the reader.
struct ReadChunk {
  // Events in sequence order (a few MiB at most, or one event), for the reader to filter by itself.
  // Null when nothing is in reach. It may hold events outside (after, examined]: they are to be
  // ignored, an earlier or later step covers them.
  SegmentRef segment;
  // Every event in (after, examined] that the filter matches is in `segment`. Reading backward: in
  // [examined, before).
  Sequence examined = 0;
  // At `examined`, so that it can be told as a position (reading forward only).
  Chain chain = 0;
};

// Where a read begins, as users ask for it.
struct AfterPosition {
  Position position;
};
struct AfterSequence {
  Sequence sequence = 0;
};
struct FromTime {
  std::int64_t time_us = 0;  // append time, inclusive
};
struct FromStart {};
struct FromHead {};
struct LastN {
  std::uint32_t count = 0;
};
using StartPlace = std::variant<FromHead, FromStart, AfterPosition, AfterSequence, FromTime, LastN>;

// The answer to a StartPlace.
struct ResolvedStart {
  enum class Outcome : std::uint8_t {
    kOk,
    kTrimmed,     // events after the place are gone: `after` is the requested place, `floor` the
                  // lowest still held
    kRewound,     // the history of the position is not this log's
    kAhead,       // above the head
    kUnknownLog,  // no history that this log descends from
  };
  Outcome outcome = Outcome::kOk;
  Sequence after = 0;
  Position position;  // of `after`, in the current history (kOk only)
  bool resumed = false;
  Sequence floor = 1;
  Sequence head = 0;
};

// THE cursor loop's source: the next events after a place, from memory or disk.
//
// All functions may read the disk and block: never call them on an I/O loop (use
// EventStore::post_read). Thread: any (internally synchronised).
class Reader {
 public:
  Reader(const Storage& storage, const Tail& tail, ChunkCache& chunks, const StreamIndex& index,
         const History& history);
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  // Reading beside a trim is safe: what it takes away in the middle of a read counts as trimmed,
  // never as missing.
  //
  // The next step after `after`. At the head: a null segment and examined == after. A filter that
  // few streams match is answered by the stream index as long as their events are scattered; such a
  // step has at most `look_ups` events, because each is looked up in the log by itself: a reader
  // that wants the first of them soon asks for few. kTrimmed when `after` + 1 is below the floor,
  // kDataLoss when the disk cannot give what it should.
  static constexpr std::size_t kLookUpsMax = 256;
  Result<ReadChunk> read(const Filter& filter, Sequence after,
                         std::size_t look_ups = kLookUpsMax) const;
  // The step below `before`; ends with examined == floor. Events of the segment are in ascending
  // order.
  Result<ReadChunk> read_backward(const Filter& filter, Sequence before) const;

  // Turns a place into a sequence and checks the history.
  Result<ResolvedStart> resolve(const StartPlace& place, const Filter& filter) const;
  // The position of a sequence between floor - 1 and head.
  Result<Position> position_at(Sequence sequence) const;
  // Last sequence appended before this time; at least floor - 1.
  Result<Sequence> last_before_time(std::int64_t time_us) const;

 private:
  template <typename Attempt>
  auto beside_trims(const Attempt& attempt) const;
  Result<ReadChunk> read_once(const Filter& filter, Sequence after, std::size_t look_ups) const;
  Result<ReadChunk> read_backward_once(const Filter& filter, Sequence before) const;
  Result<ReadChunk> read_run(Sequence after) const;
  Result<std::optional<std::vector<std::string>>> few_streams(const Filter& filter) const;
  Result<ReadChunk> read_streams(const std::vector<std::string>& streams, Sequence after,
                                 Sequence indexed, std::size_t look_ups) const;
  Result<ReadChunk> read_streams_backward(const std::vector<std::string>& streams,
                                          Sequence before) const;
  Result<SegmentRef> load(const std::vector<Sequence>& sequences) const;
  Result<Chain> chain_at(Sequence sequence) const;
  Result<std::int64_t> time_at(Sequence sequence) const;
  Result<Sequence> search_time(std::int64_t time_us) const;
  Result<Sequence> before_last(const Filter& filter, std::uint32_t count) const;
  Result<ResolvedStart> resolve_position(const Position& position) const;
  Result<ResolvedStart> start_at(Sequence after) const;
  Result<ResolvedStart> start_after(Sequence after) const;

  const Storage& storage_;
  const Tail& tail_;
  ChunkCache& chunks_;
  const StreamIndex& index_;
  const History& history_;
};

// Reads the events from `first` to `last` at most into a segment: what ChunkCache loads. It ends
// early when they are large, after a few MiB and one event at least. kDataLoss when an event is
// missing.
Result<SegmentRef> read_segment(const Storage& storage, Sequence first, Sequence last);

}  // namespace tidegate
