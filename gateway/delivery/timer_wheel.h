#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace tidegate {

// Who is to be looked at when: a hashed timing wheel (Varghese and Lauck, "Hashed and Hierarchical
// Timing Wheels", 1987), so that ten thousand idle connections cost what is due and not their
// number. Times are met to kStepMs, never too early.
//
// T derives from TimerPlace, which keeps the slot's list, so that a wheel takes no memory of its
// own. Thread: caller serialises.
struct TimerPlace {
  std::int64_t timer_due_ms = 0;
  TimerPlace* timer_before = this;
  TimerPlace* timer_after = this;

  TimerPlace() = default;
  TimerPlace(const TimerPlace&) = delete;
  TimerPlace& operator=(const TimerPlace&) = delete;

  bool is_timer_set() const { return timer_after != this; }
};

template <typename T>
class TimerWheel {
 public:
  static constexpr std::int64_t kStepMs = 250;

  explicit TimerWheel(std::int64_t now_ms) : step_(now_ms / kStepMs) {}
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  void set(T& who, std::int64_t due_ms) {
    remove(who);
    TimerPlace& place = who;
    place.timer_due_ms = due_ms;
    insert(place);
  }
  // Keeps an earlier time.
  void set_no_later(T& who, std::int64_t due_ms) {
    const TimerPlace& place = who;
    if (!place.is_timer_set() || place.timer_due_ms > due_ms) set(who, due_ms);
  }
  // Before `who` is destroyed, unless the wheel is destroyed before.
  void remove(T& who) { unlink(who); }

  // Calls `fire(who)` for everyone whose time has come; it may change the wheel in any way.
  template <typename Fire>
  void advance(std::int64_t now_ms, const Fire& fire) {
    const std::int64_t now_step = now_ms / kStepMs;
    // After a long pause every slot is looked at once.
    for (step_ = std::max(step_, now_step - kSlots); step_ < now_step;) {
      ++step_;
      TimerPlace looked_at;
      take_all(slot_of(step_), looked_at);
      while (looked_at.is_timer_set()) {
        TimerPlace& place = *looked_at.timer_after;
        unlink(place);
        place.timer_due_ms > now_ms ? insert(place) : fire(static_cast<T&>(place));
      }
    }
  }

 private:
  static constexpr std::int64_t kSlots = 128;

  TimerPlace& slot_of(std::int64_t step) { return slots_[static_cast<std::size_t>(step % kSlots)]; }

  // What is due beyond the last slot waits there and goes round again.
  void insert(TimerPlace& place) {
    const std::int64_t due_step = (place.timer_due_ms + kStepMs - 1) / kStepMs;
    TimerPlace& slot = slot_of(std::clamp(due_step, step_ + 1, step_ + kSlots - 1));
    place.timer_before = slot.timer_before;
    place.timer_after = &slot;
    slot.timer_before->timer_after = &place;
    slot.timer_before = &place;
  }

  static void unlink(TimerPlace& place) {
    place.timer_before->timer_after = place.timer_after;
    place.timer_after->timer_before = place.timer_before;
    place.timer_before = place.timer_after = &place;
  }

  static void take_all(TimerPlace& from, TimerPlace& to) {
    if (!from.is_timer_set()) return;
    to.timer_before = from.timer_before;
    to.timer_after = from.timer_after;
    to.timer_before->timer_after = to.timer_after->timer_before = &to;
    from.timer_before = from.timer_after = &from;
  }

  std::int64_t step_;
  std::array<TimerPlace, kSlots> slots_;  // heads of circular lists
};

}  // namespace tidegate
