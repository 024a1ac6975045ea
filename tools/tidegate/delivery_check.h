#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "eventstore/types.h"

namespace tidegate {

// What one subscriber got of the revisions that a run adds to a stream. Revisions are counted
// rather than sequences because they have no gaps also when others write to the log meanwhile.
// Thread: caller serialises.
class DeliveryCheck {
 public:
  // The run's events have the revisions from `first` up to, not including, `end`.
  DeliveryCheck(Revision first, Revision end) : next_(first), end_(end) {}

  // False when the revision is none of the run: somebody else writes to the stream.
  bool take(Sequence sequence, Revision revision) {
    if (revision == next_ && revision < end_) {
      out_of_order_ += sequence <= last_sequence_ ? 1U : 0U;
      last_sequence_ = sequence;
      ++next_;
      return true;
    }
    if (revision >= end_) return false;
    if (revision > next_) {
      missing_.emplace_back(next_, revision);
      last_sequence_ = std::max(last_sequence_, sequence);
      next_ = revision + 1;
    } else if (fill_hole(revision)) {
      ++out_of_order_;
    } else {
      ++duplicated_;
    }
    return true;
  }

  // Everything below was delivered or is missing.
  Revision next() const { return next_; }
  bool is_complete() const { return next_ == end_; }
  // Of the newest event; 0: there was none.
  Sequence last_sequence() const { return last_sequence_; }

  std::uint64_t duplicated() const { return duplicated_; }
  std::uint64_t out_of_order() const { return out_of_order_; }
  std::uint64_t lost() const {
    std::uint64_t lost = end_ - next_;
    for (const auto& [first, end] : missing_) lost += end - first;
    return lost;
  }

 private:
  bool fill_hole(Revision revision) {
    for (auto hole = missing_.begin(); hole != missing_.end(); ++hole) {
      if (revision < hole->first || revision >= hole->second) continue;
      const auto [first, end] = *hole;
      missing_.erase(hole);
      if (first < revision) missing_.emplace_back(first, revision);
      if (revision + 1 < end) missing_.emplace_back(revision + 1, end);
      return true;
    }
    return false;
  }

  Revision next_;
  Revision end_;
  Sequence last_sequence_ = 0;
  std::vector<std::pair<Revision, Revision>> missing_;  // at most one range per event of the run
  std::uint64_t duplicated_ = 0;
  std::uint64_t out_of_order_ = 0;
};

// How many events all of a thread's subscribers have: the number of subscribers at each count, of
// which the lowest is remembered. Constant cost for each step of a subscriber.
// Thread: caller serialises, except `received_by_all`: any.
class SharedProgress {
 public:
  SharedProgress(std::size_t subscribers, std::uint64_t events)
      : at_(static_cast<std::size_t>(events) + 1) {
    at_[0] = subscribers;
  }

  // True when `received_by_all` has grown.
  bool move(std::uint64_t from, std::uint64_t to) {
    --at_[static_cast<std::size_t>(from)];
    ++at_[static_cast<std::size_t>(to)];
    std::uint64_t low = low_.load(std::memory_order_relaxed);
    if (at_[static_cast<std::size_t>(low)] > 0) return false;
    while (at_[static_cast<std::size_t>(low)] == 0) ++low;
    // Only the number itself travels to other threads, so it needs no ordering.
    low_.store(low, std::memory_order_relaxed);
    return true;
  }

  std::uint64_t received_by_all() const { return low_.load(std::memory_order_relaxed); }

 private:
  std::vector<std::size_t> at_;
  std::atomic<std::uint64_t> low_ = 0;
};

}  // namespace tidegate
