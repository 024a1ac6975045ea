#include "gateway/auth/token_authority.h"

#include <algorithm>
#include <string>

#include <fmt/format.h>

namespace tidegate {
namespace {

Principal principal_of(VerifiedToken token) {
  Principal principal;
  // An issuer is a name without spaces, so that the two cannot be cut in another place.
  principal.owner = token.issuer + " " + token.subject;
  principal.subject = std::move(token.subject);
  principal.token_id = std::move(token.jti);
  principal.issued_at_s = token.issued_at_s;
  principal.expires_s = token.expires_s;
  principal.subscribe = std::move(token.grants.subscribe);
  principal.publish = std::move(token.grants.publish);
  principal.is_admin = token.grants.is_admin;
  return principal;
}

Principal principal_of(const CertificateRole& role) {
  Principal principal;
  // Two spaces, which no issuer has, so that no token owns the same.
  principal.owner = "  " + role.name;
  principal.subject = role.name;
  principal.subscribe = role.grants.subscribe;
  principal.publish = role.grants.publish;
  principal.is_admin = role.grants.is_admin;
  return principal;
}

}  // namespace

Result<PrincipalRef> TokenAuthority::authenticate(std::string_view token) const {
  auto verified = verifier_->verify(token, now_s());
  if (!verified) return std::move(verified).error();
  return admit(principal_of(*std::move(verified)), "token");
}

Result<PrincipalRef> TokenAuthority::admit(Principal principal, std::string_view what) const {
  if (is_revoked(principal))
    return Error{Code::kForbidden, fmt::format("the {} was revoked", what)};
  principal.budget = budgets_.of(principal.owner);
  return std::make_shared<const Principal>(std::move(principal));
}

Result<PrincipalRef> TokenAuthority::anonymous() const {
  return Error{Code::kUnauthenticated,
               "a token is needed: send Authorization: Bearer and the token"};
}

Result<PrincipalRef> TokenAuthority::by_certificate(
    const std::vector<std::string_view>& names) const {
  for (const CertificateRole& role : roles_) {
    if (std::find(names.begin(), names.end(), role.name) == names.end()) continue;
    return admit(principal_of(role), "certificate");
  }
  if (names.empty()) return anonymous();
  return Error{Code::kUnauthenticated,
               "the certificate's names have no role here (auth.certificates): send a token"};
}

bool TokenAuthority::is_revoked(const Principal& principal) const {
  return revoked_->is_revoked(principal.token_id, principal.subject, principal.issued_at_s,
                              now_s());
}

}  // namespace tidegate
