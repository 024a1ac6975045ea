#include "gateway/net/upgrade.h"

#include <algorithm>
#include <array>
#include <optional>

#include <openssl/evp.h>

#include "eventstore/base/check.h"
#include "eventstore/base/text.h"
#include "gateway/delivery/authority.h"

namespace tidegate {
namespace {

using Refusal = std::optional<HttpRefusal>;

constexpr std::string_view kPath = "/v1/ws";
constexpr std::string_view kJson = "tidegate.v1.json";
constexpr std::string_view kProto = "tidegate.v1.proto";
constexpr std::string_view kBearer = "bearer.";
constexpr std::string_view kQueryToken = "access_token";

bool is_base64_char(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
         c == '/';
}

// 16 bytes are 22 characters and two of padding; the last character has four bits that must be
// zero.
bool is_key(std::string_view key) {
  if (key.size() != 24 || !key.ends_with("==")) return false;
  const std::string_view text = key.substr(0, 22);
  return std::all_of(text.begin(), text.end(), is_base64_char) &&
         std::string_view("AQgw").find(text.back()) != std::string_view::npos;
}

// RFC 6455 section 4.2.2.
std::string accept_of(std::string_view key) {
  const std::string text = std::string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int bytes = 0;
  const int done = EVP_Digest(text.data(), text.size(), digest.data(), &bytes, EVP_sha1(), nullptr);
  TG_CHECK(done == 1);
  std::array<unsigned char, 64> base64;
  const int length = EVP_EncodeBlock(base64.data(), digest.data(), static_cast<int>(bytes));
  return {reinterpret_cast<const char*>(base64.data()), static_cast<std::size_t>(length)};
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Of a name or an IPv4 address in a URI (RFC 3986 section 3.2.2), percent signs included.
bool is_host_char(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || is_digit(c) ||
         std::string_view("-._~!$&'()*+,;=%").find(c) != std::string_view::npos;
}

// "host" or "host:port" in form, whichever host it is. The port may be empty.
bool is_authority(std::string_view text) {
  std::size_t host_bytes = 0;
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return false;
    host_bytes = close + 1;
  } else {
    while (host_bytes < text.size() && is_host_char(text[host_bytes])) ++host_bytes;
  }
  const std::string_view rest = text.substr(host_bytes);
  if (rest.empty()) return true;
  return rest.front() == ':' && std::all_of(rest.begin() + 1, rest.end(), is_digit);
}

// An empty one stands for the scheme's own.
bool is_port(std::string_view port) {
  if (port.empty()) return true;
  const auto number = parse_u64(port);
  return number && *number <= 65535;
}

bool is_loopback_v4(std::string_view host) {
  int parts = 0;
  bool first_is_127 = false;
  while (true) {
    const std::size_t dot = host.find('.');
    const auto number = parse_u64(host.substr(0, dot));
    if (!number || *number > 255) return false;
    if (parts == 0) first_is_127 = *number == 127;
    ++parts;
    if (dot == std::string_view::npos) break;
    host.remove_prefix(dot + 1);
  }
  return parts == 4 && first_is_127;
}

bool is_loopback_origin(std::string_view origin) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (origin.starts_with(scheme)) return is_loopback_authority(origin.substr(scheme.size()));
  }
  return false;
}

bool has_token(const HttpRequest& request, std::string_view name, std::string_view token) {
  const auto elements = request.list(name);
  return std::any_of(elements.begin(), elements.end(), [token](std::string_view element) {
    return equals_ignoring_case(element, token);
  });
}

Refusal check_origin(const HttpRequest& request, const UpgradeRules& rules) {
  if (request.count("Origin") == 0) return std::nullopt;
  if (request.count("Origin") > 1) return HttpRefusal{403, "at most one Origin"};
  const std::string_view origin = request.value("Origin");
  if (rules.is_local_only) {
    if (is_loopback_origin(origin)) return std::nullopt;
    return HttpRefusal{403, "without authentication only pages of this machine may connect"};
  }
  const auto& allowed = rules.allowed_origins;
  if (std::find(allowed.begin(), allowed.end(), origin) != allowed.end()) return std::nullopt;
  return HttpRefusal{403, "pages of this Origin may not connect: see http.allowed_origins"};
}

// Who asks, and whether the request is one at all.
Refusal check_request(const HttpRequest& request, const UpgradeRules& rules) {
  if (request.count("Host") != 1) return HttpRefusal{400, "exactly one Host is needed"};
  if (!is_authority(request.value("Host")))
    return HttpRefusal{400, "the Host must be a host, or a host and a port"};
  if (!request.target.starts_with('/')) return HttpRefusal{400, "the target must be a path"};
  if (request.count("Content-Length") + request.count("Transfer-Encoding") > 0) {
    return HttpRefusal{400, "the request must have no body"};
  }
  if (rules.is_local_only && !is_loopback_authority(request.value("Host"))) {
    return HttpRefusal{
        403,
        "without authentication the Host must be this machine (localhost, 127.0.0.1 or [::1])"};
  }
  return check_origin(request, rules);
}

Refusal check_websocket(const HttpRequest& request) {
  const std::string_view target = request.target;
  if (target.substr(0, target.find('?')) != kPath)
    return HttpRefusal{404, "there is only GET /v1/ws here"};
  if (request.method != "GET") return HttpRefusal{405, "a WebSocket begins with GET", "Allow: GET"};
  if (request.count("Upgrade") > 0 && !has_token(request, "Upgrade", "websocket"))
    return HttpRefusal{400, "the only protocol to upgrade to is websocket"};
  if (!has_token(request, "Upgrade", "websocket") || !has_token(request, "Connection", "upgrade")) {
    return HttpRefusal{426, "this is a WebSocket: send Upgrade: websocket and Connection: Upgrade",
                       "Upgrade: websocket"};
  }
  if (request.count("Sec-WebSocket-Version") != 1 ||
      request.value("Sec-WebSocket-Version") != "13") {
    return HttpRefusal{426, "exactly one Sec-WebSocket-Version, 13, is needed",
                       "Upgrade: websocket\r\nSec-WebSocket-Version: 13"};
  }
  if (request.count("Sec-WebSocket-Key") != 1 || !is_key(request.value("Sec-WebSocket-Key"))) {
    return HttpRefusal{400, "exactly one Sec-WebSocket-Key of 16 bytes in base64 is needed"};
  }
  return std::nullopt;
}

std::string_view query_value(std::string_view target, std::string_view name) {
  const std::size_t begin = target.find('?');
  if (begin == std::string_view::npos) return {};
  std::string_view rest = target.substr(begin + 1);
  while (!rest.empty()) {
    const std::size_t end = rest.find('&');
    const std::string_view pair = rest.substr(0, end);
    const std::size_t equals = pair.find('=');
    if (equals != std::string_view::npos && pair.substr(0, equals) == name)
      return pair.substr(equals + 1);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
  return {};
}

std::string_view cookie_value(const HttpRequest& request, std::string_view name) {
  std::string_view rest = request.value("Cookie");
  while (!rest.empty()) {
    const std::size_t end = rest.find(';');
    std::string_view pair = rest.substr(0, end);
    while (pair.starts_with(' ')) pair.remove_prefix(1);
    const std::size_t equals = pair.find('=');
    if (equals != std::string_view::npos && pair.substr(0, equals) == name)
      return pair.substr(equals + 1);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
  return {};
}

Refusal find_token(const HttpRequest& request, const UpgradeRules& rules, std::string& token) {
  if (rules.is_local_only) return std::nullopt;  // nobody would look at it
  if (request.count("Authorization") > 1) return HttpRefusal{400, "at most one Authorization"};
  if (request.count("Authorization") == 1) {
    const auto found = bearer_token(request.value("Authorization"));
    if (!found) return unauthorized("Authorization must be Bearer and a token");
    token = *found;
    return std::nullopt;
  }
  for (const std::string_view protocol : request.list("Sec-WebSocket-Protocol")) {
    if (!protocol.starts_with(kBearer)) continue;
    if (!token.empty()) return HttpRefusal{400, "at most one bearer subprotocol"};
    token = protocol.substr(kBearer.size());
  }
  if (!token.empty()) return std::nullopt;
  if (const std::string_view value = query_value(request.target, kQueryToken); !value.empty()) {
    if (!rules.takes_query_token)
      return unauthorized("a token in the query is not accepted: send it as Authorization");
    token = value;
    return std::nullopt;
  }
  if (rules.token_cookie.empty()) return std::nullopt;
  token = cookie_value(request, rules.token_cookie);
  if (!token.empty() && request.count("Origin") == 0)
    return HttpRefusal{403, "a token in a cookie needs an Origin"};
  return std::nullopt;
}

}  // namespace

HttpRefusal unauthorized(std::string detail) {
  return {401, std::move(detail), "WWW-Authenticate: Bearer"};
}

bool is_loopback_authority(std::string_view authority) {
  std::string_view host = authority;
  if (authority.starts_with('[')) {
    const std::size_t close = authority.find(']');
    if (close == std::string_view::npos || authority.substr(0, close + 1) != "[::1]") return false;
    const std::string_view rest = authority.substr(close + 1);
    return rest.empty() || (rest.starts_with(':') && is_port(rest.substr(1)));
  }
  if (const std::size_t colon = authority.find(':'); colon != std::string_view::npos) {
    if (!is_port(authority.substr(colon + 1))) return false;
    host = authority.substr(0, colon);
  }
  return equals_ignoring_case(host, "localhost") || is_loopback_v4(host);
}

std::variant<Upgrade, HttpRefusal> check_upgrade(const HttpRequest& request,
                                                 const UpgradeRules& rules) {
  if (Refusal refusal = check_request(request, rules)) return *std::move(refusal);
  if (Refusal refusal = check_websocket(request)) return *std::move(refusal);
  Upgrade upgrade;
  if (Refusal refusal = find_token(request, rules, upgrade.token)) return *std::move(refusal);
  upgrade.key = std::string(request.value("Sec-WebSocket-Key"));
  const auto offered = request.list("Sec-WebSocket-Protocol");
  // The client's order is its preference.
  for (const std::string_view protocol : offered) {
    if (protocol != kJson && protocol != kProto) continue;
    upgrade.form = protocol == kProto ? WireForm::kProto : WireForm::kJson;
    upgrade.protocol = std::string(protocol);
    return upgrade;
  }
  // A field without any element offers nothing that we could name either.
  if (!offered.empty() || request.count("Sec-WebSocket-Protocol") > 0) {
    return HttpRefusal{400,
                       "Sec-WebSocket-Protocol must offer tidegate.v1.json or tidegate.v1.proto"};
  }
  return upgrade;
}

std::string upgrade_answer(const Upgrade& upgrade) {
  std::string answer =
      "HTTP/1.1 101 Switching Protocols\r\nServer: tidegate\r\nUpgrade: websocket\r\n"
      "Connection: Upgrade\r\nSec-WebSocket-Accept: ";
  answer += accept_of(upgrade.key);
  if (!upgrade.protocol.empty()) answer += "\r\nSec-WebSocket-Protocol: " + upgrade.protocol;
  return answer += "\r\n\r\n";
}

}  // namespace tidegate
