#pragma once

#include <cstdint>
#include <string_view>

#include <grpcpp/server_context.h>

#include "eventstore/base/result.h"
#include "gateway/delivery/authority.h"

namespace tidegate {

// Who may call what over gRPC. Thread: any (internally synchronised).

// What a method asks of its caller beyond a good token.
enum class Access : std::uint8_t {
  kToken,    // its answer is cut to what the principal may see or owns
  kPublish,  // the grant to publish to some stream; Principal::take_publish looks at which
  kAdmin,
};

// Every method calls it first: the caller's principal by the metadata `authorization: Bearer ..`,
// or without it by the names of its certificate, when it has the access. kUnauthenticated,
// kForbidden, kUnavailable.
// What is refused is noted in the audit log.
Result<PrincipalRef> admit(const Authority& authority, const grpc::CallbackServerContext& context,
                           Access access);
// The same for a long call, `what`: who begins one is noted too.
Result<PrincipalRef> admit_long(const Authority& authority,
                                const grpc::CallbackServerContext& context, Access access,
                                std::string_view what);

// `granted` itself; noted when it is kForbidden.
Status note_denied(const Authority& authority, const Principal& principal, Status granted);

// For long calls: whether the principal's token is still good. kUnauthenticated, kForbidden.
Status check_still_good(const Authority& authority, const Principal& principal);

}  // namespace tidegate
