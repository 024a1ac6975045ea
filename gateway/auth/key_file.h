#pragma once

#include <optional>
#include <string>
#include <vector>

#include "eventstore/base/result.h"
#include "gateway/auth/key_set.h"
#include "gateway/auth/signing_key.h"

namespace tidegate {

// Files of keys. What a file is, its first character decides: '{' begins a JSON Web Key Set,
// "-----BEGIN" a PEM text; anything else is refused. A secret for HS256 stands in a key set as a
// key of the kind `oct`, never as bare bytes, so that a public key cannot be mistaken for a secret.
// A file that holds a secret must be readable by its owner only (mode 0600 or 0400). Thread: any
// (pure functions but for the file).

// The keys that verify tokens. `allowed` decides the algorithm of a PEM key. kNotFound, kInternal
// when the file cannot be read, else kBadArgument; the message names the file.
Result<KeySet> load_key_set(const std::string& path, const std::vector<Algorithm>& allowed);

struct NamedSigningKey {
  SigningKey key;
  std::string kid;  // empty: none
};

// A private key (PEM), which `kid` names, or a secret of a key set: that with this `kid`, or the
// only one. Without an algorithm the natural one is taken. Errors as above.
Result<NamedSigningKey> load_signing_key(const std::string& path,
                                         std::optional<Algorithm> algorithm,
                                         const std::string& kid);

}  // namespace tidegate
