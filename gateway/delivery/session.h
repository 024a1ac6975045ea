#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "gateway/delivery/delivery_loop.h"

namespace tidegate {

class SessionCore;

// One connection's end of the session protocol (docs/protocol.md). Made by DeliveryLoop::open;
// destroying it ends its subscriptions and releases its cursors.
//
// Thread: I/O loop only.
class Session {
 public:
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // A complete message of the peer, in the session's wire form.
  void on_message(std::string_view bytes);
  // The write that Transport::write began is done.
  void on_written();

 private:
  friend class DeliveryLoop;
  explicit Session(std::shared_ptr<SessionCore> core);
  std::shared_ptr<SessionCore> core_;
};

}  // namespace tidegate
