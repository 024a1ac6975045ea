#include "tools/tidegate/load_thread.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <fmt/format.h>

#include "tools/tidegate/stay_awake.h"

namespace tidegate {
namespace {

// Connections that are being opened at a time: below any listener's backlog.
constexpr std::uint64_t kOpeningMax = 64;
constexpr std::uint64_t kWakeMark = UINT64_MAX;

Error system_error(const char* what) {
  return {Code::kUnavailable, fmt::format("{}: {}", what, std::strerror(errno))};
}

double thread_cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

}  // namespace

LoadThread::LoadThread(const LoadOptions& options, const LoadAddress& address,
                       std::uint64_t first_number, std::function<void()> progress)
    : options_(options),
      address_(address),
      first_number_(first_number),
      progress_(std::move(progress)),
      progress_of_all_(static_cast<std::size_t>(options.subscribers), options.end - options.first),
      epoll_fd_(epoll_create1(EPOLL_CLOEXEC)),
      wake_fd_(eventfd(0, EFD_CLOEXEC)) {
  TG_CHECK(epoll_fd_ >= 0 && wake_fd_ >= 0);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWakeMark;
  TG_CHECK(epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, wake_fd_, &event) == 0);
  thread_ = std::thread([this] { run(); });
}

LoadThread::~LoadThread() {
  end();
  close(epoll_fd_);
  close(wake_fd_);
}

void LoadThread::end() {
  if (!thread_.joinable()) return;
  command(kEnd);
  thread_.join();
}

void LoadThread::command(Command command) {
  // Pairs with the exchange in `obey`.
  commands_.fetch_or(command, std::memory_order_release);
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof(one));
}

void LoadThread::reconnect() {
  {
    const std::lock_guard lock(mutex_);
    for (const LoadStage stage :
         {LoadStage::kConnected, LoadStage::kSubscribed, LoadStage::kCaughtUp, LoadStage::kCut}) {
      reached_[static_cast<std::size_t>(stage)] = false;
    }
  }
  command(kReconnect);
}

Result<bool> LoadThread::wait(LoadStage stage, std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  const bool& wanted = reached_[static_cast<std::size_t>(stage)];
  changed_.wait_for(lock, timeout, [&] { return wanted || failed_; });
  if (failed_) return *failed_;
  return wanted;
}

void LoadThread::add_to(LoadResult& result) {
  end();
  result.deliveries += deliveries();
  result.bytes += result_.bytes;
  result.fell_behind += result_.fell_behind;
  result.last_us = std::max(result.last_us, result_.last_us);
  result.caught_up_us = std::max(result.caught_up_us, result_.caught_up_us);
  result.latency_us.add(result_.latency_us);
  result.busiest_thread_percent =
      std::max(result.busiest_thread_percent, result_.busiest_thread_percent);
  for (Subscriber& subscriber : subscribers_) {
    const DeliveryCheck& check = subscriber.socket.connection().check();
    result.lost += check.lost();
    result.duplicated += check.duplicated();
    result.out_of_order += check.out_of_order();
  }
}

void LoadThread::run() {
  const Status ended = loop();
  if (ended) return;
  const std::lock_guard lock(mutex_);
  failed_ = ended.error();
  changed_.notify_all();
}

Status LoadThread::loop() {
  std::array<epoll_event, 128> events{};
  while (true) {
    if (Status opened = open_some(); !opened) return opened;
    const int count = await(events);
    if (count < 0 && errno != EINTR) return system_error("epoll_wait");
    if (!cpu_at_begin_ && begin_requested_.load(std::memory_order_acquire)) {
      cpu_at_begin_ = thread_cpu_seconds();
      begin_us_ = options_.clock.now_us();
    }
    bool is_woken = false;
    for (int i = 0; i < count; ++i) {
      const std::uint64_t mark = events[static_cast<std::size_t>(i)].data.u64;
      if (mark == kWakeMark) {
        is_woken = true;
      } else if (Status got = serve(subscribers_[static_cast<std::size_t>(mark)]); !got) {
        return got;
      }
    }
    if (std::exchange(has_moved_, false)) progress_();
    // After the events, none of which then belongs to a connection that was cut meanwhile.
    if (!is_woken) continue;
    const Result<bool> goes_on = obey();
    if (!goes_on) return goes_on.error();
    if (!*goes_on) return {};
  }
}

int LoadThread::await(std::span<epoll_event> events) {
  const auto wait = [&](int timeout_ms) {
    return epoll_wait(epoll_fd_, events.data(), static_cast<int>(events.size()), timeout_ms);
  };
  const int found =
      options_.stays_awake
          ? poll_for_a_while([this] { return options_.clock.now_us(); }, [&] { return wait(0); })
          : 0;
  return found != 0 ? found : wait(-1);
}

Status LoadThread::open_some() {
  if (!is_opening_) return {};
  while (opened_ < options_.subscribers && opened_ - connected_ < kOpeningMax) {
    if (Status opened = open(opened_++); !opened) return opened;
  }
  return {};
}

Status LoadThread::open(std::uint64_t index) {
  if (index == subscribers_.size()) {
    subscribers_.emplace_back(options_, address_, first_number_ + index);
  }
  LoadSocket& socket = subscribers_[static_cast<std::size_t>(index)].socket;
  if (Status opened = socket.open(); !opened) return opened;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = index;
  if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, socket.fd(), &event) != 0)
    return system_error("epoll_ctl");
  return {};
}

Result<bool> LoadThread::obey() {
  std::uint64_t wakes = 0;
  [[maybe_unused]] const ssize_t got = read(wake_fd_, &wakes, sizeof(wakes));
  const unsigned commands = commands_.exchange(0, std::memory_order_acquire);
  if ((commands & kEnd) != 0) return false;
  if ((commands & kCut) != 0) cut_all();
  if ((commands & kReconnect) != 0) is_opening_ = true;
  if ((commands & kSubscribe) != 0 && !is_subscribing_) {
    is_subscribing_ = true;
    for (Subscriber& subscriber : subscribers_) {
      if (Status sent = subscribe(subscriber); !sent) return sent.error();
    }
  }
  return true;
}

void LoadThread::cut_all() {
  is_opening_ = false;
  opened_ = connected_ = subscribed_ = caught_up_ = 0;
  for (Subscriber& subscriber : subscribers_) {
    subscriber.socket.cut();
    subscriber.is_caught_up = false;
  }
  reach(LoadStage::kCut);
}

Status LoadThread::subscribe(Subscriber& subscriber) {
  const v1::Start& resumption = subscriber.socket.connection().resumption();
  const bool is_new = resumption.place_case() == v1::Start::PLACE_NOT_SET;
  v1::SubscribeOp subscription;
  *subscription.mutable_start() = is_new ? options_.start : resumption;
  const std::uint64_t each = options_.subscriptions;
  if (each == 1) {
    subscription.set_id("s");
    subscription.add_streams(options_.stream);
    return subscriber.socket.subscribe(subscription);
  }
  std::string frames;
  for (std::uint64_t i = 0; i < each; ++i) {
    subscription.set_id(fmt::format("s{}", i));
    subscription.clear_streams();
    subscription.add_streams(fmt::format("{}.{}", options_.stream, subscriber.number * each + i));
    frames += subscribe_frame(subscription, options_.form);
  }
  return subscriber.socket.send(frames);
}

// One receive per turn, so that all connections make progress alike.
Status LoadThread::serve(Subscriber& subscriber) {
  const Result<std::size_t> got = subscriber.socket.receive(buffer_, found_);
  if (!got) return got.error();
  result_.bytes += *got;
  // Subscribing adds no notices, so that the list stays as it is.
  for (const ServerNotice& notice : found_.notices) {
    if (Status applied = apply(subscriber, notice); !applied) return applied;
  }
  found_.notices.clear();
  return found_.events.empty() ? Status() : take_events(subscriber);
}

Status LoadThread::apply(Subscriber& subscriber, const ServerNotice& notice) {
  const std::uint64_t all = options_.subscribers;
  switch (notice.kind) {
    case ServerNotice::Kind::kWelcome:
      count(connected_, all, LoadStage::kConnected);
      return is_subscribing_ ? subscribe(subscriber) : Status();
    case ServerNotice::Kind::kSubscribed:
      count(subscribed_, all * options_.subscriptions, LoadStage::kSubscribed);
      return {};
    case ServerNotice::Kind::kCaughtUp:
      if (std::exchange(subscriber.is_caught_up, true)) return {};
      result_.caught_up_us = options_.clock.now_us();
      count(caught_up_, all, LoadStage::kCaughtUp);
      return {};
    case ServerNotice::Kind::kFellBehind:
      ++result_.fell_behind;
      return {};
    case ServerNotice::Kind::kRefusal:
      return Error{Code::kUnavailable, notice.text};
    case ServerNotice::Kind::kOther:
      return {};
  }
  return {};
}

Status LoadThread::take_events(Subscriber& subscriber) {
  DeliveryCheck& check = subscriber.socket.connection().check();
  const Revision before = check.next();
  const std::int64_t now_us = options_.clock.now_us();
  for (const ScannedEvent& event : found_.events) {
    if (!check.take(event.sequence, event.revision)) {
      return Error{Code::kInternal,
                   fmt::format("stream {} has another publisher; use --stream", options_.stream)};
    }
    result_.latency_us.record(now_us - event.sent_us);
  }
  result_.last_us = now_us;
  deliveries_.fetch_add(found_.events.size(), std::memory_order_relaxed);
  found_.events.clear();
  if (check.next() == before) return {};
  has_moved_ |= progress_of_all_.move(before - options_.first, check.next() - options_.first);
  if (!check.is_complete()) return {};
  if (complete_ + 1 == options_.subscribers && cpu_at_begin_ && now_us > begin_us_) {
    result_.busiest_thread_percent =
        (thread_cpu_seconds() - *cpu_at_begin_) * 1e8 / static_cast<double>(now_us - begin_us_);
  }
  count(complete_, options_.subscribers, LoadStage::kComplete);
  return {};
}

void LoadThread::count(std::uint64_t& counter, std::uint64_t whole, LoadStage stage) {
  if (++counter == whole) reach(stage);
}

void LoadThread::reach(LoadStage stage) {
  const std::lock_guard lock(mutex_);
  reached_[static_cast<std::size_t>(stage)] = true;
  changed_.notify_all();
}

}  // namespace tidegate
