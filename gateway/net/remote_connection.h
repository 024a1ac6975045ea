#pragma once

#include <memory>

#include "gateway/delivery/principal.h"
#include "gateway/delivery/session_host.h"
#include "gateway/net/admission.h"

namespace tidegate {

class IoLoop;

// Opens a session on `loop` whose transport is `peer`, on threads of its own. The loop's registry
// owns the connection; the handle only speaks to it, and must be dropped before the loop ends.
// While more than 4 MiB of the peer's messages wait for the loop, the peer is told not to read.
// Thread: any (internally synchronised).
std::unique_ptr<RemoteSession> open_remote_session(IoLoop& loop, std::shared_ptr<RemotePeer> peer,
                                                   PrincipalRef principal, HeldPlaces places);

}  // namespace tidegate
