#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace tidegate {

// The read threads, on which the disk is read. First come, first served, and a reader asks for one
// step at a time: so replays take turns, and none of them holds up an I/O loop. Thread: any
// (internally synchronised).
class ReadPool {
 public:
  static constexpr std::size_t kQueuedMax = 100'000;

  explicit ReadPool(unsigned threads);
  // Drops what has not begun.
  ~ReadPool();
  ReadPool(const ReadPool&) = delete;
  ReadPool& operator=(const ReadPool&) = delete;

  // False when the queue is full or the pool is being stopped.
  bool post(std::function<void()> read);
  void stop();

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;  // under mutex_
  bool stopping_ = false;                    // under mutex_
  std::vector<std::thread> threads_;
};

}  // namespace tidegate
