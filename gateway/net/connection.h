#pragma once

#include <cstdint>
#include <string_view>

#include "gateway/delivery/transport.h"

namespace tidegate {

// What lives in a loop's registry: the transport of one session, which it owns, over whatever
// carries it. It leaves the registry by IoLoop::forget, never from inside the functions below.
// Thread: I/O loop only.
class Connection : public Transport {
 public:
  // Every 250 ms: pings and time limits.
  virtual void tick(std::int64_t now_ms) = 0;
  // The loop ends: ends the session and cuts the peer, without IoLoop::forget.
  virtual void abandon() = 0;
};

// The close code in a word, for logs and metrics.
std::string_view close_reason(CloseCode code);

}  // namespace tidegate
