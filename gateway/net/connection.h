#pragma once

#include <cstdint>
#include <string_view>

#include "gateway/delivery/timer_wheel.h"
#include "gateway/delivery/transport.h"

namespace tidegate {

// What lives in a loop's registry: the transport of one session, which it owns, over whatever
// carries it. It leaves the registry by IoLoop::forget, never from inside the functions below.
// Thread: I/O loop only.
class Connection : public Transport, public TimerPlace {
 public:
  // Pings and time limits. When it is to be called again; IoLoop::tick_no_later brings that
  // forward.
  virtual std::int64_t tick(std::int64_t now_ms) = 0;
  // The loop ends: ends the session and cuts the peer, without IoLoop::forget.
  virtual void abandon() = 0;
};

// The close code in a word, for logs and metrics.
std::string_view close_reason(CloseCode code);

}  // namespace tidegate
