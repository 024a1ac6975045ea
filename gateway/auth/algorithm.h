#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace tidegate {

// How tokens are signed: the algorithms of RFC 7518 and RFC 8037 that a key may have. `none` is not
// among them, in no spelling, so a token that names it has no algorithm. When you add one, add its
// row in algorithm.cc at the same place. Thread: immutable (values and pure functions).
enum class Algorithm : std::uint8_t {
  kRs256,
  kRs384,
  kRs512,
  kPs256,
  kPs384,
  kPs512,
  kEs256,
  kEs384,
  kEdDsa,  // with Ed25519
  kHs256,
};

enum class KeyType : std::uint8_t { kRsa, kEc, kEd25519, kSecret };

struct AlgorithmInfo {
  std::string_view name;  // as `alg` spells it; case matters
  KeyType key_type;
  const char* digest;            // OpenSSL's name; null: the algorithm brings its own
  bool is_pss;                   // RSA only
  const char* curve;             // OpenSSL's name; EC only
  std::string_view jwk_curve;    // `crv` of a JWK; EC and Ed25519
  std::size_t coordinate_bytes;  // EC only
};

const AlgorithmInfo& algorithm_info(Algorithm algorithm);

// Every algorithm, the natural one of each kind of key before the others.
inline constexpr std::array kAlgorithms = {
    Algorithm::kRs256, Algorithm::kRs384, Algorithm::kRs512, Algorithm::kPs256, Algorithm::kPs384,
    Algorithm::kPs512, Algorithm::kEs256, Algorithm::kEs384, Algorithm::kEdDsa, Algorithm::kHs256,
};

std::optional<Algorithm> algorithm_from_name(std::string_view name);

// Whoever can verify can also sign.
bool is_symmetric(Algorithm algorithm);

}  // namespace tidegate
