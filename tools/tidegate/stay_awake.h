#pragma once

#include <cstdint>

namespace tidegate {

// How long a reader of events that come by a schedule looks for more before it sleeps.
//
// On one machine the sender of a message pays for waking its reader: about 4 us of 12 when each of
// a thousand messages wakes a reader that is faster than the sender. Over a network it never does.
inline constexpr std::int64_t kStayAwakeUs = 100;

// Calls `poll`, which does not wait, until it finds something or the time is over; returns what it
// found, as epoll_wait does.
template <typename NowUs, typename Poll>
int poll_for_a_while(const NowUs& now_us, const Poll& poll) {
  const std::int64_t until_us = now_us() + kStayAwakeUs;
  int found = poll();
  while (found == 0 && now_us() < until_us) found = poll();
  return found;
}

}  // namespace tidegate
