#include "eventstore/read_pool.h"

#include <algorithm>

namespace tidegate {

ReadPool::ReadPool(unsigned threads) {
  for (unsigned i = 0; i < std::max(1U, threads); ++i) threads_.emplace_back([this] { run(); });
}

ReadPool::~ReadPool() {
  stop();
}

void ReadPool::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

bool ReadPool::post(std::function<void()> read) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_ || queue_.size() >= kQueuedMax) return false;
    queue_.push_back(std::move(read));
  }
  wake_.notify_one();
  return true;
}

void ReadPool::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    std::function<void()> read = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    read();
    read = nullptr;  // its captures end outside the lock
    lock.lock();
  }
}

}  // namespace tidegate
