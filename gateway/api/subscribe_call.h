#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "gateway/api/api_state.h"

namespace tidegate {

// Serves EventService.Subscribe: carries messages between the call and a session on an I/O loop,
// without reading them. A session that closes ends the call with the status that its close code
// means. Thread: any (internally synchronised).
grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* start_subscribe_call(
    ApiState& state, const grpc::CallbackServerContext& context);

}  // namespace tidegate
