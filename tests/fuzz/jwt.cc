// Tokens before and after their signature is believed.

#include "gateway/auth/jwt.h"

#include "eventstore/base/text.h"
#include "gateway/auth/jwt_claims.h"
#include "tests/fuzz/target.h"

TIDEGATE_FUZZ_TARGET(jwt) {
  using namespace tidegate;
  const auto check_claims = [](std::string_view payload) {
    const auto claims = parse_claims(payload);
    if (!claims) return;
    const auto again = parse_claims(to_json(*claims));
    fuzz::require(again && *again == *claims, "claims are what is written of them");
  };
  const auto token = parse_jwt(input);
  if (token) {
    fuzz::require(input.starts_with(token->signed_bytes), "what is signed is in the token");
    check_claims(token->payload);
  } else {
    fuzz::require(token.error().code == Code::kUnauthenticated, "a bad token is no other error");
  }
  if (is_valid_utf8(input)) check_claims(input);
}
