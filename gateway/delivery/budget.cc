#include "gateway/delivery/budget.h"

#include <algorithm>
#include <cmath>

namespace tidegate {

void Budget::Bucket::fill(std::int64_t passed_ms) {
  left_ = std::min(per_second_, left_ + per_second_ * static_cast<double>(passed_ms) / 1000.0);
}

std::int64_t Budget::Bucket::wait_ms() const {
  if (per_second_ == 0 || left_ > 0) return 0;
  return 1 + static_cast<std::int64_t>(std::ceil(-left_ * 1000.0 / per_second_));
}

Budget::Budget(const BudgetRates& rates, const Clock& clock)
    : clock_(clock),
      filled_ms_(clock.steady_ms()),
      events_(rates.publish_events),
      bytes_(rates.publish_bytes),
      replay_(rates.replay_bytes) {}

void Budget::fill_locked() {
  const std::int64_t now_ms = clock_.steady_ms();
  const std::int64_t passed_ms = now_ms - filled_ms_;
  filled_ms_ = now_ms;
  for (Bucket* bucket : {&events_, &bytes_, &replay_}) bucket->fill(passed_ms);
}

Status Budget::take_publish(std::size_t events, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  fill_locked();
  const std::int64_t wait_ms = std::max(events_.wait_ms(), bytes_.wait_ms());
  if (wait_ms > 0) {
    return Error{
        .code = Code::kRateLimited,
        .message = "this subject publishes more than it may",
        .retry_after_ms = static_cast<std::uint32_t>(std::min<std::int64_t>(wait_ms, UINT32_MAX))};
  }
  events_.take(events);
  bytes_.take(bytes);
  return {};
}

std::int64_t Budget::charge_replay(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  fill_locked();
  replay_.take(bytes);
  return replay_.wait_ms();
}

bool Budget::is_full() {
  const std::lock_guard lock(mutex_);
  fill_locked();
  return events_.is_full() && bytes_.is_full() && replay_.is_full();
}

std::shared_ptr<Budget> Budgets::of(const std::string& owner) {
  if (!rates_.has_any()) return nullptr;
  const std::lock_guard lock(mutex_);
  std::shared_ptr<Budget>& budget = budgets_[owner];
  if (budget) return budget;
  budget = std::make_shared<Budget>(rates_, clock_);
  const std::shared_ptr<Budget> made = budget;
  if (budgets_.size() >= forget_at_) forget_locked();
  return made;
}

// Each time at twice as many, so that the search costs little per budget.
void Budgets::forget_locked() {
  std::erase_if(budgets_, [](const auto& entry) {
    return entry.second.use_count() == 1 && entry.second->is_full();
  });
  forget_at_ = std::max<std::size_t>(1024, 2 * budgets_.size());
}

}  // namespace tidegate
