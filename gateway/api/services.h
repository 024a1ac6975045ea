#pragma once

#include <memory>

#include <grpcpp/impl/codegen/service_type.h>

#include "gateway/api/api_state.h"

namespace tidegate {

// The services of tidegate.v1. Each maps messages to calls of the store and blocks no thread of
// gRPC: what may read the disk runs on the store's read threads. The state must outlive them.
// Thread: caller serialises; the services are called on gRPC's threads.
std::unique_ptr<grpc::Service> make_event_service(ApiState& state);
std::unique_ptr<grpc::Service> make_stream_service(ApiState& state);
std::unique_ptr<grpc::Service> make_cursor_service(ApiState& state);
std::unique_ptr<grpc::Service> make_projection_service(ApiState& state);
std::unique_ptr<grpc::Service> make_admin_service(ApiState& state);

}  // namespace tidegate
