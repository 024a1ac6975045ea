#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "eventstore/base/guarded.h"
#include "projections/engine.h"
#include "projections/projection.h"
#include "projections/projector.h"
#include "projections/waiting_queries.h"

namespace tidegate {

// The thread that folds: all versions that are building or live, one bounded step each in turn.
//
// Versions near the head go first, every one in every round; of those that are far behind only one
// has a step per round, so that what catches up costs the others a step's time at most. A version
// that has caught up rests for `commit_every_ms`, unless a query waits for it.
// Thread: any (internally synchronised); `start` and `stop` by the owner.
class FoldingThread {
 public:
  struct Calls {
    // All on the folding thread. A wait is over: the position is reached, or the time is up.
    std::function<void(PendingQuery)> answer;
    std::function<void(PendingQuery)> give_up;
    // The building version has caught up.
    std::function<void(Projection&, FoldedVersion&)> take_over;
  };
  FoldingThread(EventStore& store, const Projections& projections, WaitingQueries& waiting,
                const EngineOptions& options, Calls calls);
  ~FoldingThread();
  FoldingThread(const FoldingThread&) = delete;
  FoldingThread& operator=(const FoldingThread&) = delete;

  void start();
  // Joins the thread, then flushes. What was dropped and is not yet erased is left to the next
  // open.
  void stop();

  // Something has changed that concerns it: a query waits.
  void wake();
  // Projections or their versions are others now; `dropped` are versions that nobody names any
  // more.
  void follow(std::vector<std::shared_ptr<FoldedVersion>> dropped);
  std::shared_ptr<void> on_change(std::function<void()> changed);

 private:
  // What wakes the thread. It outlives it for who holds it: a call from the store may be under way.
  struct Bell {
    std::mutex mutex;
    std::condition_variable rang;
    bool is_wanted = false;    // under mutex
    bool is_stopping = false;  // under mutex
    // A head as high as this must ring. Both sides change it, if only by nothing, so that of an
    // event and a thread about to wait one sees the other.
    static constexpr Sequence kNever = std::numeric_limits<Sequence>::max();
    std::atomic<Sequence> ring_at{kNever};

    void ring();
    void head_moved(Sequence head);
  };
  struct Slot {
    std::unique_ptr<Projector> projector;
    std::int64_t not_before_ms = 0;
  };
  struct Followed {
    bool is_outdated = true;
    std::vector<std::shared_ptr<FoldedVersion>> dropped;
  };

  void run();
  void follow_projections();
  std::vector<Slot> slots_now();
  bool fold_round();
  void step(Slot& slot);
  void take_over_if_caught_up(const Slot& slot);
  void answer_waiting();
  void tell_listeners();
  void flush_if_due();
  void wait();
  bool is_due(const Slot& slot, Sequence behind, Sequence head) const;
  Sequence head_to_wake_at(Sequence head) const;
  bool is_stopping() const;

  EventStore& store_;
  const Projections& projections_;
  WaitingQueries& waiting_;
  const EngineOptions& options_;
  const Calls calls_;
  const std::shared_ptr<Bell> bell_ = std::make_shared<Bell>();
  Guarded<Followed> followed_;
  // Who wants to hear of changes; weak, so that a dropped handle ends it.
  Guarded<std::vector<std::weak_ptr<std::function<void()>>>> listeners_;
  std::shared_ptr<void> head_moved_;
  std::thread thread_;

  // Folding thread only.
  std::vector<Slot> slots_;
  std::size_t turn_ = 0;  // of those that are far behind
  bool has_changed_ = false;
  bool is_unflushed_ = false;
  std::int64_t flushed_ms_ = 0;
};

}  // namespace tidegate
