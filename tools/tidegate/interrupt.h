#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

namespace tidegate {

// Ctrl-C (SIGINT) and SIGTERM as something that a command can wait for. The first signal runs what
// the living guards ask for; when there is none the process ends at once with 130, and so it does
// on the second signal.
//
// Construct it before any other thread starts: threads inherit the blocked signals.
// Thread: any (internally synchronised).
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  bool happened() const { return happened_.load(std::memory_order_acquire); }

  // Readable from the first signal on; for poll().
  int fd() const { return pipe_[0]; }

  // False when a signal cut the wait short.
  bool sleep(std::chrono::microseconds duration);

  // While it lives, the command ends by itself after a signal. `cancel` is called on the signal's
  // thread, or at once when the signal has come already; it must not block. It is never running
  // once the guard is gone.
  class Guard {
   public:
    Guard(Interrupt& interrupt, std::function<void()> cancel);
    ~Guard();
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    Interrupt& interrupt_;
    int key_;
  };

 private:
  void wait_for_signals();
  void on_signal();

  std::atomic<bool> happened_ = false;
  int pipe_[2] = {-1, -1};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<int, std::function<void()>> cancels_;
  int next_key_ = 0;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

}  // namespace tidegate
