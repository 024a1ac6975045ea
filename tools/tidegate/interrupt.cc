#include "tools/tidegate/interrupt.h"

#include <cstdlib>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "eventstore/base/check.h"
#include "tools/tidegate/command.h"

namespace tidegate {
namespace {

// SIGUSR1 only ends the waiting thread.
sigset_t waited_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGUSR1);
  return set;
}

}  // namespace

Interrupt::Interrupt() {
  const sigset_t set = waited_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  TG_CHECK(pipe2(pipe_, O_CLOEXEC | O_NONBLOCK) == 0);
  thread_ = std::thread([this] { wait_for_signals(); });
}

Interrupt::~Interrupt() {
  stopping_ = true;
  pthread_kill(thread_.native_handle(), SIGUSR1);
  thread_.join();
  close(pipe_[0]);
  close(pipe_[1]);
}

void Interrupt::wait_for_signals() {
  const sigset_t set = waited_signals();
  while (true) {
    int signal = 0;
    if (sigwait(&set, &signal) != 0 || stopping_) return;
    if (signal != SIGUSR1) on_signal();
  }
}

void Interrupt::on_signal() {
  if (happened()) std::_Exit(kExitInterrupted);
  happened_.store(true, std::memory_order_release);
  const std::lock_guard lock(mutex_);
  if (cancels_.empty()) std::_Exit(kExitInterrupted);
  // The pipe only has to become readable, so that a full one is as good.
  [[maybe_unused]] const ssize_t written = write(pipe_[1], "!", 1);
  for (const auto& [key, cancel] : cancels_) cancel();
  changed_.notify_all();
}

bool Interrupt::sleep(std::chrono::microseconds duration) {
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, duration, [this] { return happened(); });
}

Interrupt::Guard::Guard(Interrupt& interrupt, std::function<void()> cancel)
    : interrupt_(interrupt) {
  const std::lock_guard lock(interrupt_.mutex_);
  key_ = interrupt_.next_key_++;
  if (interrupt_.happened()) cancel();
  interrupt_.cancels_.emplace(key_, std::move(cancel));
}

Interrupt::Guard::~Guard() {
  const std::lock_guard lock(interrupt_.mutex_);
  interrupt_.cancels_.erase(key_);
}

}  // namespace tidegate
