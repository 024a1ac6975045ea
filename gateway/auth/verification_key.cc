#include "gateway/auth/verification_key.h"

#include <fmt/format.h>

#include "eventstore/base/check.h"
#include "gateway/auth/signature.h"

namespace tidegate {

Result<VerificationKey> VerificationKey::from_rsa(Algorithm algorithm, std::string_view modulus,
                                                  std::string_view exponent) {
  TG_CHECK(algorithm_info(algorithm).key_type == KeyType::kRsa);
  Result<EvpKey> key = rsa_public_key(modulus, exponent);
  if (!key) return key.error();
  return VerificationKey(algorithm, *std::move(key), "");
}

Result<VerificationKey> VerificationKey::from_ec(Algorithm algorithm, std::string_view x,
                                                 std::string_view y) {
  TG_CHECK(algorithm_info(algorithm).key_type == KeyType::kEc);
  Result<EvpKey> key = ec_public_key(algorithm, x, y);
  if (!key) return key.error();
  return VerificationKey(algorithm, *std::move(key), "");
}

Result<VerificationKey> VerificationKey::from_ed25519(std::string_view x) {
  Result<EvpKey> key = ed25519_public_key(x);
  if (!key) return key.error();
  return VerificationKey(Algorithm::kEdDsa, *std::move(key), "");
}

Result<VerificationKey> VerificationKey::from_secret(std::string secret) {
  if (secret.size() < kSecretBytesMin) {
    return Error{Code::kBadArgument, fmt::format("its secret has {} bytes: at least {} are needed",
                                                 secret.size(), kSecretBytesMin)};
  }
  return VerificationKey(Algorithm::kHs256, nullptr, std::move(secret));
}

Result<VerificationKey> VerificationKey::from_pem(std::string_view pem,
                                                  const std::vector<Algorithm>& allowed) {
  Result<EvpKey> key = public_key_from_pem(pem);
  if (!key) return key.error();
  const Result<Algorithm> algorithm = fitting_algorithm(*key, allowed);
  if (!algorithm) return algorithm.error();
  return VerificationKey(*algorithm, *std::move(key), "");
}

bool VerificationKey::verify(std::string_view signed_bytes, std::string_view signature) const {
  if (is_symmetric(algorithm_)) {
    return equal_in_constant_time(hmac_sha256(secret_, signed_bytes), signature);
  }
  return verify_signature(key_, algorithm_, signed_bytes, signature);
}

Result<Algorithm> fitting_algorithm(const EvpKey& key, const std::vector<Algorithm>& allowed) {
  const bool any = allowed.empty();
  std::string tried;
  for (Algorithm algorithm : any ? std::vector(kAlgorithms.begin(), kAlgorithms.end()) : allowed) {
    const Status fits = check_key_fits(key, algorithm);
    if (fits) return algorithm;
    tried += fmt::format("{}{}: {}", tried.empty() ? "" : "; ", algorithm_info(algorithm).name,
                         fits.error().message);
  }
  return Error{Code::kBadArgument, std::move(tried)};
}

}  // namespace tidegate
