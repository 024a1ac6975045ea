#include "gateway/auth/jwt.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "gateway/auth/jwk.h"
#include "gateway/auth/strict_json.h"
#include "gateway/cloudevents/base64.h"

namespace tidegate {
namespace {

Error refused(std::string message) {
  return {Code::kUnauthenticated, std::move(message)};
}

// Where a key comes from is configured, never told by the token (`jku` and its like), and what is
// signed is exactly the two first parts (`b64`, `zip`, `crit`), which are no JWE (`enc`) and no
// token inside of a token (`cty`).
constexpr std::array<std::string_view, 11> kRefusedMembers = {
    "jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256", "crit", "zip", "b64", "enc", "cty"};

struct Parts {
  std::string_view header;
  std::string_view payload;
  std::string_view signature;
};

Result<Parts> split(std::string_view token) {
  if (token.size() > kTokenBytesMax) {
    return refused(fmt::format("the token has {} bytes: at most {} are allowed", token.size(),
                               kTokenBytesMax));
  }
  const auto dots = std::count(token.begin(), token.end(), '.');
  if (dots == 4) return refused("an encrypted token (JWE) is not supported: send a signed one");
  if (dots != 2) return refused("the token must have three parts joined by dots");
  const std::size_t first = token.find('.');
  const std::size_t second = token.rfind('.');
  return Parts{token.substr(0, first), token.substr(first + 1, second - first - 1),
               token.substr(second + 1)};
}

Result<std::string> decoded(std::string_view what, std::string_view part) {
  std::optional<std::string> bytes = decode_base64url(part);
  if (!bytes) {
    return refused(fmt::format("the token's {} must be base64url without padding", what));
  }
  return *std::move(bytes);
}

bool is_accepted_type(std::string type) {
  std::transform(type.begin(), type.end(), type.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return type == "jwt" || type == "at+jwt";
}

Status take_algorithm(const JsonValue& value, std::optional<Algorithm>& algorithm) {
  if (value.is(JsonKind::kString)) algorithm = algorithm_from_name(json_string(value));
  if (!algorithm) return refused("the token's algorithm is not supported");
  return {};
}

Status take_kid(const JsonValue& value, std::optional<std::string>& kid) {
  kid = printable_string(value, kKidBytesMax);
  if (kid) return {};
  return refused(fmt::format(
      "the token's \"kid\" must be a string of 1 to {} bytes without control characters",
      kKidBytesMax));
}

Status read_header(std::string_view text, Jwt& jwt) {
  const Result<JsonValue> header =
      parse_strict_object(text, "the token's header", Code::kUnauthenticated);
  if (!header) return header.error();
  std::optional<Algorithm> algorithm;
  for (JsonMembers members(*header); members.next();) {
    const std::string_view name = members.name();
    const JsonValue& value = members.value();
    if (std::find(kRefusedMembers.begin(), kRefusedMembers.end(), name) != kRefusedMembers.end()) {
      return refused(fmt::format("the token's header must not have \"{}\"", name));
    }
    Status good;
    if (name == "alg") good = take_algorithm(value, algorithm);
    if (name == "kid") good = take_kid(value, jwt.kid);
    if (name == "typ" && (!value.is(JsonKind::kString) || !is_accepted_type(json_string(value)))) {
      good = refused("the token's \"typ\" must be JWT or at+jwt");
    }
    if (!good) return good;
  }
  if (!algorithm) return refused("the token's header has no \"alg\"");
  jwt.algorithm = *algorithm;
  return {};
}

Status read_issuer(Jwt& jwt) {
  const Result<JsonValue> claims =
      parse_strict_object(jwt.payload, "the token's claims", Code::kUnauthenticated);
  if (!claims) return claims.error();
  for (JsonMembers members(*claims); members.next();) {
    if (members.name() != "iss") continue;
    std::optional<std::string> issuer = printable_string(members.value(), kIssuerBytesMax);
    if (!issuer) break;
    jwt.issuer = *std::move(issuer);
    return {};
  }
  return refused(
      fmt::format("the token needs the claim \"iss\": 1 to {} bytes without control characters",
                  kIssuerBytesMax));
}

}  // namespace

Result<Jwt> parse_jwt(std::string_view token) {
  const Result<Parts> parts = split(token);
  if (!parts) return parts.error();
  const Result<std::string> header = decoded("header", parts->header);
  if (!header) return header.error();
  Result<std::string> payload = decoded("payload", parts->payload);
  if (!payload) return payload.error();
  Result<std::string> signature = decoded("signature", parts->signature);
  if (!signature) return signature.error();
  Jwt jwt;
  jwt.payload = *std::move(payload);
  jwt.signature = *std::move(signature);
  jwt.signed_bytes = token.substr(0, parts->header.size() + 1 + parts->payload.size());
  if (Status good = read_header(*header, jwt); !good) return good.error();
  if (Status good = read_issuer(jwt); !good) return good.error();
  return jwt;
}

}  // namespace tidegate
