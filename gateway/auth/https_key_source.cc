#include "gateway/auth/https_key_source.h"

#include <csignal>
#include <utility>

#include "eventstore/base/log.h"

namespace tidegate {

HttpsKeySource::HttpsKeySource(std::unique_ptr<HttpsGet> get, const Clock& clock,
                               const FetchSchedule::Periods& periods)
    : get_(std::move(get)),
      clock_(clock),
      schedule_(periods, clock.steady_ms()),
      thread_([this] { run(); }) {}

HttpsKeySource::~HttpsKeySource() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  changed_.notify_all();
  get_->abort();
  thread_.join();
}

std::shared_ptr<const KeySet> HttpsKeySource::keys() const {
  const std::lock_guard lock(mutex_);
  return young_keys();
}

std::shared_ptr<const KeySet> HttpsKeySource::young_keys() const {
  if (clock_.steady_ms() - fetched_ms_ > kKeyAgeMax_ms) return nullptr;
  return keys_;
}

bool HttpsKeySource::on_unknown_key() {
  const std::lock_guard lock(mutex_);
  const bool is_coming = schedule_.on_unknown_key(clock_.steady_ms());
  if (is_coming) changed_.notify_all();
  return is_coming;
}

Status HttpsKeySource::reload() {
  const std::lock_guard lock(mutex_);
  schedule_.on_request(clock_.steady_ms());
  changed_.notify_all();
  return {};
}

KeySource::Health HttpsKeySource::health() const {
  const std::lock_guard lock(mutex_);
  Health health = health_;
  health.has_keys = young_keys() != nullptr;
  return health;
}

bool HttpsKeySource::wait_for_attempts(std::uint64_t attempts, std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, time, [&] { return attempts_ >= attempts; });
}

void HttpsKeySource::run() {
  // Signals are for main; and a server that goes in the middle must not end the process (SIGPIPE).
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);

  std::unique_lock lock(mutex_);
  while (!is_stopping_) {
    const std::int64_t wait_ms = schedule_.wait_ms(clock_.steady_ms());
    if (wait_ms > 0) {
      changed_.wait_for(lock, std::chrono::milliseconds(wait_ms));
      continue;
    }
    schedule_.on_start();
    lock.unlock();
    Result<KeySet> fetched = fetch();
    lock.lock();
    const std::string failure = take(std::move(fetched));
    changed_.notify_all();
    if (failure.empty()) continue;
    lock.unlock();
    log(LogLevel::kWarn, "keys of an issuer could not be fetched; the old ones stay",
        {{"url", get_->url()}, {"reason", failure}});
    lock.lock();
  }
}

Result<KeySet> HttpsKeySource::fetch() {
  const Result<std::string> document = get_->run();
  if (!document) return document.error();
  Result<KeySet> keys = KeySet::from_jwks(*document);
  if (keys && !keys->has_secrets()) return keys;
  const std::string reason =
      keys ? "it hands out a secret: HS256 keys are taken from files only" : keys.error().message;
  return Error{Code::kUnavailable, "the document at " + get_->url() + ": " + reason};
}

std::string HttpsKeySource::take(Result<KeySet> fetched) {
  const std::int64_t now_ms = clock_.steady_ms();
  schedule_.on_end(now_ms, fetched.has_value());
  ++attempts_;
  if (is_stopping_) return "";
  health_.last_error = fetched ? "" : fetched.error().message;
  if (!fetched) {
    ++health_.failures;
    return health_.last_error;
  }
  keys_ = std::make_shared<const KeySet>(*std::move(fetched));
  fetched_ms_ = now_ms;
  return "";
}

}  // namespace tidegate
