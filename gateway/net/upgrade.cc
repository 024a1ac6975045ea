#include "gateway/net/upgrade.h"

#include <algorithm>
#include <array>
#include <optional>

#include <openssl/evp.h>

#include "eventstore/base/check.h"
#include "eventstore/base/text.h"

namespace tidegate {
namespace {

using Refusal = std::optional<HttpRefusal>;

constexpr std::string_view kPath = "/v1/ws";
constexpr std::string_view kJson = "tidegate.v1.json";
constexpr std::string_view kProto = "tidegate.v1.proto";

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

bool is_port(std::string_view port) {
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

// Who asks, and whether the request is one at all.
Refusal check_request(const HttpRequest& request) {
  if (request.count("Host") != 1) return HttpRefusal{400, "exactly one Host is needed"};
  if (!request.target.starts_with('/')) return HttpRefusal{400, "the target must be a path"};
  if (request.count("Content-Length") + request.count("Transfer-Encoding") > 0) {
    return HttpRefusal{400, "the request must have no body"};
  }
  if (!is_loopback_authority(request.value("Host"))) {
    return HttpRefusal{
        403,
        "without authentication the Host must be this machine (localhost, 127.0.0.1 or [::1])"};
  }
  if (request.count("Origin") > 1) return HttpRefusal{403, "at most one Origin"};
  if (request.count("Origin") == 1 && !is_loopback_origin(request.value("Origin"))) {
    return HttpRefusal{403, "without authentication only pages of this machine may connect"};
  }
  return std::nullopt;
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
                       "Sec-WebSocket-Version: 13"};
  }
  if (request.count("Sec-WebSocket-Key") != 1 || !is_key(request.value("Sec-WebSocket-Key"))) {
    return HttpRefusal{400, "exactly one Sec-WebSocket-Key of 16 bytes in base64 is needed"};
  }
  return std::nullopt;
}

}  // namespace

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

std::variant<Upgrade, HttpRefusal> check_upgrade(const HttpRequest& request) {
  if (Refusal refusal = check_request(request)) return *std::move(refusal);
  if (Refusal refusal = check_websocket(request)) return *std::move(refusal);
  Upgrade upgrade;
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
