#pragma once

#include <string>

namespace tidegate {

// Who a session belongs to: the owner of its cursors, and what it may do.
//
// Made in two places: NetServer::Impl::serve for a WebSocket, SubscribeCall::start for gRPC. There
// is no authentication yet, so both make this default: the empty subject, everything permitted; and
// nobody asks for is_admin. Authentication begins in those two places. Other gRPC calls have no
// principal: each is permitted, and CursorService works on the cursors of the empty subject
// (`kOwner` in cursor_service.cc). Thread: immutable.
struct Principal {
  std::string subject;
  bool may_publish = true;
  bool is_admin = true;
};

}  // namespace tidegate
