#include "gateway/auth/algorithm.h"

#include "eventstore/base/check.h"

namespace tidegate {
namespace {

// In the order of enum Algorithm.
constexpr std::array<AlgorithmInfo, kAlgorithms.size()> kInfos = {{
    {"RS256", KeyType::kRsa, "SHA256", false, nullptr, "", 0},
    {"RS384", KeyType::kRsa, "SHA384", false, nullptr, "", 0},
    {"RS512", KeyType::kRsa, "SHA512", false, nullptr, "", 0},
    {"PS256", KeyType::kRsa, "SHA256", true, nullptr, "", 0},
    {"PS384", KeyType::kRsa, "SHA384", true, nullptr, "", 0},
    {"PS512", KeyType::kRsa, "SHA512", true, nullptr, "", 0},
    {"ES256", KeyType::kEc, "SHA256", false, "prime256v1", "P-256", 32},
    {"ES384", KeyType::kEc, "SHA384", false, "secp384r1", "P-384", 48},
    {"EdDSA", KeyType::kEd25519, nullptr, false, nullptr, "Ed25519", 0},
    {"HS256", KeyType::kSecret, "SHA256", false, nullptr, "", 0},
}};
static_assert(kInfos.size() == static_cast<std::size_t>(Algorithm::kHs256) + 1);

}  // namespace

const AlgorithmInfo& algorithm_info(Algorithm algorithm) {
  const auto index = static_cast<std::size_t>(algorithm);
  TG_CHECK(index < kInfos.size(), index);
  return kInfos[index];
}

std::optional<Algorithm> algorithm_from_name(std::string_view name) {
  for (Algorithm algorithm : kAlgorithms) {
    if (algorithm_info(algorithm).name == name) return algorithm;
  }
  return std::nullopt;
}

bool is_symmetric(Algorithm algorithm) {
  return algorithm_info(algorithm).key_type == KeyType::kSecret;
}

}  // namespace tidegate
