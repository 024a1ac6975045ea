#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "eventstore/base/result.h"
#include "gateway/delivery/principal.h"
#include "gateway/delivery/transport.h"

namespace tidegate {

// The far end of a session whose transport lives on threads of its own (gRPC).
// Thread: called on an I/O loop; must only hand over.
class RemotePeer {
 public:
  virtual ~RemotePeer() = default;
  // One serialised ServerMessage. The next one comes after RemoteSession::written.
  virtual void send(std::string message) = 0;
  virtual void close(CloseCode code, std::string_view reason) = 0;
  virtual void set_reading(bool reading) = 0;
};

// A handle on such a session. Dropping it ends the session. The loop holds the peer only weakly, so
// a call that is under way when the peer goes is dropped. Thread: any (internally synchronised).
class RemoteSession {
 public:
  virtual ~RemoteSession() = default;
  // One serialised ClientMessage. What waits for the loop is bounded by the host: it calls
  // RemotePeer::set_reading(false), also from inside this call, and true again when the loop has
  // caught up.
  virtual void message(std::string bytes) = 0;
  virtual void written() = 0;
};

// Places sessions on I/O loops. Implemented by gateway/net, used by gateway/api: neither includes
// the other. Thread: any (internally synchronised).
class SessionHost {
 public:
  virtual ~SessionHost() = default;
  // kRateLimited when the principal, kOverloaded when the host has as many as it may have.
  virtual Result<std::unique_ptr<RemoteSession>> open_remote(std::shared_ptr<RemotePeer> peer,
                                                             PrincipalRef principal) = 0;
};

}  // namespace tidegate
