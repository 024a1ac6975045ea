#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "eventstore/base/result.h"
#include "gateway/auth/algorithm.h"
#include "gateway/auth/evp_key.h"

namespace tidegate {

// A key that signs tokens, for `tidegate token create`: the gateway itself never signs.
// Thread: immutable.
class SigningKey {
 public:
  // An unprotected private key. Without an algorithm the natural one is taken: RS256, ES256, ES384
  // or EdDSA. kBadArgument when they do not fit; the message names no key bytes.
  static Result<SigningKey> from_pem(std::string_view pem, std::optional<Algorithm> algorithm);
  // For HS256; kBadArgument when it is shorter than kSecretBytesMin.
  static Result<SigningKey> from_secret(std::string secret);

  Algorithm algorithm() const { return algorithm_; }

  // In the form of a token: raw bytes, ECDSA as r and s side by side.
  Result<std::string> sign(std::string_view bytes) const;

 private:
  SigningKey(Algorithm algorithm, EvpKey key, std::string secret)
      : algorithm_(algorithm), key_(std::move(key)), secret_(std::move(secret)) {}

  Algorithm algorithm_;
  EvpKey key_;  // null with a secret
  std::string secret_;
};

// A whole token with these claims (JSON). An empty `kid` is left out of the header.
Result<std::string> sign_jwt(const SigningKey& key, std::string_view kid, std::string_view claims);

}  // namespace tidegate
