#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/base/result.h"
#include "eventstore/types.h"

namespace tidegate {

// The two subprotocols, as a load client asks for them.
enum class LoadForm : std::uint8_t { kJson, kProto };

// What a load client keeps of an event.
struct ScannedEvent {
  Sequence sequence = 0;
  Revision revision = 0;
  std::int64_t sent_us = 0;
};

// A message of the gateway that carries no events.
struct ServerNotice {
  enum class Kind : std::uint8_t {
    kWelcome,
    kSubscribed,
    kCaughtUp,
    kFellBehind,
    kOther,
    kRefusal
  };
  Kind kind = Kind::kOther;
  std::string text;  // kRefusal (error, gap, reset, unsubscribed, closing): the message
};

// Reads one connection's messages as cheaply as a check allows, so that a thousand subscribers fit
// on one core: it knows the form in which the gateway writes `events` messages and the benchmarks
// their data, compares the text around the numbers and jumps over the rest of an event by the
// length of the one before, where it compares again. What looks different is an error, never
// skipped.
//
// Thread: caller serialises.
class EventScanner {
 public:
  // `data_bytes`: the size of every event's data.
  EventScanner(LoadForm form, std::size_t data_bytes) : form_(form), data_bytes_(data_bytes) {}

  // Takes whole events and notices from the front of `bytes`, which go on where the last call
  // stopped, and returns how many bytes that were. The rest comes again, with more behind it.
  // `is_end`: the message ends with `bytes`. kInternal: not what a gateway sends to a benchmark.
  Result<std::size_t> take(std::string_view bytes, bool is_end, std::vector<ScannedEvent>& events,
                           std::vector<ServerNotice>& notices);

  // The one that the last whole message told which told any.
  const std::string& position() const { return position_; }
  // Some of an `events` message was taken and not all of it.
  bool is_inside_message() const { return part_ != Part::kBegin; }

 private:
  enum class Part : std::uint8_t { kBegin, kEvents, kAfterEvents };

  Result<std::size_t> take_json(std::string_view bytes, bool is_end,
                                std::vector<ScannedEvent>& events);
  Result<std::size_t> take_proto(std::string_view bytes, std::vector<ScannedEvent>& events);
  // How long the event at the front is; 0: not all of it is there.
  Result<std::size_t> json_event(std::string_view bytes, ScannedEvent& event);
  Status proto_event(std::string_view bytes, ScannedEvent& event) const;
  Result<ServerNotice> json_notice(std::string_view message);
  Result<ServerNotice> proto_notice(std::string_view bytes);
  void keep_json_position(std::string_view text);

  LoadForm form_;
  Part part_ = Part::kBegin;
  std::size_t data_bytes_;
  std::string position_;
  std::size_t object_bytes_ = 0;  // of the last CloudEvents object in JSON
};

}  // namespace tidegate
