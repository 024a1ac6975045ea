#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "eventstore/base/result.h"
#include "projections/definition.h"
#include "projections/engine.h"
#include "projections/row.h"

namespace tidegate {

class EventStore;

// What a definition would make of a part of the log.
struct TrialReport {
  std::uint64_t examined = 0;  // events looked at
  std::uint64_t matched = 0;
  std::vector<Row> rows;  // in key order, the first `rows_max` of them
  std::uint64_t row_count = 0;
  std::optional<FoldFailure> failure;  // it ended there; the rows are as of the event before
  Position position;                   // up to where it went
};

struct TrialRange {
  Sequence after = 0;  // exclusive
  Sequence until = 0;  // inclusive, 0: the head; at most 1,000,000 events are examined
  std::size_t rows_max = 1000;
};

// Folds the range into rows in memory and stores nothing; at most 64 MiB of rows (kLimit). Blocks
// for as long as reading and folding take: not for a loop. `go_on` is asked now and then; false
// ends the trial early with what there is. Thread: any.
Result<TrialReport> try_definition(const EventStore& store, const Definition& definition,
                                   const TrialRange& range, const std::function<bool()>& go_on);

}  // namespace tidegate
