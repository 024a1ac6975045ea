#pragma once

#include <cstdint>

#include "eventstore/append.h"
#include "eventstore/base/result.h"
#include "tidegate/v1/event_service.pb.h"

namespace tidegate {

// Thread: any (pure functions of this file).

// Validates a publish request: events, checks and durability. `done` is left to the caller. Every
// bad event is reported with its index ("events[3].event.id"), up to 20 details; the code is that
// of the first. kBadArgument, kBadEvent, kUnsupported, kEventTooLarge, kBatchTooLarge, kLimit.
// `received_bytes`: of the message that the request came in.
Result<AppendRequest> to_append_request(const v1::PublishRequest& request,
                                        std::size_t received_bytes);

void set_publish_response(v1::PublishResponse& out, const AppendResult& result);
void set_publish_error(v1::PublishError& out, const Error& error);

// A refusal for want of capacity, not for what the request says: a pipeline ends at it.
bool is_capacity_refusal(Code code);

}  // namespace tidegate
