#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "eventstore/base/clock.h"
#include "gateway/auth/certificate_role.h"
#include "gateway/auth/revocations.h"
#include "gateway/auth/token_verifier.h"
#include "gateway/delivery/authority.h"

namespace tidegate {

// The Authority of a gateway with authentication: tokens of the configured issuers, less those that
// were revoked. Thread: any (internally synchronised).
class TokenAuthority final : public Authority {
 public:
  // `audit` and `clock` must outlive it.
  TokenAuthority(std::unique_ptr<TokenVerifier> verifier, std::unique_ptr<Revocations> revocations,
                 std::vector<CertificateRole> roles, const BudgetRates& rates, Audit& audit,
                 const Clock& clock)
      : verifier_(std::move(verifier)),
        revoked_(std::move(revocations)),
        roles_(std::move(roles)),
        budgets_(rates, clock),
        audit_(audit),
        clock_(clock) {}

  // Also kForbidden, for a token that was revoked.
  Result<PrincipalRef> authenticate(std::string_view token) const override;
  Result<PrincipalRef> anonymous() const override;
  // Of several names with a role the one that is configured first counts. Also kForbidden, for a
  // name that was revoked as a subject.
  Result<PrincipalRef> by_certificate(const std::vector<std::string_view>& names) const override;
  Status revoke(const Revocation& revocation) override {
    return revoked_->add({revocation}, now_s());
  }
  bool is_revoked(const Principal& principal) const override;
  std::uint64_t revocations() const override { return revoked_->version(); }
  Audit& audit() const override { return audit_; }

  TokenVerifier& verifier() { return *verifier_; }

 private:
  // The principal with its budget, unless it was revoked.
  Result<PrincipalRef> admit(Principal principal, std::string_view what) const;
  std::int64_t now_s() const { return clock_.wall_us() / 1'000'000; }

  const std::unique_ptr<TokenVerifier> verifier_;
  const std::unique_ptr<Revocations> revoked_;
  const std::vector<CertificateRole> roles_;
  mutable Budgets budgets_;
  Audit& audit_;
  const Clock& clock_;
};

}  // namespace tidegate
