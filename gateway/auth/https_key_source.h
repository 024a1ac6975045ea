#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "eventstore/base/clock.h"
#include "gateway/auth/fetch_schedule.h"
#include "gateway/auth/https_get.h"
#include "gateway/auth/key_source.h"

namespace tidegate {

// The keys at an https:// address. Its thread fetches when FetchSchedule says so, takes over a
// document only when it is good as a whole, and lives until the destructor, which aborts a fetch
// that is under way. Secrets (HS256) are refused: an address that hands them out hands them to
// everybody. Thread: any (internally synchronised).
class HttpsKeySource final : public KeySource {
 public:
  // `clock` must outlive the source.
  HttpsKeySource(std::unique_ptr<HttpsGet> get, const Clock& clock,
                 const FetchSchedule::Periods& periods);
  ~HttpsKeySource() override;
  HttpsKeySource(const HttpsKeySource&) = delete;
  HttpsKeySource& operator=(const HttpsKeySource&) = delete;

  std::shared_ptr<const KeySet> keys() const override;
  bool on_unknown_key() override;
  Status reload() override;
  bool wait_for_keys(std::chrono::milliseconds time) override { return wait_for_attempts(1, time); }
  Health health() const override;

  // Waits until so many fetches have ended since the start; false when the time was over before.
  bool wait_for_attempts(std::uint64_t attempts, std::chrono::milliseconds time);

 private:
  void run();
  Result<KeySet> fetch();
  // Under the lock: takes over what was fetched; returns why it cannot, for the log.
  std::string take(Result<KeySet> fetched);
  // Under the lock: keys_, unless they are too old.
  std::shared_ptr<const KeySet> young_keys() const;

  const std::unique_ptr<HttpsGet> get_;
  const Clock& clock_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;  // anything below has changed
  FetchSchedule schedule_;
  std::shared_ptr<const KeySet> keys_;
  std::int64_t fetched_ms_ = 0;  // when keys_ were
  std::uint64_t attempts_ = 0;
  Health health_;
  bool is_stopping_ = false;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace tidegate
