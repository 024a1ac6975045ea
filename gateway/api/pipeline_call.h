#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "gateway/api/api_state.h"

namespace tidegate {

// Batches of one pipeline that may be unanswered at a time. Beyond it the call is not read, so that
// gRPC's flow control holds the publisher; 64 batches keep the appender busy over a sync of a few
// milliseconds.
inline constexpr std::size_t kPipelineBatchesMax = 64;
inline constexpr std::size_t kPipelineBytesMax = 8 << 20;

// Serves EventService.PublishPipeline. The reactor lives as long as the call and the appends that
// it began. Thread: any (internally synchronised).
grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* start_pipeline_call(
    ApiState& state, const grpc::CallbackServerContext& context);

}  // namespace tidegate
