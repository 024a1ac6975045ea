#pragma once

#include <string>

#include "gateway/auth/jwt_claims.h"

namespace tidegate {

inline constexpr std::size_t kCertificateNameBytesMax = 256;

// What whoever shows a certificate with this name may do, without a token. Thread: immutable.
struct CertificateRole {
  std::string name;  // exactly one of its subjectAltNames, such as spiffe://prod/orders
  Grants grants;

  friend bool operator==(const CertificateRole&, const CertificateRole&) = default;
};

}  // namespace tidegate
