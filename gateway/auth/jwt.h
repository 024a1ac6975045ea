#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "eventstore/base/result.h"
#include "gateway/auth/algorithm.h"

namespace tidegate {

inline constexpr std::size_t kTokenBytesMax = 8 * 1024;
inline constexpr std::size_t kIssuerBytesMax = 256;

// A JSON Web Token (RFC 7519) in its only accepted form, a compact JWS, taken apart but not yet
// believed: it holds what is needed to look for the key. `parse_claims` reads the rest of the
// payload when the signature has been verified. Thread: immutable.
struct Jwt {
  Algorithm algorithm = Algorithm::kRs256;
  std::optional<std::string> kid;
  std::string issuer;
  std::string payload;            // JSON without repeated names, at most 8 levels deep
  std::string signature;          // raw bytes
  std::string_view signed_bytes;  // header and payload as written, inside of the token's text
};

// Strict: at most 8 KiB, three parts in base64url without padding, header and payload are JSON
// objects. Refused are an algorithm that is not supported, a `typ` other than JWT and at+jwt, and
// header members that would name or carry a key, or change what is signed. The error is
// kUnauthenticated and repeats nothing of the token.
Result<Jwt> parse_jwt(std::string_view token);

}  // namespace tidegate
