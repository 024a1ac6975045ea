#include "gateway/auth/token_authority.h"

#include <string>

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

}  // namespace

Result<PrincipalRef> TokenAuthority::authenticate(std::string_view token) const {
  auto verified = verifier_->verify(token, now_s());
  if (!verified) return std::move(verified).error();
  auto principal = std::make_shared<const Principal>(principal_of(*std::move(verified)));
  if (is_revoked(*principal)) return Error{Code::kForbidden, "the token was revoked"};
  return PrincipalRef(std::move(principal));
}

Result<PrincipalRef> TokenAuthority::anonymous() const {
  return Error{Code::kUnauthenticated,
               "a token is needed: send Authorization: Bearer and the token"};
}

bool TokenAuthority::is_revoked(const Principal& principal) const {
  return revoked_->is_revoked(principal.token_id, principal.subject, principal.issued_at_s,
                              now_s());
}

}  // namespace tidegate
