#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/base/clock.h"
#include "eventstore/base/result.h"
#include "eventstore/base/string_map.h"
#include "eventstore/event_store.h"
#include "projections/fold.h"
#include "projections/projection.h"

namespace tidegate {

// Folds one version: reads the log after its checkpoint, applies the events that its definition
// wants, commits rows and checkpoint together.
//
//   ┌──▶ from the checkpoint: step, step, .. commit, step, ..
//   │           │ event n fails            │ rows, log or script fail
//   │           ▼                          │
//   │    from the checkpoint to n-1        │
//   │           │ commit                   │
//   │           ▼                          │
//   └─────── FAILED ◀──────────────────────┘
//    retry, skip
//
// After a failed event the rows in memory are not to be trusted: what was folded since the
// checkpoint is folded once more, up to the event before, so that the version stands exactly there.
// Thread: the folding thread only.
class Projector {
 public:
  struct Limits {
    std::size_t step_events = 0;
    std::int64_t step_ms = 0;
    std::size_t row_cache_bytes_max = 0;
  };
  Projector(const EventStore& store, std::shared_ptr<Projection> projection,
            std::shared_ptr<FoldedVersion> version, const Limits& limits, const Clock& clock,
            ProjectionProbe& probe);
  Projector(const Projector&) = delete;
  Projector& operator=(const Projector&) = delete;

  const std::shared_ptr<Projection>& projection() const { return projection_; }
  const std::shared_ptr<FoldedVersion>& version() const { return version_; }
  // Events that it has yet to look at; 0 while it is paused or has failed.
  Sequence behind(Sequence head) const;

  enum class Outcome : std::uint8_t { kGoesOn, kCommitted, kFailed };
  // A bounded step towards the head as it is now.
  Outcome step();

 private:
  struct Step {
    Sequence target = 0;
    std::int64_t end_ms = 0;
    std::size_t looked_at = 0;
    bool is_over = false;
  };
  // An event that cannot be folded.
  struct BadEvent {
    FoldFailure failure;
    bool is_of_event = true;  // and not of the rows or the disk
  };

  Status start();
  std::optional<BadEvent> fold_chunk(const ReadChunk& chunk, Step& step);
  bool wants(const RecordView& record);
  bool matches_stream(std::string_view stream);
  bool holds_too_much() const { return fold_->bytes() > limits_.row_cache_bytes_max; }
  bool must_commit() const;
  Outcome commit();
  Outcome commit_and_fail(const Error& error);
  Outcome stop_before(BadEvent bad);
  Outcome fail(FoldFailure failure);

  const EventStore& store_;
  const std::shared_ptr<Projection> projection_;
  const std::shared_ptr<FoldedVersion> version_;
  const Limits limits_;
  const std::size_t events_per_look_;
  const Clock& clock_;
  ProjectionProbe& probe_;

  std::unique_ptr<Fold> fold_;  // null: begin from the checkpoint
  std::vector<Sequence> skipped_;
  // Folded up to here, not all of it committed.
  Sequence examined_ = 0;
  std::uint32_t check_ = 0;   // of the position there
  std::uint64_t events_ = 0;  // folded since the last commit
  unsigned steps_ = 0;        // since the last commit
  // The event that failed: the version ends before it.
  std::optional<FoldFailure> bad_event_;

  // Whether the filter's patterns match a stream, by its name.
  StringMap<bool> matched_streams_;
  std::size_t matched_streams_bytes_ = 0;
};

}  // namespace tidegate
