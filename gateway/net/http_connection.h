#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "gateway/net/http_head.h"

namespace boost::asio {
class io_context;
}

namespace tidegate {

// What to do with a request: answer with these bytes (http_answer) and close, or, with nothing,
// hand the socket on.
using HttpDecision = std::optional<std::string>;

struct HttpHandler {
  // Must not block. Called at most once.
  std::function<HttpDecision(const HttpRequest&)> decide;
  // The socket of a request that `decide` did not answer; it belongs to the callee. Nothing was
  // written to it.
  std::function<void(int fd)> hand_on;
  // A request was refused with this status before `decide` saw it.
  std::function<void(int status)> refused;
  // The connection has gone, or was handed on. Called exactly once, except when the io_context ends
  // before.
  std::function<void()> done;
};

// Serves one request on a new connection: reads its head (at most 16 KiB in at most 5 seconds, else
// 431 and 408), lets `handler` decide, writes the answer, and closes when the peer has read it (one
// second at most: a socket that is closed on unread bytes is reset, and the answer lost). Takes
// `fd`; lives by itself until `done`. Thread: the io_context's only.
void serve_http(boost::asio::io_context& context, int fd, bool is_v6, HttpHandler handler);

}  // namespace tidegate
