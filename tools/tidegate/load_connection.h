#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/base/result.h"
#include "tools/tidegate/delivery_check.h"
#include "tools/tidegate/event_scanner.h"
#include "tools/tidegate/frame_reader.h"

namespace tidegate {

// The bytes that a subscriber sends: the HTTP request of the upgrade and a subscription at the
// head.
std::string upgrade_request(const std::string& host, LoadForm form);
std::string subscribe_frame(const std::string& stream, LoadForm form);

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
      : form_(form), scanner_(form, data_bytes), check_(check) {}

  // Reads bytes[0, size), which begin with what the last call left, and returns where the rest
  // begins. kInternal: not what a gateway sends.
  Result<std::size_t> take(char* bytes, std::size_t size, Found& found);

  DeliveryCheck& check() { return check_; }

 private:
  Result<std::size_t> on_payload(std::string_view bytes, bool is_end) override;
  Status on_control(std::uint8_t opcode, std::string_view payload) override;
  Result<std::size_t> take_upgrade(std::string_view bytes) const;

  LoadForm form_;
  bool is_upgraded_ = false;
  FrameReader frames_;
  EventScanner scanner_;
  DeliveryCheck check_;
  Found* found_ = nullptr;  // during `take`
};

}  // namespace tidegate
