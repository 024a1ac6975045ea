#include "gateway/auth/signing_key.h"

#include <vector>

#include <fmt/format.h>

#include "eventstore/base/text.h"
#include "gateway/auth/signature.h"
#include "gateway/auth/verification_key.h"
#include "gateway/cloudevents/base64.h"

namespace tidegate {

Result<SigningKey> SigningKey::from_pem(std::string_view pem, std::optional<Algorithm> algorithm) {
  Result<EvpKey> key = private_key_from_pem(pem);
  if (!key) return key.error();
  std::vector<Algorithm> allowed;
  if (algorithm) allowed.push_back(*algorithm);
  const Result<Algorithm> fitting = fitting_algorithm(*key, allowed);
  if (!fitting) return fitting.error();
  return SigningKey(*fitting, *std::move(key), "");
}

Result<SigningKey> SigningKey::from_secret(std::string secret) {
  // Whoever verifies with it asks the same of it.
  const Result<VerificationKey> good = VerificationKey::from_secret(secret);
  if (!good) return good.error();
  return SigningKey(Algorithm::kHs256, nullptr, std::move(secret));
}

Result<std::string> SigningKey::sign(std::string_view bytes) const {
  if (is_symmetric(algorithm_)) return hmac_sha256(secret_, bytes);
  return make_signature(key_, algorithm_, bytes);
}

Result<std::string> sign_jwt(const SigningKey& key, std::string_view kid, std::string_view claims) {
  std::string header =
      fmt::format(R"({{"alg":"{}","typ":"JWT")", algorithm_info(key.algorithm()).name);
  if (!kid.empty()) {
    header += R"(,"kid":)";
    append_json_string(header, kid);
  }
  header += '}';
  std::string token;
  append_base64url(token, header);
  token += '.';
  append_base64url(token, claims);
  const Result<std::string> signature = key.sign(token);
  if (!signature) return signature.error();
  token += '.';
  append_base64url(token, *signature);
  return token;
}

}  // namespace tidegate
