// Key sets, which an issuer's server sends.

#include "gateway/auth/key_set.h"
#include "tests/fuzz/target.h"

TIDEGATE_FUZZ_TARGET(jwks) {
  using namespace tidegate;
  const auto keys = KeySet::from_jwks(input);
  if (!keys) fuzz::require(!keys.error().message.empty(), "an error says what is wrong");
  static_cast<void>(KeySet::from_pem(input, {Algorithm::kEs256, Algorithm::kRs256}));
}
