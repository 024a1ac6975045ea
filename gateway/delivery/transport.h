#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <absl/container/inlined_vector.h>

#include "eventstore/segment.h"

namespace tidegate {

// One message of the session protocol on its way out, sent as one WebSocket message: bytes of its
// own, and between them runs of shared bytes in segments that `pins` keeps alive. Most messages
// have one run, which takes no memory of its own. Thread: caller serialises.
struct OutgoingMessage {
  std::string own;
  std::size_t before = 0;  // so many bytes of `own` come before the runs
  absl::InlinedVector<std::string_view, 1> runs;
  absl::InlinedVector<SegmentRef, 1> pins;
  std::size_t bytes = 0;  // of all pieces
  // The next message comes before the caller does anything else, so that a transport may keep this
  // one and write both at once.
  bool is_followed = false;

  // A message that is one string.
  static OutgoingMessage of(std::string text);

  // What is sent one after the other; a piece may be empty. Views are good until the message moves.
  std::size_t pieces() const { return runs.size() + 2; }
  std::string_view piece(std::size_t at) const {
    if (at == 0) return std::string_view(own).substr(0, before);
    return at <= runs.size() ? runs[at - 1] : std::string_view(own).substr(before);
  }
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

  // What kind of way it is: "websocket", "grpc".
  virtual std::string_view surface() const = 0;

  // Takes the next message. `write` follows, before any other message is put. (By reference,
  // because moving it costs and every delivery passes here.)
  virtual void put(OutgoingMessage&& message) = 0;

  enum class Sent : std::uint8_t { kDone, kUnderWay };
  // Begins to write the message that was put. kDone: the kernel has taken the whole message (or
  // will have, before the one that follows it), and the next one may come right away. kUnderWay: it
  // may come after Session::on_written, which means that the kernel (WebSocket) or gRPC
  // (OnWriteDone) has taken the whole message. The session measures that time and closes with
  // kNoProgress; finding a dead peer by pings is the transport's business (Websocket::check_pong;
  // gRPC's keepalive).
  virtual Sent write() = 0;

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
