#pragma once

#include <utility>

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include "gateway/api/api_state.h"
#include "gateway/api/error_details.h"

namespace tidegate {

// Answers a unary call from a read thread: `answer` fills the response and returns what it came to.
// Request and response live until the reactor is finished, which happens here and nowhere else.
// Thread: any; called on gRPC's threads, `answer` runs on a read thread.
template <typename Answer>
grpc::ServerUnaryReactor* answer_on_replay_thread(grpc::CallbackServerContext* context,
                                                  EventStore& store, Answer answer) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const bool is_posted = store.post_read([reactor, answer = std::move(answer)] {
    const Status status = answer();
    reactor->Finish(status ? grpc::Status::OK : to_grpc_status(status.error()));
  });
  if (!is_posted) reactor->Finish(to_grpc_status(too_many_reads_error()));
  return reactor;
}

// Answers a unary call at once. Thread: any.
inline grpc::ServerUnaryReactor* finish_call(grpc::CallbackServerContext* context,
                                             const Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(status ? grpc::Status::OK : to_grpc_status(status.error()));
  return reactor;
}

}  // namespace tidegate
