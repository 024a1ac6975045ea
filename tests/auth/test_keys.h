#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "gateway/auth/algorithm.h"
#include "gateway/auth/signing_key.h"
#include "gateway/auth/verification_key.h"

namespace tidegate::test {

// A key of a test for one algorithm, with its public half in both forms. Made by OpenSSL at the
// first use and then kept, as an RSA key takes a second; the three of RS and the three of PS share
// theirs. For HS256 both PEM texts are empty. Thread: caller serialises.
struct TestKey {
  Algorithm algorithm;
  std::string private_pem;
  std::string public_pem;
  std::string certificate_pem;
  std::string jwk_members;  // "kty":... and the numbers, without alg and kid

  SigningKey signing() const;
  VerificationKey verification() const;
  // A whole JWK.
  std::string jwk(std::string_view kid) const;
};

// `number` tells keys of one algorithm apart.
const TestKey& test_key(Algorithm algorithm, int number = 0);

// {"keys":[...]} of these JWKs.
std::string jwks(const std::vector<std::string>& keys);

std::string base64url(std::string_view bytes);

// A PEM certificate for 127.0.0.1 that signs itself, which a client can take for its CA.
std::string loopback_certificate(const TestKey& key);

// PEM of an RSA key of so many bits, private and public.
struct RsaPem {
  std::string private_pem;
  std::string public_pem;
  std::string jwk_members;
};
RsaPem rsa_pem(int bits);

}  // namespace tidegate::test
