#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "gateway/net/http_head.h"
#include "gateway/net/ip_address.h"
#include "gateway/net/socket_io.h"

namespace boost::asio {
class io_context;
}

namespace tidegate {

// What to do with a request: answer with these bytes (http_answer) and close, or, with nothing,
// hand the socket on.
using HttpDecision = std::optional<std::string>;

struct HttpHandler {
  // Must not block. Called at most once. `peer` is ServedSocket::peer, or who the proxy's header
  // names.
  std::function<HttpDecision(const HttpRequest&, const IpAddress& peer)> decide;
  // The socket of a request that `decide` did not answer; it belongs to the callee. Nothing was
  // written to it.
  std::function<void(int fd, SocketIo io)> hand_on;
  // A request was refused before `decide` saw it.
  std::function<void(const HttpRefusal&, const IpAddress& peer)> refused;
  // The connection has gone, or was handed on. Called exactly once, except when the io_context ends
  // before; never within `serve_http`.
  std::function<void()> done;
};

// A connection that was just accepted.
struct ServedSocket {
  int fd = -1;
  bool is_v6 = false;
  SocketIo io;
  IpAddress peer;
  // A ProxyHeader comes first; 400 when it does not.
  bool has_proxy_header = false;
};

// A connection that is being served. Thread: the io_context's only.
class ServedHttp {
 public:
  virtual ~ServedHttp() = default;
  // Ends it, `done` included, if nobody is at a loss: its peer has sent nothing yet, or was
  // answered. False: not.
  virtual bool cut_idle() = 0;
};

// Serves one request on a new connection: reads its head (else 431 and 408), lets `handler` decide,
// writes the answer, and closes when the peer has read it (one second at most: a socket that is
// closed on unread bytes is reset, and the answer lost). The handshake of TLS has its time from
// that of the head. Takes `socket.fd`; lives by itself until `done`. Thread: the io_context's only.
std::weak_ptr<ServedHttp> serve_http(boost::asio::io_context& context, ServedSocket socket,
                                     const HttpHeadLimits& limits, HttpHandler handler);

}  // namespace tidegate
