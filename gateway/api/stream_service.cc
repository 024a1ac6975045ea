#include <string>

#include <fmt/format.h>

#include "eventstore/filter.h"
#include "gateway/api/access.h"
#include "gateway/api/paging.h"
#include "gateway/api/services.h"
#include "gateway/api/start_place.h"
#include "gateway/api/unary_call.h"
#include "tidegate/v1/stream_service.grpc.pb.h"

namespace tidegate {
namespace {

constexpr std::size_t kListStep = 1001;  // names of the index read at a time

void set_stream(v1::Stream& out, const StreamInfo& info) {
  out.set_name(info.name);
  out.set_first_revision(info.first_revision);
  out.set_last_revision(info.last_revision);
  out.set_last_sequence(info.last_sequence);
  if (info.last_time_us) set_time(*out.mutable_last_time(), *info.last_time_us);
}

Status list_streams(const EventStore& store, const Principal& principal,
                    const v1::ListStreamsRequest& request, v1::ListStreamsResponse& response) {
  const auto page_size = to_page_size(
      request.page_size(), {{"prefix", request.prefix()}, {"page_token", request.page_token()}});
  if (!page_size) return page_size.error();
  // The index knows nothing of grants, so it is read until the page is full of what may be seen: a
  // page's end must not name another stream. One more than asked for tells whether there is a next.
  std::string after = request.page_token();
  while (true) {
    const auto streams = store.list_streams(request.prefix(), after, kListStep);
    if (!streams) return streams.error();
    for (const StreamInfo& info : *streams) {
      if (!principal.may_see(info.name)) continue;
      if (static_cast<std::size_t>(response.streams_size()) == *page_size) {
        response.set_next_page_token(response.streams().rbegin()->name());
        return {};
      }
      set_stream(*response.add_streams(), info);
    }
    if (streams->size() < kListStep) return {};
    after = streams->back().name;
  }
}

Status find_stream(const EventStore& store, const Principal& principal, const std::string& name,
                   v1::Stream& out) {
  if (const Status valid = check_stream_name(name); !valid) {
    return field_error("name", valid.error().message);
  }
  if (!principal.may_see(name)) {
    return Error{Code::kForbidden,
                 fmt::format("the token does not permit to see stream '{}'", name)};
  }
  const auto info = store.stream_info(name);
  if (!info) return info.error();
  set_stream(out, *info);
  return {};
}

class StreamServiceImpl final : public v1::StreamService::CallbackService {
 public:
  explicit StreamServiceImpl(ApiState& state) : state_(state) {}

  grpc::ServerUnaryReactor* ListStreams(grpc::CallbackServerContext* context,
                                        const v1::ListStreamsRequest* request,
                                        v1::ListStreamsResponse* response) override {
    const auto who = admit(state_.authority, *context, Access::kToken);
    if (!who) return finish_call(context, who.error());
    return answer_on_replay_thread(context, state_.store, [=, this] {
      return list_streams(state_.store, **who, *request, *response);
    });
  }
  grpc::ServerUnaryReactor* GetStream(grpc::CallbackServerContext* context,
                                      const v1::GetStreamRequest* request,
                                      v1::GetStreamResponse* response) override {
    const auto who = admit(state_.authority, *context, Access::kToken);
    if (!who) return finish_call(context, who.error());
    return answer_on_replay_thread(context, state_.store, [=, this] {
      return find_stream(state_.store, **who, request->name(), *response->mutable_stream());
    });
  }

 private:
  ApiState& state_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_stream_service(ApiState& state) {
  return std::make_unique<StreamServiceImpl>(state);
}

}  // namespace tidegate
