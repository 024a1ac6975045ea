#pragma once

#include <grpcpp/support/status.h>

#include "eventstore/base/error.h"

namespace tidegate {

// How long a peer should wait when a capacity refusal gives no better advice. A group commit takes
// a few milliseconds, so that the ingest queue is worth another try soon.
inline constexpr std::uint32_t kRetryAfterDefaultMs = 250;

// What the details of one error may take. gRPC clients refuse trailers above 8 KiB unless told
// otherwise, and then see neither the code nor the message.
inline constexpr std::size_t kErrorDetailsBytesMax = 6 << 10;
inline constexpr std::size_t kErrorMessageBytesMax = 512;

// Our error as gRPC tells it: status code and message, and a serialised google.rpc.Status with
// ErrorInfo (reason = name of the code, domain "tidegate", metadata = the facts), RetryInfo,
// BadRequest and PreconditionFailure as far as they apply. Violations that do not fit are counted
// in the ErrorInfo's metadata as "left_off". Logged at debug. Thread: any.
grpc::Status to_grpc_status(const Error& error);

}  // namespace tidegate
