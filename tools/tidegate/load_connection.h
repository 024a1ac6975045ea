#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/base/result.h"
#include "tidegate/v1/session.pb.h"
#include "tools/tidegate/delivery_check.h"
#include "tools/tidegate/event_scanner.h"
#include "tools/tidegate/frame_reader.h"

namespace tidegate {

// The bytes that a subscriber sends: the HTTP request of the upgrade, and a subscription (id,
// streams, start by edge, sequence or position, window).
std::string upgrade_request(const std::string& host, LoadForm form, const std::string& token);
std::string subscribe_frame(const v1::SubscribeOp& subscription, LoadForm form);

// One subscriber: what it has to say and what it has got, without the socket.
// Thread: caller serialises.
class LoadConnection final : private FrameSink {
 public:
  // Where one call of `take` puts what it found. Shared by the connections of a thread.
  struct Found {
    std::vector<ScannedEvent> events;
    std::vector<ServerNotice> notices;
    std::string answers;  // to send
  };

  LoadConnection(LoadForm form, std::size_t data_bytes, DeliveryCheck check)
      : form_(form), data_bytes_(data_bytes), scanner_(form, data_bytes), check_(check) {}

  // Reads bytes[0, size), which begin with what the last call left, and returns where the rest
  // begins. kInternal: not what a gateway sends.
  Result<std::size_t> take(char* bytes, std::size_t size, Found& found);

  // The connection is lost: what comes next are the first bytes of another one. Keeps what was
  // delivered, and where to resume.
  void break_off();
  // Where the subscriber goes on that was broken off. Unset when it never got that far.
  const v1::Start& resumption() const { return resumption_; }

  DeliveryCheck& check() { return check_; }

 private:
  Result<std::size_t> on_payload(std::string_view bytes, bool is_end) override;
  Status on_control(std::uint8_t opcode, std::string_view payload) override;
  Result<std::size_t> take_upgrade(std::string_view bytes) const;

  LoadForm form_;
  std::size_t data_bytes_;
  bool is_upgraded_ = false;
  FrameReader frames_;
  EventScanner scanner_;
  DeliveryCheck check_;
  v1::Start resumption_;
  Found* found_ = nullptr;  // during `take`
};

}  // namespace tidegate
