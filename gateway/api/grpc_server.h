#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "eventstore/base/result.h"
#include "eventstore/event_store.h"
#include "gateway/api/api_probe.h"
#include "gateway/delivery/authority.h"
#include "gateway/delivery/pressure.h"
#include "gateway/delivery/session_host.h"
#include "gateway/tls/server_identity.h"

namespace tidegate {

class Engine;

struct GrpcOptions {
  // "host:port"; an IPv6 host in brackets. Port 0 picks a free one.
  std::string listen = "127.0.0.1:7090";
  // Of the gateway, as GetStatus tells it.
  std::string version;
  // Name and version of the libraries that other layers use, for GetStatus; this layer adds its
  // own.
  std::map<std::string, std::string> libraries = {};
  // Whether anybody may ask what the services look like.
  bool has_reflection = true;
  // Who the listener is; null: without TLS. Must outlive the server.
  const ServerIdentity* identity = nullptr;
  // Who is told of calls; null: nobody. Must outlive the server.
  ApiProbe* probe = nullptr;
  // While it shows any pressure no query of a projection is begun; null: memory is never short.
  // Must outlive the server.
  const PressureGauge* pressure = nullptr;
};

// What GetStatus tells about delivery.
struct DeliveryCounts {
  std::uint64_t connections = 0;
  std::uint64_t subscriptions = 0;
  std::uint64_t behind = 0;  // subscriptions that read below the live edge
};

// The gRPC listener: the services of tidegate.v1, health and reflection.
//
// The store, the host, the projections and the authority must outlive it. Its calls run on gRPC's
// threads, the store's read threads and the appender; none of them ever waits for another. Thread:
// caller serialises.
class GrpcServer {
 public:
  // `counts` is called on any thread, also several at a time, until shutdown() has returned.
  // `projections` may be null: switched off.
  GrpcServer(GrpcOptions options, EventStore& store, SessionHost& host, Engine* projections,
             Authority& authority, std::function<DeliveryCounts()> counts);
  // As shutdown() without patience.
  ~GrpcServer();
  GrpcServer(const GrpcServer&) = delete;
  GrpcServer& operator=(const GrpcServer&) = delete;

  // Listens and serves; returns "host:port" with the port that was bound. kUnavailable with the
  // address and the reason when that is not possible (address in use, for example). To be called
  // once.
  Result<std::string> start();

  // Takes what `identity` has now; in force a second later. kInternal.
  Status exchange_certificate();

  // Health becomes NOT_SERVING and every new publish is answered with `draining`; what is under way
  // goes on.
  void begin_drain();

  // Stops taking calls, waits for those under way, cancels the rest after `patience`, and returns
  // when the last one has ended. Sessions of Subscribe last as long as their client likes: close
  // them by their host first.
  void shutdown(std::chrono::milliseconds patience);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace tidegate
