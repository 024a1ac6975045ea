#pragma once

#include <functional>
#include <thread>

#include "eventstore/base/guarded.h"

namespace tidegate {

// Runs at most one piece of long work at a time, on a thread of its own: it reads much of the log,
// which would keep the read threads from everybody else. Thread: any (internally synchronised).
class WorkThread {
 public:
  WorkThread() = default;
  // Waits for the work under way.
  ~WorkThread();
  WorkThread(const WorkThread&) = delete;
  WorkThread& operator=(const WorkThread&) = delete;

  // False, and nothing happens, while earlier work is under way. `finish` runs after `work`, when
  // other work may begin: who hears from it that the work is done is not refused.
  bool try_start(
      std::function<void()> work, std::function<void()> finish = [] {});

 private:
  struct State {
    bool is_busy = false;
    std::thread thread;
  };
  Guarded<State> state_;
};

}  // namespace tidegate
