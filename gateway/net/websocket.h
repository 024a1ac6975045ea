#pragma once

#include <memory>

#include "gateway/net/admission.h"
#include "gateway/net/connection.h"
#include "gateway/net/socket_io.h"

namespace tidegate {

class IoLoop;

// A socket whose request for a WebSocket was found good; the answer is still to be sent.
struct UpgradedSocket {
  int fd = -1;
  SocketIo io;
  bool is_v6 = false;
  Admitted admitted;
};

// Begins a WebSocket connection on `loop`: answers the upgrade and opens a session. Takes
// `socket.fd`; the loop's registry owns the connection from here on, and the loop must outlive it.
//
//   kOpen -> kClosing (a close frame of either side, or a violation; cut after 5 seconds) -> kGone
//
// A dead peer is found by ping frames: one every heartbeat_ms, answered within pong_ms. While the
// peer's kernel still takes what lies before the ping, or while we do not read (set_reading), the
// wait for the pong begins anew. Thread: I/O loop only.
void accept_websocket(IoLoop& loop, UpgradedSocket socket);

}  // namespace tidegate
