#include "gateway/api/access.h"

#include <iterator>
#include <string_view>

#include "eventstore/base/clock.h"

namespace tidegate {
namespace {

constexpr std::int64_t kUsPerS = 1'000'000;

Result<PrincipalRef> authenticate(const Authority& authority,
                                  const grpc::CallbackServerContext& context) {
  const auto& metadata = context.client_metadata();
  const auto [begin, end] = metadata.equal_range("authorization");
  if (begin == end) return authority.anonymous();
  if (std::next(begin) != end) {
    return Error{Code::kUnauthenticated, "the metadata has more than one authorization"};
  }
  const auto token = bearer_token({begin->second.data(), begin->second.size()});
  if (token) return authority.authenticate(*token);
  return Error{Code::kUnauthenticated, "the metadata's authorization must be Bearer and a token"};
}

}  // namespace

Result<PrincipalRef> admit(const Authority& authority, const grpc::CallbackServerContext& context,
                           Access access) {
  auto principal = authenticate(authority, context);
  if (!principal) return principal;
  if (access == Access::kPublish && !(*principal)->may_publish()) {
    return Error{Code::kForbidden, "the token does not permit to publish"};
  }
  if (access == Access::kAdmin && !(*principal)->is_admin) {
    return Error{Code::kForbidden, "the token does not permit administration"};
  }
  return principal;
}

Status check_still_good(const Authority& authority, const Principal& principal) {
  if (principal.expires_s != 0 && SystemClock().wall_us() >= principal.expires_s * kUsPerS) {
    return Error{Code::kUnauthenticated, "the token expired: call again with a new one"};
  }
  if (authority.is_revoked(principal)) {
    return Error{Code::kForbidden, "the token was revoked"};
  }
  return {};
}

}  // namespace tidegate
