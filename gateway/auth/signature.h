#pragma once

#include <string>
#include <string_view>

#include "eventstore/base/result.h"
#include "gateway/auth/algorithm.h"
#include "gateway/auth/evp_key.h"

namespace tidegate {

// Signatures as tokens carry them (RFC 7518 section 3, RFC 8037). The key must fit the algorithm.
// Inside of gateway/auth only. Thread: any (pure functions).

// False for anything but the one form: an ECDSA signature is r and s, each of the length of the
// curve's order and from 1 to the order minus 1, not DER; an RSA one has the modulus' length.
bool verify_signature(const EvpKey& key, Algorithm algorithm, std::string_view signed_bytes,
                      std::string_view signature);

// kInternal when OpenSSL cannot sign with this key.
Result<std::string> make_signature(const EvpKey& private_key, Algorithm algorithm,
                                   std::string_view bytes);

std::string hmac_sha256(std::string_view secret, std::string_view bytes);

// Takes a time that depends on the lengths only.
bool equal_in_constant_time(std::string_view a, std::string_view b);

}  // namespace tidegate
