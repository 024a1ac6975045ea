#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/base/clock.h"
#include "eventstore/base/result.h"
#include "eventstore/base/string_map.h"
#include "gateway/auth/jwt_claims.h"
#include "gateway/auth/key_source.h"

namespace tidegate {

inline constexpr std::int64_t kLeewayMax_s = 60;
inline constexpr std::int64_t kLifetimeMax_s = std::int64_t{366} * 24 * 3600;

// Who is trusted to say who somebody is.
struct IssuerConfig {
  std::string issuer;        // exactly the claim `iss`
  std::string audience;      // one of the claim `aud`
  std::string keys;          // path of a file (key_file.h), or an https:// address
  std::string ca_file = {};  // of the address; empty: what the system trusts
  // Empty: every asymmetric one. HS256 has to be listed, and its secret to be in a file.
  std::vector<Algorithm> algorithms = {};
  std::int64_t leeway_s = 30;               // 0-60: how far the clocks may differ
  std::int64_t max_lifetime_s = 24 * 3600;  // `exp` is at most so far ahead, plus the leeway

  friend bool operator==(const IssuerConfig&, const IssuerConfig&) = default;
};

// A token that can be believed. Thread: immutable.
struct VerifiedToken {
  std::string issuer;
  std::string subject;
  std::string jti;               // empty: none
  std::int64_t issued_at_s = 0;  // 0: not said, so older than anything
  // The claim `exp`; for a token that is good only by the leeway, that much later, so that nobody
  // is let in to be sent away at once.
  std::int64_t expires_s = 0;
  Grants grants;
};

// Decides whether a token is what it says. Each issuer has its own keys, found by its exact name,
// so that two issuers with one `kid` are never mixed. Nothing but the form, the issuer, the
// algorithm and the key's name is looked at before the signature has been verified.
// Thread: any (internally synchronised).
class TokenVerifier {
 public:
  // Opens the keys of every issuer: files must be good now, addresses need not answer yet.
  // kBadArgument, kNotFound or kInternal, with the issuer's name. `clock` must outlive the
  // verifier.
  static Result<std::unique_ptr<TokenVerifier>> open(std::vector<IssuerConfig> issuers,
                                                     const Clock& clock);

  // `now_s`: wall time, seconds since 1970. kUnauthenticated with a reason that repeats neither the
  // token nor its signature; kUnavailable with a retry delay while the keys that could decide are
  // being fetched. It takes no lock for longer than a pointer is copied, and does no I/O.
  Result<VerifiedToken> verify(std::string_view token, std::int64_t now_s) const;

  // Reads every key file again; see KeySource::reload. All are tried; the first error is returned.
  Status reload();

  // Waits for the first attempt to fetch the keys of each address, `time` at most in all.
  bool wait_for_keys(std::chrono::milliseconds time);

  struct IssuerHealth {
    std::string issuer;
    KeySource::Health keys;
  };
  std::vector<IssuerHealth> health() const;

 private:
  struct Issuer {
    IssuerConfig config;
    std::unique_ptr<KeySource> keys;
  };

  explicit TokenVerifier(StringMap<Issuer> issuers) : issuers_(std::move(issuers)) {}

  const StringMap<Issuer> issuers_;  // by the claim `iss`; constant, the sources change inside
};

}  // namespace tidegate
