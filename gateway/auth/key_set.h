#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/base/result.h"
#include "eventstore/base/string_map.h"
#include "gateway/auth/verification_key.h"

namespace tidegate {

inline constexpr std::size_t kKeyDocumentBytesMax = 64 * 1024;

// The keys of one issuer. Thread: immutable.
class KeySet {
 public:
  // A JSON Web Key Set (RFC 7517) of at most 64 KiB. Keys of another purpose or of a kind that is
  // not supported are passed over. kBadArgument with what is wrong: broken JSON, a repeated name, a
  // repeated `kid`, a private, weak or malformed key, or no usable key at all.
  static Result<KeySet> from_jwks(std::string_view json);

  // One public key or certificate; see VerificationKey::from_pem for its algorithm. A PEM text
  // names no `kid`, so the key is found with whatever `kid` a token has.
  static Result<KeySet> from_pem(std::string_view pem, const std::vector<Algorithm>& allowed);

  // The key that a token with this `kid` must be verified with; the caller then compares its
  // algorithm with the token's. Without a `kid` it is the only key of that algorithm. Null when
  // there is none. Lives as long as the set.
  const VerificationKey* find(const std::optional<std::string>& kid, Algorithm algorithm) const;

  std::size_t size() const { return keys_.size(); }
  // Whether one of the keys is a secret.
  bool has_secrets() const;

 private:
  KeySet() = default;

  std::vector<VerificationKey> keys_;
  StringMap<std::size_t> by_kid_;  // indices of keys_
  bool is_nameless_ = false;       // made of PEM
};

}  // namespace tidegate
