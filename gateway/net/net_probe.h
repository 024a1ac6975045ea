#pragma once

#include <cstdint>
#include <string_view>

namespace tidegate {

// Why a connection counts as dead: it did not answer a ping, or a write to it did not move.
enum class HeartbeatFailure : std::uint8_t { kNoPong, kNoProgress };

// What the sockets tell their observer: verbs without names of metrics.
// Thread: any (internally synchronised by the implementation).
class NetProbe {
 public:
  virtual ~NetProbe() = default;
  // A WebSocket, or a gRPC subscription: `transport` is "websocket" or "grpc".
  virtual void connection_opened(std::string_view /*transport*/) {}
  // `reason`: the close code that ended it in words ("normal", "drain"), or "lost" when the peer
  // just went.
  virtual void connection_closed(std::string_view /*transport*/, std::string_view /*reason*/,
                                 std::int64_t /*duration_ms*/) {}
  // A request that did not become a connection.
  virtual void request_refused(int /*http_status*/) {}
  virtual void heartbeat_failed(HeartbeatFailure /*cause*/) {}
  // How late the loop's timer came: what every callback of this loop waits at the moment.
  virtual void loop_lagged(unsigned /*loop*/, std::int64_t /*lag_us*/) {}
};

}  // namespace tidegate
