#include "projections/recent_commits.h"

#include <algorithm>
#include <utility>

namespace tidegate {
namespace {

std::size_t memory_of_commit(const RowCommit& commit) {
  std::size_t bytes = sizeof(RowCommit) + commit.rows.capacity() * sizeof(Row);
  for (const Row& row : commit.rows) bytes += row.key.size() + row.document.size();
  return bytes;
}

}  // namespace

RecentCommits::RecentCommits(std::size_t bytes_max) : bytes_max_(bytes_max) {}

void RecentCommits::push(RowCommitRef commit) {
  const std::size_t bytes = memory_of_commit(*commit);
  std::deque<RowCommitRef> gone;  // freed outside of the lock
  state_.with([&](State& state) {
    const bool follows =
        state.commits.empty() || state.commits.back()->position.sequence == commit->before;
    if (!follows) {
      gone.swap(state.commits);
      state.bytes = 0;
    }
    state.commits.push_back(std::move(commit));
    state.bytes += bytes;
    while (state.bytes > bytes_max_ && state.commits.size() > 1) {
      state.bytes -= memory_of_commit(*state.commits.front());
      gone.push_back(std::move(state.commits.front()));
      state.commits.pop_front();
    }
  });
}

RowCommitRef RecentCommits::after(Sequence sequence) const {
  return state_.with([&](const State& state) -> RowCommitRef {
    // They follow one another, so the first one that ends above is the only one that can do.
    const auto found = std::upper_bound(
        state.commits.begin(), state.commits.end(), sequence,
        [](Sequence seen, const RowCommitRef& commit) { return seen < commit->position.sequence; });
    if (found == state.commits.end() || (*found)->before > sequence) return nullptr;
    return *found;
  });
}

}  // namespace tidegate
