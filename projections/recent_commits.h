#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <vector>

#include "eventstore/base/guarded.h"
#include "eventstore/types.h"
#include "projections/row.h"

namespace tidegate {

// What one commit changed.
// Thread: immutable.
struct RowCommit {
  Sequence before = 0;    // the checkpoint that it came after
  Position position;      // the checkpoint that it made
  std::vector<Row> rows;  // in key order; may be empty: events that changed nothing
};
using RowCommitRef = std::shared_ptr<const RowCommit>;

// The newest commits of a version in memory, bounded by bytes: what watchers that are close to live
// read, so that a thousand of them cost one commit and no disk.
// Thread: any (internally synchronised); `push` by the folding thread only.
class RecentCommits {
 public:
  explicit RecentCommits(std::size_t bytes_max);

  // Follows the newest one; when it does not, because its version has begun anew, all others go. So
  // do the oldest ones beyond the limit; one always stays.
  void push(RowCommitRef commit);
  // The commit with `before` <= `sequence` < its position: the next one for who has seen
  // `sequence`. Null when it is no longer, or not yet, there.
  RowCommitRef after(Sequence sequence) const;

 private:
  struct State {
    std::deque<RowCommitRef> commits;
    std::size_t bytes = 0;
  };
  const std::size_t bytes_max_;
  Guarded<State> state_;
};

}  // namespace tidegate
