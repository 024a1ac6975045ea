#pragma once

#include <string>
#include <variant>

#include "eventstore/segment.h"
#include "gateway/net/http_head.h"

namespace tidegate {

// What a request for `GET /v1/ws` asked for, when it may have it.
struct Upgrade {
  std::string key;  // Sec-WebSocket-Key
  WireForm form = WireForm::kJson;
  std::string protocol = {};  // to be named in the answer, or empty: the client offered none
};

// Checks a request for a WebSocket strictly: what is doubtful is refused, since what a proxy and a
// server read differently is how requests are smuggled. Beast's own `accept` takes two Hosts, an
// empty key or a second version.
//
// Without authentication every web page that the user opens could reach a listener on 127.0.0.1.
// Therefore only a loopback Host (against rebinding of a name) and an absent or loopback Origin are
// accepted. Thread: any (pure function).
std::variant<Upgrade, HttpRefusal> check_upgrade(const HttpRequest& request);

// The answer that makes the connection a WebSocket.
std::string upgrade_answer(const Upgrade& upgrade);

// Host of "host", "host:port" or "[v6]:port", when it is this machine: 127.0.0.0/8, ::1 or
// localhost.
bool is_loopback_authority(std::string_view authority);

}  // namespace tidegate
