#pragma once

#include <cstddef>
#include <cstdint>

#include "eventstore/base/error.h"
#include "eventstore/segment.h"

namespace tidegate {

enum class ResumeSource : std::uint8_t { kTail, kLog, kGap, kReset };

// What delivery tells its observer: verbs without names of metrics.
// Thread: any (internally synchronised by the implementation).
class DeliveryProbe {
 public:
  virtual ~DeliveryProbe() = default;
  virtual void message_received(std::size_t /*bytes*/) {}
  virtual void message_sent(std::size_t /*bytes*/, std::size_t /*events*/) {}
  // A subscription began at a position that the client or a cursor had.
  virtual void subscription_resumed(ResumeSource /*source*/) {}
  // +1 / -1
  virtual void subscriptions_changed(int /*by*/) {}
  virtual void behind_changed(int /*by*/) {}
  // Watches of projections, on sessions. +1 / -1
  virtual void watches_changed(int /*by*/) {}
  virtual void error_sent(Code /*code*/) {}
};

}  // namespace tidegate
