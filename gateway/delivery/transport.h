#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/segment.h"

namespace tidegate {

// One message of the session protocol on its way out: pieces of shared bytes, sent as one WebSocket
// message. The pieces point into `own` strings and into segments that `pins` keeps alive. Thread:
// caller serialises.
struct OutgoingMessage {
  std::vector<std::string_view> pieces;
  std::vector<std::string> own;  // never grown after a piece points into it
  std::vector<SegmentRef> pins;
  std::size_t bytes = 0;

  // A message that is one string.
  static OutgoingMessage of(std::string text);
  std::string joined() const;
};

// Close codes, as docs/protocol.md explains them.
enum class CloseCode : std::uint16_t {
  kNormal = 1000,
  kProtocol = 1002,
  kUnsupportedData = 1003,
  kBadText = 1007,
  kPolicy = 1008,
  kTooBig = 1009,
  kInternal = 1011,
  kDrain = 1012,
  kBadMessage = 4400,
  kUnauthenticated = 4401,
  kForbidden = 4403,
  kNoProgress = 4408,
  kRateLimited = 4429,
};

// The way to a session's peer: a WebSocket, a gRPC stream, or a test.
//
// A session borrows its transport. In the gateway that is a Connection (net/connection.h), which
// owns the Session: it drops the session first, never from inside one of these functions, and then
// leaves the loop's registry. The DeliveryLoop outlives both.
// Thread: I/O loop only. Implementations never call back into the session from inside these
// functions.
class Transport {
 public:
  virtual ~Transport() = default;

  enum class Sent : std::uint8_t { kDone, kUnderWay };
  // Begins a write. kDone: the kernel has taken the whole message, and the next one may come right
  // away. kUnderWay: it may come after Session::on_written, which means that the kernel (WebSocket)
  // or gRPC (OnWriteDone) has taken the whole message. The session measures that time and closes
  // with kNoProgress; finding a dead peer by pings is the transport's business
  // (Websocket::check_pong; gRPC's keepalive).
  virtual Sent send(OutgoingMessage message) = 0;

  // Copies what is left of the message in flight (at most limits.batch_bytes, or one event) and
  // drops its pins, so that a peer that does not read holds no memory of the log. Called at most
  // once per message.
  virtual void release_pins() = 0;

  // Sends a close frame once the write in flight is done and ends the connection; it is cut five
  // seconds later at the latest. Nothing is sent after it. Calling it again does nothing.
  virtual void close(CloseCode code, std::string_view reason) = 0;

  // Whether the peer's next message may be read. Called only when it changes.
  virtual void set_reading(bool reading) = 0;
};

}  // namespace tidegate
