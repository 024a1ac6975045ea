#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "eventstore/base/result.h"
#include "gateway/auth/verification_key.h"
#include "gateway/cloudevents/json_text.h"

namespace tidegate {

inline constexpr std::size_t kKidBytesMax = 128;

// One JSON Web Key (RFC 7517) that verifies tokens. Inside of gateway/auth only.
// Thread: immutable.
struct Jwk {
  std::optional<std::string> kid;
  VerificationKey key;
};

// Nothing for a key of another purpose (`use`, `key_ops`) or of a kind, curve or algorithm that is
// not supported: a document may have such keys. Without `alg` it gets the natural one: RS256,
// ES256, ES384, EdDSA or HS256. kBadArgument for a supported key that is weak, malformed or
// private. `object` is a checked object without repeated names.
Result<std::optional<Jwk>> parse_jwk(const JsonValue& object);

}  // namespace tidegate
