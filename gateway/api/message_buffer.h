#pragma once

#include <string>

#include <google/protobuf/message.h>
#include <grpcpp/support/byte_buffer.h>

#include "eventstore/base/result.h"

namespace tidegate {

// Calls of the publish path and of Subscribe take the raw bytes of a message: gRPC 1.51 answers a
// message that it cannot parse with INTERNAL, and on a stream as if the client had finished; we
// answer `bad_message`. And Subscribe does not parse what the session parses anyway. Thread: any
// (pure functions of this file).

// kBadMessage when the bytes are no message of this type (bad UTF-8 and too deep nesting included).
// `buffer` is emptied.
Status parse_message(grpc::ByteBuffer& buffer, google::protobuf::Message& message);
grpc::ByteBuffer serialise_message(const google::protobuf::Message& message);

// The bytes of field 1, an embedded message that is the only field of SubscribeRequest and
// SubscribeResponse. A field that appears several times is one message in pieces, as protobuf has
// it. kBadMessage.
Result<std::string> unwrap_session_message(grpc::ByteBuffer& buffer);
grpc::ByteBuffer wrap_session_message(const std::string& message);

}  // namespace tidegate
