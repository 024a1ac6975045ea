#pragma once

#include <memory>
#include <string_view>

#include "eventstore/base/result.h"
#include "gateway/auth/algorithm.h"

struct evp_pkey_st;

namespace tidegate {

struct EvpKeyDeleter {
  void operator()(evp_pkey_st* key) const;
};

// A key of OpenSSL. Inside of gateway/auth only: the others see VerificationKey and SigningKey.
// Thread: immutable once made; one key may be used by many threads.
using EvpKey = std::unique_ptr<evp_pkey_st, EvpKeyDeleter>;

// Empties OpenSSL's list of errors of this thread at both ends of a block: what a failed
// verification leaves there would be taken for an error of the next TLS connection.
// Thread: caller serialises.
class OpensslErrors {
 public:
  OpensslErrors();
  ~OpensslErrors();
  OpensslErrors(const OpensslErrors&) = delete;
  OpensslErrors& operator=(const OpensslErrors&) = delete;
};

// The numbers are big-endian bytes. All errors of this file are kBadArgument and name no key bytes.
Result<EvpKey> rsa_public_key(std::string_view modulus, std::string_view exponent);
// `curve`: an algorithm on it. The point must be on the curve, each coordinate of full length.
Result<EvpKey> ec_public_key(Algorithm curve, std::string_view x, std::string_view y);
Result<EvpKey> ed25519_public_key(std::string_view x);

bool is_pem(std::string_view text);
// Exactly one block: a public key or a certificate, of which only the key is looked at. A private
// key is refused.
Result<EvpKey> public_key_from_pem(std::string_view pem);
// Exactly one block, without a passphrase.
Result<EvpKey> private_key_from_pem(std::string_view pem);

// Whether the key is of the kind that the algorithm needs, and strong enough: RSA with 2,048 to
// 8,192 bits and an odd exponent of 3 to 64 bits.
Status check_key_fits(const EvpKey& key, Algorithm algorithm);

}  // namespace tidegate
