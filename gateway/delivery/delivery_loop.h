#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "eventstore/base/clock.h"
#include "eventstore/segment.h"
#include "gateway/delivery/authority.h"
#include "gateway/delivery/limits.h"
#include "gateway/delivery/log_access.h"
#include "gateway/delivery/presence.h"
#include "gateway/delivery/principal.h"
#include "gateway/delivery/probe.h"
#include "gateway/delivery/projection_access.h"
#include "gateway/delivery/transport.h"

namespace tidegate {

class LoopCore;
class Session;

// Everything that one I/O loop delivers: its sessions, the index of who wants what, and the place
// in the log up to which it has dispatched. Pure: no thread, no socket, no timer; the shell
// (net/io_loop.cc) calls it, and so does a simulator.
//
// Thread: I/O loop only.
class DeliveryLoop {
 public:
  // The references must outlive the loop, and so must `presence` (null: nobody keeps it); its
  // sessions must be destroyed before it. `server` is the name and version told in `welcome`.
  DeliveryLoop(LogAccess& log, ProjectionAccess& projections, const Clock& clock,
               const SessionLimits& limits, DeliveryProbe& probe, const Authority& authority,
               Presence* presence, std::string server);
  ~DeliveryLoop();
  DeliveryLoop(const DeliveryLoop&) = delete;
  DeliveryLoop& operator=(const DeliveryLoop&) = delete;

  // Begins a session and sends `welcome`. `transport` must outlive the session. `connection` is its
  // name in `welcome` and logs. While draining: sends `closing` and closes.
  std::unique_ptr<Session> open(Transport& transport, WireForm form, PrincipalRef principal,
                                std::string connection);

  // The head moved, or the last call returned true: dispatches a bounded number of events to live
  // subscriptions and writes to those that have something to send. True when more is left: call
  // again after other work of the loop.
  bool dispatch();

  // Heartbeats, position messages, stuck writes, ends of tokens, drain. Call it about every 250 ms.
  void tick();

  // Tells every session `closing` and closes it with 1012, spread at random over `spread_ms` (by
  // the calls of `tick`). New sessions are closed at once.
  void drain(std::int64_t spread_ms);

  std::size_t sessions() const;

 private:
  std::shared_ptr<LoopCore> core_;
};

}  // namespace tidegate
