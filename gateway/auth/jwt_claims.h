#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/base/result.h"
#include "eventstore/filter.h"

namespace tidegate {

inline constexpr std::size_t kSubjectBytesMax = 256;
inline constexpr std::size_t kJtiBytesMax = 128;
inline constexpr std::size_t kGrantPatternsMax = 64;

// What a token permits: the claim `tidegate`. Without that claim nothing is permitted.
// Thread: immutable.
struct Grants {
  std::vector<Pattern> subscribe;
  std::vector<Pattern> publish;
  bool is_admin = false;

  friend bool operator==(const Grants&, const Grants&) = default;
};

// The claims of a token that Tidegate looks at; others are ignored. Times are seconds since 1970
// and before the year 10000, so that sums of them do not overflow. Thread: immutable.
struct JwtClaims {
  std::string issuer;                        // iss
  std::string subject;                       // sub: 1-256 bytes without control characters
  std::vector<std::string> audience;         // aud: a string, or an array of strings
  std::int64_t expires_s = 0;                // exp, required
  std::optional<std::int64_t> not_before_s;  // nbf
  std::optional<std::int64_t> issued_at_s;   // iat
  std::string jti;                           // at most 128 bytes; empty: none
  Grants grants;

  friend bool operator==(const JwtClaims&, const JwtClaims&) = default;
};

// The payload of a token as JwtClaims. A claim of a wrong type is refused, also inside of
// `tidegate`, whose unknown members are ignored; a time must be a whole number, however it is
// written (1.7e9). The error is kUnauthenticated and names the claim.
Result<JwtClaims> parse_claims(std::string_view payload);

// The claims as the payload of a token. What is empty is left out.
std::string to_json(const JwtClaims& claims);

}  // namespace tidegate
