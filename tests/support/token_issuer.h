#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/auth/jwt_claims.h"
#include "gateway/auth/signing_key.h"
#include "tests/support/temp_dir.h"

namespace tidegate::test {

// Signs tokens as an identity provider does, with a key that it made, and knows the flags that make
// a gateway trust it. Thread: caller serialises.
class TokenIssuer {
 public:
  explicit TokenIssuer(std::string name = "https://login.example");

  // Flags for tidegated.
  std::vector<std::string> flags() const;

  // Claims of a token of this issuer that is good for an hour.
  JwtClaims claims(std::string_view subject, const std::vector<std::string>& subscribe,
                   const std::vector<std::string>& publish = {}, bool is_admin = false) const;
  std::string sign(const JwtClaims& claims) const;
  std::string token(std::string_view subject, const std::vector<std::string>& subscribe,
                    const std::vector<std::string>& publish = {}, bool is_admin = false) const {
    return sign(claims(subject, subscribe, publish, is_admin));
  }
  // Where its public key stands, as a PEM file.
  std::string key_file() const { return files_.file("key.pem"); }

 private:
  const std::string name_;
  TempDir files_;
  SigningKey key_;
};

std::int64_t wall_now_s();

}  // namespace tidegate::test
