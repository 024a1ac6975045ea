#include "gateway/api/access.h"

#include <iterator>
#include <string_view>
#include <vector>

#include <grpc/grpc_security_constants.h>

#include "eventstore/base/clock.h"

namespace tidegate {
namespace {

constexpr std::int64_t kUsPerS = 1'000'000;

// Of the certificate that the client showed; gRPC has verified it.
std::vector<std::string_view> certificate_names(const grpc::CallbackServerContext& context) {
  std::vector<std::string_view> names;
  const auto peer = context.auth_context();
  if (peer == nullptr || !peer->IsPeerAuthenticated()) return names;
  for (const grpc::string_ref& name : peer->FindPropertyValues(GRPC_X509_SAN_PROPERTY_NAME)) {
    names.emplace_back(name.data(), name.size());
  }
  return names;
}

Result<PrincipalRef> authenticate(const Authority& authority,
                                  const grpc::CallbackServerContext& context) {
  const auto& metadata = context.client_metadata();
  const auto [begin, end] = metadata.equal_range("authorization");
  if (begin == end) {
    const std::vector<std::string_view> names = certificate_names(context);
    return names.empty() ? authority.anonymous() : authority.by_certificate(names);
  }
  if (std::next(begin) != end) {
    return Error{Code::kUnauthenticated, "the metadata has more than one authorization"};
  }
  const auto token = bearer_token({begin->second.data(), begin->second.size()});
  if (token) return authority.authenticate(*token);
  return Error{Code::kUnauthenticated, "the metadata's authorization must be Bearer and a token"};
}

Status check_access(const Principal& principal, Access access) {
  if (access == Access::kPublish && !principal.may_publish())
    return Error{Code::kForbidden, "the token does not permit to publish"};
  if (access == Access::kAdmin && !principal.is_admin)
    return Error{Code::kForbidden, "the token does not permit administration"};
  return {};
}

}  // namespace

Result<PrincipalRef> admit(const Authority& authority, const grpc::CallbackServerContext& context,
                           Access access) {
  auto principal = authenticate(authority, context);
  if (!principal) {
    authority.audit().note({"refused", context.peer(), {}, principal.error().message});
    return principal;
  }
  if (Status granted = check_access(**principal, access); !granted) {
    authority.audit().note(
        {"denied", context.peer(), (*principal)->subject, granted.error().message});
    return granted.error();
  }
  return principal;
}

Result<PrincipalRef> admit_long(const Authority& authority,
                                const grpc::CallbackServerContext& context, Access access,
                                std::string_view what) {
  auto principal = admit(authority, context, access);
  if (principal)
    authority.audit().note({"authenticated", context.peer(), (*principal)->subject, what});
  return principal;
}

Status note_denied(const Authority& authority, const Principal& principal, Status granted) {
  if (!granted && granted.error().code == Code::kForbidden)
    authority.audit().note({"denied", {}, principal.subject, granted.error().message});
  return granted;
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
