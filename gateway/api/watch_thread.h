#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <thread>

#include "eventstore/base/clock.h"
#include "gateway/api/api_state.h"

namespace tidegate {

// A call that lives on the thread below. Thread: the watch thread only.
class WatchMember {
 public:
  virtual ~WatchMember() = default;
  // Rows, versions or projections have changed.
  virtual void on_change() = 0;
  // Comes every half second, which bounds how long an idle call outlives its token.
  virtual void on_tick(std::int64_t now_ms) = 0;
  virtual void on_drain() = 0;
};

// Where gRPC's watches take their steps in memory, in turn: one thread for all, that the engine
// wakes at most once for many commits. So a watch needs no lock, and a thousand of them no timers;
// it ticks for the watchers of the drain signal too.
//
// The mailbox has no bound of its own: each call has at most one read, one write, its cancellation
// and its end under way. Thread: `post`: any (internally synchronised); `add` and `remove`: the
// watch thread only, `remove` not from inside a member's call.
class WatchThread {
 public:
  // Both must outlive it.
  WatchThread(Engine& projections, DrainSignal& drain);
  // Runs what was posted and joins the thread. No call may be left.
  ~WatchThread();
  WatchThread(const WatchThread&) = delete;
  WatchThread& operator=(const WatchThread&) = delete;

  void post(std::function<void()> task);
  void add(const std::shared_ptr<WatchMember>& member);
  void remove(const WatchMember& member);

 private:
  struct Mail;
  class Mailbox;

  void run();
  template <typename Tell>
  void tell_all(const Tell& tell);

  DrainSignal& drain_;
  const SystemClock clock_{};
  // Shared with the engine's and the drain's callbacks, which may be under way at the end.
  const std::shared_ptr<Mailbox> mailbox_;
  std::shared_ptr<void> changes_;
  std::map<const WatchMember*, std::shared_ptr<WatchMember>> members_;  // watch thread only
  std::thread thread_;
};

}  // namespace tidegate
