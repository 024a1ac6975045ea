#include <string>
#include <utility>

#include <fmt/format.h>

#include "eventstore/filter.h"
#include "gateway/api/services.h"
#include "gateway/api/start_place.h"
#include "gateway/api/unary_call.h"
#include "tidegate/v1/stream_service.grpc.pb.h"

namespace tidegate {
namespace {

void set_stream(v1::Stream& out, const StreamInfo& info) {
  out.set_name(info.name);
  out.set_first_revision(info.first_revision);
  out.set_last_revision(info.last_revision);
  out.set_last_sequence(info.last_sequence);
  if (info.last_time_us) set_time(*out.mutable_last_time(), *info.last_time_us);
}

Status list_streams(const EventStore& store, const v1::ListStreamsRequest& request,
                    v1::ListStreamsResponse& response) {
  const auto page_size = to_page_size(request.page_size());
  if (!page_size) return page_size.error();
  for (const auto& [field, text] :
       {std::pair<const char*, const std::string&>{"prefix", request.prefix()},
        {"page_token", request.page_token()}}) {
    if (text.size() > kStreamNameBytesMax) {
      return field_error(field,
                         fmt::format("at most {} bytes, are {}", kStreamNameBytesMax, text.size()));
    }
  }
  // One more than asked for tells whether there is another page.
  auto streams = store.list_streams(request.prefix(), request.page_token(), *page_size + 1);
  if (!streams) return streams.error();
  if (streams->size() > *page_size) {
    streams->resize(*page_size);
    response.set_next_page_token(streams->back().name);
  }
  for (const StreamInfo& info : *streams) set_stream(*response.add_streams(), info);
  return {};
}

Status find_stream(const EventStore& store, const std::string& name, v1::Stream& out) {
  if (const Status valid = check_stream_name(name); !valid) {
    return field_error("name", valid.error().message);
  }
  const auto info = store.stream_info(name);
  if (!info) return info.error();
  set_stream(out, *info);
  return {};
}

class StreamServiceImpl final : public v1::StreamService::CallbackService {
 public:
  explicit StreamServiceImpl(EventStore& store) : store_(store) {}

  grpc::ServerUnaryReactor* ListStreams(grpc::CallbackServerContext* context,
                                        const v1::ListStreamsRequest* request,
                                        v1::ListStreamsResponse* response) override {
    return answer_on_replay_thread(context, store_,
                                   [=, this] { return list_streams(store_, *request, *response); });
  }
  grpc::ServerUnaryReactor* GetStream(grpc::CallbackServerContext* context,
                                      const v1::GetStreamRequest* request,
                                      v1::GetStreamResponse* response) override {
    return answer_on_replay_thread(context, store_, [=, this] {
      return find_stream(store_, request->name(), *response->mutable_stream());
    });
  }

 private:
  EventStore& store_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_stream_service(ApiState& state) {
  return std::make_unique<StreamServiceImpl>(state.store);
}

}  // namespace tidegate
