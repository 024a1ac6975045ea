#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/auth/jwt_claims.h"
#include "tests/auth/test_keys.h"

namespace tidegate::test {

inline constexpr std::int64_t kNow_s = 1'700'000'000;
inline constexpr std::string_view kIssuer = "https://login.example";
inline constexpr std::string_view kAudience = "tidegate";

// Claims that are accepted at kNow_s.
inline JwtClaims good_claims() {
  JwtClaims claims;
  claims.issuer = kIssuer;
  claims.subject = "ann";
  claims.audience = {std::string(kAudience)};
  claims.expires_s = kNow_s + 3600;
  claims.not_before_s = kNow_s - 10;
  claims.issued_at_s = kNow_s - 10;
  claims.jti = "t-1";
  claims.grants.subscribe = {*Pattern::parse("orders.>"), *Pattern::parse("news.*")};
  claims.grants.publish = {*Pattern::parse("orders.eu")};
  return claims;
}

// The same, with the members of `extra` (JSON, each with a comma before it) added.
inline std::string with_members(const JwtClaims& claims, std::string_view extra) {
  std::string json = to_json(claims);
  json.insert(json.size() - 1, extra);
  return json;
}

// Any header and payload, signed as they are.
inline std::string raw_token(const SigningKey& key, std::string_view header,
                             std::string_view payload) {
  const std::string bytes = base64url(header) + "." + base64url(payload);
  return bytes + "." + base64url(*key.sign(bytes));
}

inline std::string token(const TestKey& key, std::string_view kid, const JwtClaims& claims) {
  return *sign_jwt(key.signing(), kid, to_json(claims));
}

}  // namespace tidegate::test
