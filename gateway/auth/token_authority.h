#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "eventstore/base/clock.h"
#include "gateway/auth/revocations.h"
#include "gateway/auth/token_verifier.h"
#include "gateway/delivery/authority.h"

namespace tidegate {

// The Authority of a gateway with authentication: tokens of the configured issuers, less those that
// were revoked. Thread: any (internally synchronised).
class TokenAuthority final : public Authority {
 public:
  // `clock` must outlive it.
  TokenAuthority(std::unique_ptr<TokenVerifier> verifier, std::unique_ptr<Revocations> revocations,
                 const Clock& clock)
      : verifier_(std::move(verifier)), revoked_(std::move(revocations)), clock_(clock) {}

  // Also kForbidden, for a token that was revoked.
  Result<PrincipalRef> authenticate(std::string_view token) const override;
  Result<PrincipalRef> anonymous() const override;
  Status revoke(const Revocation& revocation) override {
    return revoked_->add({revocation}, now_s());
  }
  bool is_revoked(const Principal& principal) const override;
  std::uint64_t revocations() const override { return revoked_->version(); }

  TokenVerifier& verifier() { return *verifier_; }

 private:
  std::int64_t now_s() const { return clock_.wall_us() / 1'000'000; }

  const std::unique_ptr<TokenVerifier> verifier_;
  const std::unique_ptr<Revocations> revoked_;
  const Clock& clock_;
};

}  // namespace tidegate
