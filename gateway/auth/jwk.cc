#include "gateway/auth/jwk.h"

#include <array>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "gateway/auth/strict_json.h"
#include "gateway/cloudevents/base64.h"

namespace tidegate {
namespace {

Error bad_jwk(std::string message) {
  return {Code::kBadArgument, std::move(message)};
}

// The members that matter; those that are strings in every JWK are read at once.
struct Members {
  std::optional<std::string> kty, use, alg, kid, crv, n, e, x, y, k;
  std::optional<JsonValue> key_ops;
  bool is_private = false;  // has the secret half of a key pair
};

std::optional<std::string>* text_member(Members& members, std::string_view name) {
  const std::array<std::pair<std::string_view, std::optional<std::string>*>, 10> texts = {{
      {"kty", &members.kty},
      {"use", &members.use},
      {"alg", &members.alg},
      {"kid", &members.kid},
      {"crv", &members.crv},
      {"n", &members.n},
      {"e", &members.e},
      {"x", &members.x},
      {"y", &members.y},
      {"k", &members.k},
  }};
  for (const auto& [known, member] : texts) {
    if (known == name) return member;
  }
  return nullptr;
}

Result<Members> read_members(const JsonValue& object) {
  Members members;
  for (JsonMembers walk(object); walk.next();) {
    const std::string_view name = walk.name();
    if (name == "key_ops") members.key_ops = walk.value();
    if (name == "d" || name == "p" || name == "q") members.is_private = true;
    std::optional<std::string>* const text = text_member(members, name);
    if (text == nullptr) continue;
    if (!walk.value().is(JsonKind::kString)) {
      return bad_jwk(fmt::format("\"{}\" must be a string", name));
    }
    *text = json_string(walk.value());
  }
  if (!members.kty) return bad_jwk("\"kty\" is missing");
  if (members.kid && !is_printable(*members.kid, kKidBytesMax)) {
    return bad_jwk(
        fmt::format("\"kid\" must have 1 to {} bytes without control characters", kKidBytesMax));
  }
  return members;
}

Result<bool> may_verify(const Members& members) {
  if (members.use && *members.use != "sig") return false;
  if (!members.key_ops) return true;
  if (!members.key_ops->is(JsonKind::kArray)) return bad_jwk("\"key_ops\" must be an array");
  bool verifies = false;
  for (JsonElements ops(*members.key_ops); ops.next();) {
    if (!ops.value().is(JsonKind::kString)) return bad_jwk("\"key_ops\" must hold strings");
    verifies |= json_string(ops.value()) == "verify";
  }
  return verifies;
}

std::optional<KeyType> key_type_of(std::string_view kty) {
  if (kty == "RSA") return KeyType::kRsa;
  if (kty == "EC") return KeyType::kEc;
  if (kty == "OKP") return KeyType::kEd25519;
  if (kty == "oct") return KeyType::kSecret;
  return std::nullopt;
}

// Whether an algorithm is for the type and curve of the key.
bool fits(Algorithm algorithm, KeyType type, const Members& members) {
  const AlgorithmInfo& info = algorithm_info(algorithm);
  return info.key_type == type && (info.jwk_curve.empty() || info.jwk_curve == members.crv);
}

// Nothing when it is not supported.
Result<std::optional<Algorithm>> algorithm_of(const Members& members) {
  using None = std::optional<Algorithm>;
  const std::optional<KeyType> type = key_type_of(*members.kty);
  if (!type) return None();
  std::optional<Algorithm> natural;
  for (Algorithm candidate : kAlgorithms) {
    if (!natural && fits(candidate, *type, members)) natural = candidate;
  }
  if (!natural || !members.alg) return natural;
  const std::optional<Algorithm> named = algorithm_from_name(*members.alg);
  if (!named) return None();
  if (!fits(*named, *type, members)) {
    return bad_jwk(
        fmt::format("\"alg\" is {}, for which this is no key", algorithm_info(*named).name));
  }
  return named;
}

Result<std::string> decoded(std::string_view name, const std::optional<std::string>& text) {
  if (!text) return bad_jwk(fmt::format("\"{}\" is missing", name));
  std::optional<std::string> bytes = decode_base64url(*text);
  if (!bytes) return bad_jwk(fmt::format("\"{}\" must be base64url without padding", name));
  return *std::move(bytes);
}

Result<VerificationKey> make_key(Algorithm algorithm, const Members& members) {
  const KeyType type = algorithm_info(algorithm).key_type;
  if (type == KeyType::kSecret) {
    Result<std::string> secret = decoded("k", members.k);
    if (!secret) return secret.error();
    return VerificationKey::from_secret(*std::move(secret));
  }
  if (type == KeyType::kEd25519) {
    const Result<std::string> x = decoded("x", members.x);
    if (!x) return x.error();
    return VerificationKey::from_ed25519(*x);
  }
  const bool is_rsa = type == KeyType::kRsa;
  const Result<std::string> first = is_rsa ? decoded("n", members.n) : decoded("x", members.x);
  if (!first) return first.error();
  const Result<std::string> second = is_rsa ? decoded("e", members.e) : decoded("y", members.y);
  if (!second) return second.error();
  return is_rsa ? VerificationKey::from_rsa(algorithm, *first, *second)
                : VerificationKey::from_ec(algorithm, *first, *second);
}

}  // namespace

Result<std::optional<Jwk>> parse_jwk(const JsonValue& object) {
  using None = std::optional<Jwk>;
  Result<Members> members = read_members(object);
  if (!members) return members.error();
  if (members->is_private && members->kty != "oct") {
    return bad_jwk("it is a private key (it has \"d\"): give only its public members");
  }
  const Result<bool> verifies = may_verify(*members);
  if (!verifies) return verifies.error();
  if (!*verifies) return None();
  const Result<std::optional<Algorithm>> algorithm = algorithm_of(*members);
  if (!algorithm) return algorithm.error();
  if (!*algorithm) return None();
  Result<VerificationKey> key = make_key(**algorithm, *members);
  if (!key) return key.error();
  return std::optional<Jwk>(Jwk{std::move(members->kid), *std::move(key)});
}

}  // namespace tidegate
