#include "gateway/auth/token_verifier.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "gateway/auth/https_get.h"
#include "gateway/auth/jwt.h"
#include "gateway/auth/strict_json.h"

namespace tidegate {
namespace {

// A fetch takes a second or less as a rule, three at most.
constexpr std::uint32_t kKeysRetryAfter_ms = 1000;

Error refused(std::string message) {
  return {Code::kUnauthenticated, std::move(message)};
}

Error bad_config(const IssuerConfig& config, std::string_view what) {
  return {Code::kBadArgument, fmt::format("issuer \"{}\": {}", config.issuer, what)};
}

Error keys_are_coming() {
  return {Code::kUnavailable,
          "the keys of the token's issuer are being fetched: try again in a moment",
          {},
          kKeysRetryAfter_ms};
}

bool is_allowed(const IssuerConfig& config, Algorithm algorithm) {
  if (config.algorithms.empty()) return !is_symmetric(algorithm);
  return std::find(config.algorithms.begin(), config.algorithms.end(), algorithm) !=
         config.algorithms.end();
}

Status check_config(const IssuerConfig& config) {
  if (!is_printable(config.issuer, kIssuerBytesMax)) {
    return bad_config(config, fmt::format("its name must have 1 to {} bytes without control "
                                          "characters",
                                          kIssuerBytesMax));
  }
  if (config.audience.empty()) {
    return bad_config(config, "it needs an audience: whom its tokens must be made out to");
  }
  if (config.leeway_s < 0 || config.leeway_s > kLeewayMax_s) {
    return bad_config(
        config, fmt::format("a leeway of {} s is not in 0 to {} s", config.leeway_s, kLeewayMax_s));
  }
  if (config.max_lifetime_s <= 0 || config.max_lifetime_s > kLifetimeMax_s) {
    return bad_config(config, fmt::format("a lifetime of {} s is not in 1 to {} s",
                                          config.max_lifetime_s, kLifetimeMax_s));
  }
  if (is_url(config.keys) && is_allowed(config, Algorithm::kHs256)) {
    return bad_config(config, "HS256 needs a key file: an address would hand its secret out");
  }
  return {};
}

Result<std::unique_ptr<KeySource>> open_keys(const IssuerConfig& config, const Clock& clock) {
  Result<std::unique_ptr<KeySource>> source = open_key_source(
      {.keys = config.keys, .ca_file = config.ca_file, .allowed = config.algorithms}, clock);
  if (!source) {
    return Error{source.error().code,
                 fmt::format("issuer \"{}\": {}", config.issuer, source.error().message)};
  }
  return source;
}

Status check_signature(const Jwt& jwt, const IssuerConfig& config, KeySource& source) {
  const std::string_view name = algorithm_info(jwt.algorithm).name;
  if (!is_allowed(config, jwt.algorithm)) {
    return refused(fmt::format("the token's algorithm {} is not allowed for its issuer", name));
  }
  const std::shared_ptr<const KeySet> keys = source.keys();
  if (keys == nullptr) {
    source.on_unknown_key();
    return keys_are_coming();
  }
  const VerificationKey* const key = keys->find(jwt.kid, jwt.algorithm);
  if (key == nullptr && jwt.kid) {
    if (source.on_unknown_key()) return keys_are_coming();
    return refused("the token names a key (\"kid\") that its issuer does not have");
  }
  if (key == nullptr) {
    return refused(fmt::format(
        "the token names no key (\"kid\"), and its issuer has not exactly one for {}", name));
  }
  if (key->algorithm() != jwt.algorithm) {
    return refused(fmt::format("the token's algorithm {} is not that of its key, {}", name,
                               algorithm_info(key->algorithm()).name));
  }
  if (!key->verify(jwt.signed_bytes, jwt.signature)) {
    return refused("the token's signature does not fit");
  }
  return {};
}

Status check_claims(const JwtClaims& claims, const IssuerConfig& config, std::int64_t now_s) {
  const auto& audience = claims.audience;
  if (std::find(audience.begin(), audience.end(), config.audience) == audience.end()) {
    return refused(fmt::format("the token is not for the audience \"{}\"", config.audience));
  }
  // RFC 7519: not on or after `exp`, not before `nbf`.
  if (now_s - config.leeway_s >= claims.expires_s) {
    return refused(fmt::format("the token expired {} s ago", now_s - claims.expires_s));
  }
  if (claims.expires_s - now_s > config.max_lifetime_s + config.leeway_s) {
    return refused(fmt::format("the token is valid for another {} s: at most {} s are allowed",
                               claims.expires_s - now_s, config.max_lifetime_s));
  }
  if (claims.not_before_s && *claims.not_before_s > now_s + config.leeway_s) {
    return refused(
        fmt::format("the token is not valid before {} s from now", *claims.not_before_s - now_s));
  }
  if (claims.issued_at_s && *claims.issued_at_s > now_s + config.leeway_s) {
    return refused(fmt::format("the token was issued {} s in the future: check the clocks",
                               *claims.issued_at_s - now_s));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<TokenVerifier>> TokenVerifier::open(std::vector<IssuerConfig> issuers,
                                                           const Clock& clock) {
  StringMap<Issuer> opened;
  for (IssuerConfig& config : issuers) {
    if (Status good = check_config(config); !good) return good.error();
    if (opened.contains(config.issuer)) return bad_config(config, "it is configured twice");
    Result<std::unique_ptr<KeySource>> keys = open_keys(config, clock);
    if (!keys) return keys.error();
    const std::string name = config.issuer;
    opened.emplace(name, Issuer{std::move(config), *std::move(keys)});
  }
  return std::unique_ptr<TokenVerifier>(new TokenVerifier(std::move(opened)));
}

Result<VerifiedToken> TokenVerifier::verify(std::string_view token, std::int64_t now_s) const {
  const Result<Jwt> jwt = parse_jwt(token);
  if (!jwt) return jwt.error();
  const auto found = issuers_.find(jwt->issuer);
  if (found == issuers_.end()) return refused("the token's issuer is not one that is trusted here");
  const Issuer& issuer = found->second;
  if (Status good = check_signature(*jwt, issuer.config, *issuer.keys); !good) return good.error();
  Result<JwtClaims> claims = parse_claims(jwt->payload);
  if (!claims) return claims.error();
  if (Status good = check_claims(*claims, issuer.config, now_s); !good) return good.error();
  const bool is_by_leeway = claims->expires_s <= now_s;
  const std::int64_t ends_s = claims->expires_s + (is_by_leeway ? issuer.config.leeway_s : 0);
  return VerifiedToken{std::move(claims->issuer),
                       std::move(claims->subject),
                       std::move(claims->jti),
                       claims->issued_at_s.value_or(0),
                       ends_s,
                       std::move(claims->grants)};
}

Status TokenVerifier::reload() {
  Status first_error;
  for (const auto& [name, issuer] : issuers_) {
    const Status read = issuer.keys->reload();
    if (read || !first_error) continue;
    first_error =
        Error{read.error().code, fmt::format("issuer \"{}\": {}", name, read.error().message)};
  }
  return first_error;
}

bool TokenVerifier::wait_for_keys(std::chrono::milliseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  bool all = true;
  for (const auto& [name, issuer] : issuers_) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    all &= issuer.keys->wait_for_keys(std::max(left, std::chrono::milliseconds(0)));
  }
  return all;
}

std::vector<TokenVerifier::IssuerHealth> TokenVerifier::health() const {
  std::vector<IssuerHealth> healths;
  for (const auto& [name, issuer] : issuers_) healths.push_back({name, issuer.keys->health()});
  return healths;
}

}  // namespace tidegate
