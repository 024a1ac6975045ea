#pragma once

#include <string>
#include <string_view>

#include "gateway/delivery/codec.h"

// What each wire form provides to codec.h, and what both share. Only the codec's own files include
// this.

namespace tidegate::codec {

// Thread: any (pure functions).

inline constexpr std::size_t kNameBytesMax = 64;  // of a subscription's id and a request's name

// "field: what", with the field in the details.
Error bad_field(Code code, std::string_view field, std::string_view what);

// Fills the peer's name for what an answer belongs to, if it is one that an answer may repeat.
void fill_name(std::string& out, std::string_view name);

Result<v1::ClientMessage> decode_json(std::string_view bytes, ReplyTo& reply_to);
Result<v1::ClientMessage> decode_proto(std::string_view bytes, ReplyTo& reply_to);

std::string encode_json(const v1::ServerMessage& message);

void encode_event_json(const RecordView& record, std::string& out);
void encode_event_proto(const RecordView& record, std::string& out);

// What stands around the events of an `events` message, which come after the first `before` bytes
// of `own`. `events_bytes` is their size together.
struct Envelope {
  std::string own;
  std::size_t before = 0;
};
Envelope envelope_json(std::string_view id, std::string_view position);
Envelope envelope_proto(std::string_view id, std::string_view position, std::size_t events_bytes);

}  // namespace tidegate::codec
