#pragma once

#include <cstdint>

namespace tidegate {

// When the keys of an issuer are fetched. Pure: time comes in, decisions go out. Times are
// milliseconds of a clock that never goes back. Thread: caller serialises.
class FetchSchedule {
 public:
  struct Periods {
    std::int64_t refresh_ms = 5 * 60 * 1000;
    // After a failure; doubled by each further one, up to refresh_ms.
    std::int64_t retry_ms = 5 * 1000;
    // Between two fetches that unknown keys asked for: a peer can send one with every token.
    std::int64_t unknown_key_ms = 60 * 1000;
  };

  // The first fetch is due at once.
  FetchSchedule(const Periods& periods, std::int64_t now_ms) : periods_(periods), due_ms_(now_ms) {}

  // How long until the next fetch; 0: now. Only while none is under way.
  std::int64_t wait_ms(std::int64_t now_ms) const {
    return due_ms_ > now_ms ? due_ms_ - now_ms : 0;
  }

  void on_start() { is_fetching_ = true; }
  void on_end(std::int64_t now_ms, bool good);

  // A token names a key that is not there. True if a fetch is due, or under way, that may bring it.
  bool on_unknown_key(std::int64_t now_ms);

  // An operator wants it now: if one is under way, another follows, as that one may have come too
  // early.
  void on_request(std::int64_t now_ms);

 private:
  const Periods periods_;
  std::int64_t due_ms_;
  std::int64_t retry_ms_ = 0;                     // 0: the last fetch was good
  std::int64_t unknown_key_from_ms_ = INT64_MIN;  // when the next unknown key may ask
  bool is_fetching_ = false;
  bool is_requested_ = false;  // while another was under way
};

}  // namespace tidegate
