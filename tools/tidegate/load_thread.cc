#include "tools/tidegate/load_thread.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fmt/format.h>

namespace tidegate {
namespace {

// Half of a core's second-level cache: what recv copied is still there when it is read.
constexpr std::size_t kReceiveBytes = 256 << 10;
// Above the largest event, so that one always fits together with what was received before it.
constexpr std::size_t kBufferBytes = 4 << 20;
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

LoadThread::LoadThread(const LoadOptions& options, const addrinfo& address,
                       std::function<void()> progress)
    : options_(options),
      address_(address),
      progress_(std::move(progress)),
      progress_of_all_(static_cast<std::size_t>(options.subscribers), options.end - options.first),
      epoll_fd_(epoll_create1(EPOLL_CLOEXEC)),
      wake_fd_(eventfd(0, EFD_CLOEXEC)),
      buffer_(kBufferBytes) {
  TG_CHECK(epoll_fd_ >= 0 && wake_fd_ >= 0);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWakeMark;
  TG_CHECK(epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, wake_fd_, &event) == 0);
  // Events point into it by index, references must stay valid while one is being read.
  sockets_.reserve(static_cast<std::size_t>(options.subscribers));
  thread_ = std::thread([this] { run(); });
}

LoadThread::~LoadThread() {
  end();
  for (const Socket& socket : sockets_) close(socket.fd);
  close(epoll_fd_);
  close(wake_fd_);
}

void LoadThread::end() {
  if (!thread_.joinable()) return;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof(one));
  thread_.join();
}

Result<bool> LoadThread::wait(bool for_complete, std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  const bool& wanted = for_complete ? all_complete_ : all_ready_;
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
  result.latency_us.add(result_.latency_us);
  result.busiest_thread_percent =
      std::max(result.busiest_thread_percent, result_.busiest_thread_percent);
  for (Socket& socket : sockets_) {
    const DeliveryCheck& check = socket.connection->check();
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
    while (sockets_.size() < options_.subscribers && sockets_.size() - ready_ < kOpeningMax) {
      if (Status opened = open_one(); !opened) return opened;
    }
    const int count = epoll_wait(epoll_fd_, events.data(), static_cast<int>(events.size()), -1);
    if (count < 0 && errno != EINTR) return system_error("epoll_wait");
    if (!cpu_at_begin_ && begin_requested_.load(std::memory_order_acquire)) {
      cpu_at_begin_ = thread_cpu_seconds();
      begin_us_ = options_.clock.now_us();
    }
    for (int i = 0; i < count; ++i) {
      const std::uint64_t mark = events[static_cast<std::size_t>(i)].data.u64;
      if (mark == kWakeMark) return {};
      if (Status got = receive(sockets_[static_cast<std::size_t>(mark)]); !got) return got;
    }
    if (std::exchange(has_moved_, false)) progress_();
  }
}

// Connects while the kernel's own handshake goes on: on a machine's own addresses it is over at
// once. Everything a subscriber ever has to say fits the socket's buffer.
Status LoadThread::open_one() {
  const int fd = socket(address_.ai_family, SOCK_STREAM | SOCK_CLOEXEC, address_.ai_protocol);
  if (fd < 0) return system_error("cannot open a socket");
  const auto number = sockets_.size();
  sockets_.push_back({fd,
                      std::make_unique<LoadConnection>(options_.form, options_.data_bytes,
                                                       DeliveryCheck(options_.first, options_.end)),
                      {}});
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (::connect(fd, address_.ai_addr, address_.ai_addrlen) != 0) {
    return system_error(("cannot connect to " + options_.http).c_str());
  }
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = number;
  if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0) return system_error("epoll_ctl");
  return send_all(fd, upgrade_request(options_.http, options_.form));
}

Status LoadThread::send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return system_error("a subscriber cannot send");
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return {};
}

// One receive per turn, so that all connections make progress alike.
Status LoadThread::receive(Socket& socket) {
  const std::size_t before = socket.left.size();
  if (before + kReceiveBytes > buffer_.size()) {
    return Error{Code::kInternal, "the gateway sent a message of more than 3 MiB"};
  }
  std::memcpy(buffer_.data(), socket.left.data(), before);
  const ssize_t got = recv(socket.fd, buffer_.data() + before, kReceiveBytes, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return {};
  if (got < 0) return system_error("a subscriber's connection failed");
  if (got == 0) return Error{Code::kUnavailable, "the gateway ended a subscriber's connection"};
  result_.bytes += static_cast<std::uint64_t>(got);
  const std::size_t size = before + static_cast<std::size_t>(got);
  const Result<std::size_t> rest = socket.connection->take(buffer_.data(), size, found_);
  if (!rest) return rest.error();
  socket.left.assign(buffer_.data() + *rest, size - *rest);
  return apply(socket);
}

// What the last `take` found.
Status LoadThread::apply(Socket& socket) {
  for (const ServerNotice& notice : found_.notices) {
    if (notice.kind == ServerNotice::Kind::kRefusal) return Error{Code::kUnavailable, notice.text};
    result_.fell_behind += notice.kind == ServerNotice::Kind::kFellBehind ? 1U : 0U;
    if (notice.kind == ServerNotice::Kind::kWelcome) {
      Status sent = send_all(socket.fd, subscribe_frame(options_.stream, options_.form));
      if (!sent) return sent;
    }
    if (notice.kind == ServerNotice::Kind::kSubscribed && ++ready_ == options_.subscribers) {
      const std::lock_guard lock(mutex_);
      all_ready_ = true;
      changed_.notify_all();
    }
  }
  found_.notices.clear();
  if (!found_.answers.empty()) {
    if (Status sent = send_all(socket.fd, found_.answers); !sent) return sent;
    found_.answers.clear();
  }
  if (found_.events.empty()) return {};

  DeliveryCheck& check = socket.connection->check();
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
  if (!check.is_complete() || ++complete_ < options_.subscribers) return {};
  if (cpu_at_begin_ && now_us > begin_us_) {
    result_.busiest_thread_percent =
        (thread_cpu_seconds() - *cpu_at_begin_) * 1e8 / static_cast<double>(now_us - begin_us_);
  }
  const std::lock_guard lock(mutex_);
  all_complete_ = true;
  changed_.notify_all();
  return {};
}

}  // namespace tidegate
