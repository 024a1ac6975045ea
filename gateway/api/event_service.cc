#include <utility>

#include "gateway/api/access.h"
#include "gateway/api/message_buffer.h"
#include "gateway/api/pipeline_call.h"
#include "gateway/api/publish_request.h"
#include "gateway/api/read_call.h"
#include "gateway/api/services.h"
#include "gateway/api/subscribe_call.h"
#include "gateway/api/unary_call.h"
#include "tidegate/v1/event_service.grpc.pb.h"

namespace tidegate {
namespace {

using Base = v1::EventService::WithRawCallbackMethod_Publish<
    v1::EventService::WithRawCallbackMethod_PublishPipeline<
        v1::EventService::WithCallbackMethod_Read<
            v1::EventService::WithRawCallbackMethod_Subscribe<v1::EventService::Service>>>>;

class EventServiceImpl final : public Base {
 public:
  explicit EventServiceImpl(ApiState& state) : state_(state) {}

  grpc::ServerUnaryReactor* Publish(grpc::CallbackServerContext* context,
                                    const grpc::ByteBuffer* request,
                                    grpc::ByteBuffer* response) override;

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* PublishPipeline(
      grpc::CallbackServerContext* context) override {
    return start_pipeline_call(state_, *context);
  }
  grpc::ServerWriteReactor<v1::ReadResponse>* Read(grpc::CallbackServerContext* context,
                                                   const v1::ReadRequest* request) override {
    return start_read_call(state_, *context, *request);
  }
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Subscribe(
      grpc::CallbackServerContext* context) override {
    return start_subscribe_call(state_, *context);
  }

 private:
  Result<AppendRequest> parse_publish(const grpc::ByteBuffer& request) const;

  ApiState& state_;
};

Result<AppendRequest> EventServiceImpl::parse_publish(const grpc::ByteBuffer& request) const {
  if (state_.drain.is_set()) return draining_error();
  v1::PublishRequest message;
  grpc::ByteBuffer bytes(request);  // shares the slices
  if (const Status parsed = parse_message(bytes, message); !parsed) return parsed.error();
  return to_append_request(message, request.Length());
}

grpc::ServerUnaryReactor* EventServiceImpl::Publish(grpc::CallbackServerContext* context,
                                                    const grpc::ByteBuffer* request,
                                                    grpc::ByteBuffer* response) {
  const auto principal = admit(state_.authority, *context, Access::kPublish);
  if (!principal) return finish_call(context, principal.error());
  auto append = parse_publish(*request);
  if (!append) return finish_call(context, append.error());
  if (const Status granted =
          note_denied(state_.authority, **principal, (*principal)->take_publish(*append));
      !granted) {
    return finish_call(context, granted);
  }
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  // The call lives until it is finished, also when the client has gone: the store always answers.
  append->done = [reactor, response](Result<AppendResult> result) {
    if (!result) {
      reactor->Finish(to_grpc_status(result.error()));
      return;
    }
    v1::PublishResponse message;
    set_publish_response(message, *result);
    *response = serialise_message(message);
    reactor->Finish(grpc::Status::OK);
  };
  if (const Status taken = state_.store.append(*append); !taken) {
    reactor->Finish(to_grpc_status(taken.error()));
  }
  return reactor;
}

}  // namespace

std::unique_ptr<grpc::Service> make_event_service(ApiState& state) {
  return std::make_unique<EventServiceImpl>(state);
}

}  // namespace tidegate
