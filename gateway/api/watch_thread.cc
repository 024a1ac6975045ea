#include "gateway/api/watch_thread.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>
#include <vector>

#include "projections/engine.h"

namespace tidegate {
namespace {

constexpr std::int64_t kTickMs = 500;

}  // namespace

struct WatchThread::Mail {
  std::vector<std::function<void()>> tasks;
  bool is_changed = false;
  bool is_draining = false;
  bool is_stopping = false;  // for good

  bool is_empty() const { return tasks.empty() && !is_changed && !is_draining && !is_stopping; }
};

class WatchThread::Mailbox final : public Drainable {
 public:
  void post(std::function<void()> task) {
    put([&task](Mail& mail) { mail.tasks.push_back(std::move(task)); });
  }
  void note_change() {
    put([](Mail& mail) { mail.is_changed = true; });
  }
  void on_drain() override {
    put([](Mail& mail) { mail.is_draining = true; });
  }
  void stop() {
    put([](Mail& mail) { mail.is_stopping = true; });
  }
  // Waits for mail, `at_most_ms`.
  Mail take(std::int64_t at_most_ms) {
    std::unique_lock lock(mutex_);
    arrived_.wait_for(lock, std::chrono::milliseconds(at_most_ms),
                      [this] { return !mail_.is_empty(); });
    Mail rest;
    rest.is_stopping = mail_.is_stopping;
    return std::exchange(mail_, std::move(rest));
  }

 private:
  template <typename Put>
  void put(const Put& change) {
    {
      const std::lock_guard lock(mutex_);
      change(mail_);
    }
    arrived_.notify_one();
  }

  std::mutex mutex_;
  std::condition_variable arrived_;
  Mail mail_;  // under mutex_
};

WatchThread::WatchThread(Engine& projections, DrainSignal& drain)
    : drain_(drain), mailbox_(std::make_shared<Mailbox>()) {
  changes_ = projections.on_change([mailbox = mailbox_] { mailbox->note_change(); });
  if (!drain_.watch(mailbox_)) mailbox_->on_drain();
  thread_ = std::thread([this] { run(); });
}

WatchThread::~WatchThread() {
  changes_.reset();
  drain_.unwatch(mailbox_.get());
  mailbox_->stop();
  thread_.join();
}

void WatchThread::post(std::function<void()> task) {
  mailbox_->post(std::move(task));
}

void WatchThread::add(const std::shared_ptr<WatchMember>& member) {
  members_.emplace(member.get(), member);
}

void WatchThread::remove(const WatchMember& member) {
  members_.erase(&member);
}

void WatchThread::run() {
  std::int64_t tick_ms = clock_.steady_ms() + kTickMs;
  while (true) {
    const std::int64_t wait_ms = tick_ms - clock_.steady_ms();
    const Mail mail = mailbox_->take(std::max<std::int64_t>(wait_ms, 0));
    for (const auto& task : mail.tasks) task();
    if (mail.is_draining) tell_all([](WatchMember& member) { member.on_drain(); });
    if (mail.is_changed) tell_all([](WatchMember& member) { member.on_change(); });
    if (const std::int64_t now_ms = clock_.steady_ms(); now_ms >= tick_ms) {
      tell_all([now_ms](WatchMember& member) { member.on_tick(now_ms); });
      drain_.tick();
      tick_ms = now_ms + kTickMs;
    }
    if (mail.is_stopping && mail.tasks.empty()) return;
  }
}

template <typename Tell>
void WatchThread::tell_all(const Tell& tell) {
  for (const auto& [key, member] : members_) tell(*member);
}

}  // namespace tidegate
