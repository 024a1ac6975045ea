#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include "gateway/api/api_state.h"
#include "gateway/api/watch_thread.h"
#include "tidegate/v1/projection_service.pb.h"

namespace tidegate {

// Serves ProjectionService.WatchProjection, on the watch thread. The engine's Watch is a cursor, so
// nothing waits here but the message in flight: the next step is taken when gRPC has taken that
// one, and from disk when the subject's replay budget is out of debt. The call ends with its token
// and when the gateway drains. Thread: any (internally synchronised).
grpc::ServerWriteReactor<v1::WatchProjectionResponse>* start_watch_call(
    ApiState& state, WatchThread& thread, const grpc::CallbackServerContext& context,
    const v1::WatchProjectionRequest& request);

}  // namespace tidegate
