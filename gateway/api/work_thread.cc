#include "gateway/api/work_thread.h"

#include <utility>

namespace tidegate {

WorkThread::~WorkThread() {
  std::thread last = state_.with([](State& state) { return std::move(state.thread); });
  if (last.joinable()) last.join();
}

bool WorkThread::try_start(std::function<void()> work, std::function<void()> finish) {
  return state_.with([&](State& state) {
    if (state.is_busy) return false;
    // The earlier thread has no more than its `finish` left: joining it takes no time.
    if (state.thread.joinable()) state.thread.join();
    state.is_busy = true;
    state.thread = std::thread([this, work = std::move(work), finish = std::move(finish)] {
      work();
      state_.with([](State& own) { own.is_busy = false; });
      finish();
    });
    return true;
  });
}

}  // namespace tidegate
