#include "tools/tidegate/bench_publisher.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

#include "tools/tidegate/services.h"

namespace tidegate {

// gRPC may call back on the thread that starts an operation, so operations are started outside of
// the lock; `is_writing_` gives `request_` one user at a time.

class BenchPublisher::Call final
    : private grpc::ClientBidiReactor<v1::PublishPipelineRequest, v1::PublishPipelineResponse> {
 public:
  Call(Client& client, const Options& options, BenchEvents events, LoadClock clock);
  ~Call() override;

  void start();
  void permit(std::uint64_t total);
  void stop();
  void cancel() { context_.TryCancel(); }
  bool wait(std::chrono::milliseconds timeout);
  bool has_failed();
  std::uint64_t acknowledged();
  Histogram take_latency();
  std::uint64_t events() const { return options_.events; }
  std::int64_t due_us(std::uint64_t number) const;
  PublisherResult& result() { return result_; }

 private:
  struct Sent {
    std::uint64_t events;
    std::int64_t at_us;
  };

  void OnWriteDone(bool ok) override;
  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;
  void pump();
  void take_answer();
  std::uint64_t allowed() const;
  void make_request(std::uint64_t first, std::uint64_t count, std::int64_t now_us);

  Client& client_;
  const Options options_;
  const BenchEvents events_;
  const LoadClock clock_;
  std::int64_t start_us_ = 0;
  grpc::ClientContext context_;
  std::unique_ptr<v1::EventService::Stub> stub_;
  v1::PublishPipelineRequest request_;    // of the write in flight
  std::uint64_t last_batch_ = 0;          // likewise
  v1::PublishPipelineResponse response_;  // of the read in flight

  std::mutex mutex_;  // all below
  std::condition_variable changed_;
  std::uint64_t permitted_ = 0;
  std::deque<Sent> unanswered_;
  bool is_writing_ = false;
  bool is_stopped_ = false;
  bool is_broken_ = false;  // the gateway ended the call
  bool is_closed_ = false;  // nothing will be written any more
  bool is_started_ = false;
  bool is_done_ = false;
  PublisherResult result_;
};

BenchPublisher::Call::Call(Client& client, const Options& options, BenchEvents events,
                           LoadClock clock)
    : client_(client), options_(options), events_(std::move(events)), clock_(clock) {
  // Publishers are different programs in life: each gets a connection of its own.
  stub_ = v1::EventService::NewStub(client.services().connect());
}

BenchPublisher::Call::~Call() {
  std::unique_lock lock(mutex_);
  if (!is_started_) return;
  if (!is_done_) context_.TryCancel();
  changed_.wait(lock, [this] { return is_done_; });
}

void BenchPublisher::Call::start() {
  {
    const std::lock_guard lock(mutex_);
    is_started_ = true;
    start_us_ = clock_.now_us();
    result_.first_us = result_.last_us = start_us_;
  }
  stub_->async()->PublishPipeline(&context_, this);
  // Writes come from other threads than the reactor's, also when no callback is under way.
  AddHold();
  StartRead(&response_);
  StartCall();
  pump();
}

void BenchPublisher::Call::permit(std::uint64_t total) {
  {
    const std::lock_guard lock(mutex_);
    permitted_ = std::max(permitted_, total);
  }
  pump();
}

void BenchPublisher::Call::stop() {
  {
    const std::lock_guard lock(mutex_);
    is_stopped_ = true;
  }
  pump();
}

bool BenchPublisher::Call::wait(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout, [this] { return is_done_; });
}

bool BenchPublisher::Call::has_failed() {
  const std::lock_guard lock(mutex_);
  return result_.failed.has_value() || result_.refused > 0;
}

std::uint64_t BenchPublisher::Call::acknowledged() {
  const std::lock_guard lock(mutex_);
  return result_.acknowledged;
}

Histogram BenchPublisher::Call::take_latency() {
  const std::lock_guard lock(mutex_);
  return std::exchange(result_.latency_us, Histogram());
}

std::int64_t BenchPublisher::Call::due_us(std::uint64_t number) const {
  return start_us_ + static_cast<std::int64_t>(static_cast<double>(number) * 1e6 /
                                               static_cast<double>(options_.rate));
}

// How many events may be sent now.
std::uint64_t BenchPublisher::Call::allowed() const {
  std::uint64_t end = permitted_;
  if (options_.window > 0) end = result_.acknowledged + result_.refused + options_.window;
  end = std::min(end, options_.events);
  const std::uint64_t count = end > result_.sent ? end - result_.sent : 0;
  const bool is_last = end == options_.events;
  return count >= options_.least || is_last ? std::min(count, options_.batch) : 0;
}

void BenchPublisher::Call::pump() {
  enum class Action { kWrite, kEndWrites, kLetGo };
  Action action = Action::kWrite;
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  const std::int64_t now_us = clock_.now_us();
  {
    const std::lock_guard lock(mutex_);
    if (is_writing_ || is_closed_) return;
    first = result_.sent;
    count = is_stopped_ || is_broken_ ? 0 : allowed();
    if (count > 0) {
      is_writing_ = true;
      result_.sent += count;
      unanswered_.push_back({count, now_us});
    } else if (is_broken_ || is_stopped_ || result_.sent == options_.events) {
      is_closed_ = true;
      action = is_broken_ ? Action::kLetGo : Action::kEndWrites;
    } else {
      return;
    }
  }
  if (action == Action::kWrite) {
    make_request(first, count, now_us);
    StartWrite(&request_);
    return;
  }
  if (action == Action::kEndWrites) StartWritesDone();
  RemoveHold();
}

void BenchPublisher::Call::make_request(std::uint64_t first, std::uint64_t count,
                                        std::int64_t now_us) {
  request_.set_batch(++last_batch_);
  v1::PublishRequest& request = *request_.mutable_request();
  request.set_durability(options_.buffered ? v1::DURABILITY_BUFFERED : v1::DURABILITY_SYNCED);
  auto& events = *request.mutable_events();
  while (static_cast<std::uint64_t>(events.size()) > count) events.RemoveLast();
  while (static_cast<std::uint64_t>(events.size()) < count) events.Add();
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::int64_t sent_us = options_.rate > 0 ? due_us(first + i) : now_us;
    events_.fill(events[static_cast<int>(i)], first + i, sent_us);
  }
}

void BenchPublisher::Call::OnWriteDone(bool ok) {
  {
    const std::lock_guard lock(mutex_);
    is_writing_ = false;
    is_broken_ = is_broken_ || !ok;
  }
  pump();
}

void BenchPublisher::Call::OnReadDone(bool ok) {
  {
    const std::lock_guard lock(mutex_);
    // An answer to nothing is as good as a broken call.
    ok = ok && !unanswered_.empty();
    is_broken_ = is_broken_ || !ok;
    if (ok) take_answer();
  }
  if (ok) StartRead(&response_);
  pump();
}

void BenchPublisher::Call::take_answer() {
  const Sent sent = unanswered_.front();
  unanswered_.pop_front();
  result_.last_us = clock_.now_us();
  if (response_.has_error()) {
    if (result_.refused == 0) result_.refusal = response_.error().message();
    result_.refused += sent.events;
  } else {
    result_.acknowledged += sent.events;
    result_.latency_us.record(result_.last_us - sent.at_us);
  }
}

void BenchPublisher::Call::OnDone(const grpc::Status& status) {
  const std::lock_guard lock(mutex_);
  if (!status.ok()) result_.failed = client_.error_from(status);
  is_done_ = true;
  changed_.notify_all();
}

// --------------------------------------------------------------------------------- the outside

BenchPublisher::BenchPublisher(Client& client, const Options& options, BenchEvents events,
                               LoadClock clock)
    : call_(std::make_unique<Call>(client, options, std::move(events), clock)) {}
BenchPublisher::~BenchPublisher() = default;

void BenchPublisher::start() {
  call_->start();
}
void BenchPublisher::permit(std::uint64_t total) {
  call_->permit(total);
}
void BenchPublisher::stop() {
  call_->stop();
}
void BenchPublisher::cancel() {
  call_->cancel();
}
bool BenchPublisher::wait(std::chrono::milliseconds timeout) {
  return call_->wait(timeout);
}
bool BenchPublisher::has_failed() {
  return call_->has_failed();
}
std::uint64_t BenchPublisher::acknowledged() {
  return call_->acknowledged();
}
Histogram BenchPublisher::take_latency() {
  return call_->take_latency();
}
std::uint64_t BenchPublisher::events() const {
  return call_->events();
}
std::int64_t BenchPublisher::due_us(std::uint64_t number) const {
  return call_->due_us(number);
}
PublisherResult& BenchPublisher::result() {
  return call_->result();
}

}  // namespace tidegate
