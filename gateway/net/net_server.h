#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "eventstore/base/result.h"
#include "eventstore/event_store.h"
#include "gateway/delivery/authority.h"
#include "gateway/delivery/limits.h"
#include "gateway/delivery/presence.h"
#include "gateway/delivery/pressure.h"
#include "gateway/delivery/probe.h"
#include "gateway/delivery/session_host.h"
#include "gateway/net/admission.h"
#include "gateway/net/http_head.h"
#include "gateway/net/listen_socket.h"
#include "gateway/net/net_probe.h"
#include "gateway/tls/server_identity.h"

namespace tidegate {

class Engine;

struct NetOptions {
  ListenAddress http;
  unsigned io_threads = 1;
  AdmissionRules admission;
  HttpHeadLimits head;
  SessionLimits limits;
  // Who the listener is; null: without TLS. Must outlive the server.
  const ServerIdentity* identity = nullptr;
  std::string server;  // name and version told in `welcome`
};

// The I/O loops, and the listener that gives them their connections in turn; also the home of
// gRPC's subscriptions.
//
// Connections without a finished request are bounded; more are closed as they come. When
// file descriptors run out, accepting pauses for 100 ms at a time, so that it neither spins nor
// starves what is connected. Thread: `start`, `stop_accepting`, `drain`: caller serialises; the
// rest: any (internally synchronised).
class NetServer final : public SessionHost {
 public:
  // The references must outlive it, and so must the engine (null: projections are switched off) and
  // `presence` (null: nobody keeps it).
  NetServer(EventStore& store, const Clock& clock, DeliveryProbe& delivery_probe,
            NetProbe& net_probe, const Authority& authority, Engine* engine, Presence* presence,
            const PressureGauge& pressure, const NetOptions& options);
  // Resets what is still connected and joins the threads. Handles of remote sessions must be gone.
  ~NetServer() override;

  // Listens and serves; returns "host:port" with the port that was bound. kUnavailable when that is
  // not possible.
  Result<std::string> start();

  Result<std::unique_ptr<RemoteSession>> open_remote(std::shared_ptr<RemotePeer> peer,
                                                     PrincipalRef principal) override;

  // Closes the listener and tells every session to close, spread over `spread_ms`.
  void drain(std::int64_t spread_ms);

  // Open sessions of both transports.
  std::size_t connections() const;
  // How long the slowest loop has not come round.
  std::int64_t stalled_ms() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidegate
