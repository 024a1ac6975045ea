#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include "gateway/api/api_state.h"
#include "tidegate/v1/event_service.pb.h"

namespace tidegate {

// Serves EventService.Read: every step runs on a read thread in turn with other readers, and the
// next one begins when the message before it has been taken by gRPC and the subject's replay budget
// is out of debt. It ends when its token does, also while it waits. The reactor deletes itself.
// Thread: any (internally synchronised).
grpc::ServerWriteReactor<v1::ReadResponse>* start_read_call(
    ApiState& state, const grpc::CallbackServerContext& context, const v1::ReadRequest& request);

}  // namespace tidegate
