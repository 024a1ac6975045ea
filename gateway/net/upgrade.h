#pragma once

#include <string>
#include <variant>
#include <vector>

#include "eventstore/segment.h"
#include "gateway/net/http_head.h"

namespace tidegate {

// What a request for `GET /v1/ws` asked for, when it may have it.
struct Upgrade {
  std::string key;  // Sec-WebSocket-Key
  WireForm form = WireForm::kJson;
  std::string protocol = {};  // to be named in the answer, or empty: the client offered none
  std::string token = {};     // the first that was found, or empty; never to be logged
};

// Who may ask for a WebSocket, and where its token may stand.
struct UpgradeRules {
  // Development mode: without authentication every web page that the user opens could reach a
  // listener on 127.0.0.1. Therefore only a loopback Host (against rebinding of a name) and an
  // absent or loopback Origin are accepted.
  bool is_local_only = true;
  // Otherwise: the pages that may connect, each "scheme://host[:port]", compared as bytes. A
  // request without Origin does not come from a page.
  std::vector<std::string> allowed_origins = {};
  // Cookie with the token; empty: none. Browsers send cookies along by themselves, so such a
  // request needs an Origin.
  std::string token_cookie = {};
  // Whether the token may stand in the query, as `access_token`: it ends up in logs of proxies.
  bool takes_query_token = false;
};

// Checks a request for a WebSocket strictly: what is doubtful is refused, since what a proxy and a
// server read differently is how requests are smuggled. Beast's own `accept` takes two Hosts, an
// empty key or a second version. The token is looked for in Authorization, as the subprotocol
// `bearer.<token>`, in the query, in the cookie; it is not looked at. Thread: any (pure function).
std::variant<Upgrade, HttpRefusal> check_upgrade(const HttpRequest& request,
                                                 const UpgradeRules& rules);

// 401 with what is wrong with the token.
HttpRefusal unauthorized(std::string detail);

// The answer that makes the connection a WebSocket.
std::string upgrade_answer(const Upgrade& upgrade);

// Host of "host", "host:port" or "[v6]:port", when it is this machine: 127.0.0.0/8, ::1 or
// localhost.
bool is_loopback_authority(std::string_view authority);

}  // namespace tidegate
