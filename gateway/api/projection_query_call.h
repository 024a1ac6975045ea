#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include "gateway/api/api_state.h"
#include "tidegate/v1/projection_service.pb.h"

namespace tidegate {

// Serves ProjectionService.QueryProjection of a principal that may read the projection. The engine
// waits for the place that the answer has to reflect, no longer than the call's deadline; the call
// ends before it when its client goes, its token ends or the gateway drains.
// kOverloaded for an owner with too many queries under way and while memory is short.
// Thread: any (internally synchronised).
grpc::ServerUnaryReactor* start_query_call(ApiState& state, grpc::CallbackServerContext& context,
                                           const PrincipalRef& principal,
                                           const v1::QueryProjectionRequest& request,
                                           v1::QueryProjectionResponse& response);

}  // namespace tidegate
