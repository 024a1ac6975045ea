#include "gateway/auth/fetch_schedule.h"

#include <algorithm>

namespace tidegate {

void FetchSchedule::on_end(std::int64_t now_ms, bool good) {
  is_fetching_ = false;
  retry_ms_ = good             ? 0
              : retry_ms_ == 0 ? periods_.retry_ms
                               : std::min(2 * retry_ms_, periods_.refresh_ms);
  due_ms_ = now_ms + (is_requested_ ? 0 : good ? periods_.refresh_ms : retry_ms_);
  is_requested_ = false;
}

void FetchSchedule::on_request(std::int64_t now_ms) {
  is_requested_ = is_fetching_;
  due_ms_ = now_ms;
}

bool FetchSchedule::on_unknown_key(std::int64_t now_ms) {
  if (is_fetching_ || due_ms_ <= now_ms) return true;
  if (now_ms < unknown_key_from_ms_) return false;
  unknown_key_from_ms_ = now_ms + periods_.unknown_key_ms;
  due_ms_ = now_ms;
  return true;
}

}  // namespace tidegate
