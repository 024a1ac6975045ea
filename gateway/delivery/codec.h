#pragma once

#include <string>
#include <string_view>

#include "eventstore/base/result.h"
#include "eventstore/segment.h"
#include "gateway/delivery/transport.h"
#include "tidegate/v1/session.pb.h"

namespace tidegate {

// The two wire forms of the session protocol. The generated messages are the value types; JSON text
// is mapped to them as docs/protocol.md shows (not by protobuf's own JSON mapping). Thread: any
// (pure functions of this file).

// A peer's message. kBadMessage with what is wrong and where; kUnknownOp for an unknown `op`. Other
// codes (kBadPattern, kBadPosition, kBadEvent ...) when one field is wrong: then `reply_to` names
// the subscription or request it belongs to.
struct ReplyTo {
  std::string id;
  std::string request;
  bool is_query = false;  // the request
};
Result<v1::ClientMessage> decode_client_message(WireForm form, std::string_view bytes,
                                                ReplyTo& reply_to);

// Any message but `events` with records.
std::string encode_server_message(WireForm form, const v1::ServerMessage& message);

// Appends the wire form of one event of an `events` message: the JSON object with a comma before
// it, so that a message of many events needs no pieces of its own between them; or the
// length-delimited `events` field of v1.Events with its tag. For Segment::encoded and
// EventsMessage::add.
void encode_event(WireForm form, const RecordView& record, std::string& out);

// Puts an `events` message together from encoded events, without copying them. Usage: begin, add..,
// finish.
class EventsMessage {
 public:
  // `subscription_id` must outlive it.
  EventsMessage(WireForm form, std::string_view subscription_id);

  // `event` must stay alive until the message is sent: `pin` is the segment that holds it.
  void add(std::string_view event, const SegmentRef& pin);
  std::size_t events() const { return events_; }
  std::size_t bytes() const { return bytes_; }
  std::size_t runs() const { return message_.runs.size(); }
  // `position`: after the last event.
  OutgoingMessage finish(std::string_view position) &&;

 private:
  WireForm form_;
  std::string_view id_;
  std::size_t events_ = 0;
  std::size_t bytes_ = 0;    // of the events
  OutgoingMessage message_;  // its runs: events that lie one after the other in memory
};

}  // namespace tidegate
