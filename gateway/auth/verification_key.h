#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "eventstore/base/result.h"
#include "gateway/auth/algorithm.h"
#include "gateway/auth/evp_key.h"

namespace tidegate {

// RFC 7518 section 3.2: an HS256 secret is at least as long as the digest.
inline constexpr std::size_t kSecretBytesMin = 32;

// One key that verifies the signatures of one algorithm, so that a public key is never taken for a
// secret. The factories fail with kBadArgument, whose message names no key bytes.
// Thread: immutable.
class VerificationKey {
 public:
  // Numbers are big-endian bytes.
  static Result<VerificationKey> from_rsa(Algorithm algorithm, std::string_view modulus,
                                          std::string_view exponent);
  static Result<VerificationKey> from_ec(Algorithm algorithm, std::string_view x,
                                         std::string_view y);
  static Result<VerificationKey> from_ed25519(std::string_view x);
  // For HS256.
  static Result<VerificationKey> from_secret(std::string secret);
  // A public key or a certificate. The algorithm is the first of `allowed` that the key fits, or,
  // when that is empty, the natural one: RS256, ES256, ES384 or EdDSA.
  static Result<VerificationKey> from_pem(std::string_view pem,
                                          const std::vector<Algorithm>& allowed);

  Algorithm algorithm() const { return algorithm_; }

  // Whether `signature`, in the form of a token, is one of `signed_bytes` with this key.
  bool verify(std::string_view signed_bytes, std::string_view signature) const;

  // Of an HS256 key, else empty. Lives as long as the key.
  std::string_view secret() const { return secret_; }

 private:
  VerificationKey(Algorithm algorithm, EvpKey key, std::string secret)
      : algorithm_(algorithm), key_(std::move(key)), secret_(std::move(secret)) {}

  Algorithm algorithm_;
  EvpKey key_;  // null with a secret
  std::string secret_;
};

// The first of `allowed` that the key fits (every algorithm when it is empty), or the error of a
// key that fits none.
Result<Algorithm> fitting_algorithm(const EvpKey& key, const std::vector<Algorithm>& allowed);

}  // namespace tidegate
