#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "eventstore/base/clock.h"
#include "eventstore/base/result.h"
#include "eventstore/base/string_map.h"

namespace tidegate {

// What a subject may take per second; 0: as much as it likes.
struct BudgetRates {
  std::uint64_t publish_events = 0;
  std::uint64_t publish_bytes = 0;
  std::uint64_t replay_bytes = 0;  // read below the tail

  bool has_any() const { return publish_events + publish_bytes + replay_bytes > 0; }
};

// A query is refused when the replay of its subject is in debt for longer than this. Other reads
// wait until it is out of debt.
constexpr std::int64_t kQueryDebtMsMax = 1000;

// A subject's, over all of its connections and calls: token buckets that hold a second's worth and
// may go into debt, so that what is larger than a second's worth passes, and the next one waits.
// Thread: any (internally synchronised).
class Budget {
 public:
  // `clock` must outlive it.
  Budget(const BudgetRates& rates, const Clock& clock);

  // kRateLimited with when to come again.
  Status take_publish(std::size_t events, std::size_t bytes);
  // These bytes were read; how many ms to wait before more are.
  std::int64_t charge_replay(std::size_t bytes);
  // Nothing was taken for so long that a new one would be the same.
  bool is_full();

 private:
  class Bucket {
   public:
    explicit Bucket(std::uint64_t per_second)
        : per_second_(static_cast<double>(per_second)), left_(per_second_) {}
    void fill(std::int64_t passed_ms);
    void take(std::size_t amount) {
      if (per_second_ > 0) left_ -= static_cast<double>(amount);
    }
    std::int64_t wait_ms() const;  // until it is out of debt
    bool is_full() const { return left_ >= per_second_; }

   private:
    double per_second_;  // 0: no limit
    double left_;
  };
  void fill_locked();

  const Clock& clock_;
  std::mutex mutex_;
  // All under mutex_.
  std::int64_t filled_ms_;
  Bucket events_;
  Bucket bytes_;
  Bucket replay_;
};

// The budgets of all subjects, found by Principal::owner. Those that are full and not in use are
// forgotten. Thread: any (internally synchronised).
class Budgets {
 public:
  // `clock` must outlive it.
  Budgets(const BudgetRates& rates, const Clock& clock) : rates_(rates), clock_(clock) {}

  // Null without any rate.
  std::shared_ptr<Budget> of(const std::string& owner);

 private:
  void forget_locked();

  const BudgetRates rates_;
  const Clock& clock_;
  std::mutex mutex_;
  // All under mutex_.
  StringMap<std::shared_ptr<Budget>> budgets_;
  std::size_t forget_at_ = 1024;  // so many
};

}  // namespace tidegate
