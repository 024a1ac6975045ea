#include "tools/tidegate/follow_call.h"

#include <utility>

#include "tools/tidegate/services.h"

namespace tidegate {
namespace {

// The gateway writes acknowledgements of cursors at least once a second.
constexpr std::chrono::milliseconds kLastMoment{2000};

}  // namespace

struct FollowCall::Stream {
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReaderWriter<v1::SubscribeRequest, v1::SubscribeResponse>> call;
  bool is_finished = false;
};

FollowCall::FollowCall(Client& client, Interrupt& interrupt, bool wait_for_gateway)
    : client_(client), stream_(std::make_unique<Stream>()) {
  stream_->context.set_wait_for_ready(wait_for_gateway);
  stream_->call = client.services().events->Subscribe(&stream_->context);
  guard_ = std::make_unique<Interrupt::Guard>(interrupt, [this] { on_interrupt(); });
}

FollowCall::~FollowCall() {
  guard_.reset();
  {
    const std::lock_guard lock(mutex_);
    is_over_ = true;
  }
  changed_.notify_all();
  if (timer_.joinable()) timer_.join();
  if (stream_->is_finished) return;
  stream_->context.TryCancel();
  [[maybe_unused]] const grpc::Status cancelled = stream_->call->Finish();
}

void FollowCall::send(const v1::ClientMessage& message) {
  v1::SubscribeRequest request;
  *request.mutable_message() = message;
  stream_->call->Write(request);
}

bool FollowCall::receive(v1::ServerMessage& message) {
  v1::SubscribeResponse response;
  if (!stream_->call->Read(&response)) return false;
  message = std::move(*response.mutable_message());
  return true;
}

Error FollowCall::why() {
  stream_->is_finished = true;
  return client_.error_of_end(stream_->call->Finish());
}

void FollowCall::on_interrupt() {
  if (is_owing_.load(std::memory_order_relaxed)) {
    end_soon();
  } else {
    stream_->context.TryCancel();
  }
}

void FollowCall::end_soon() {
  const std::lock_guard lock(mutex_);
  if (timer_.joinable()) return;
  timer_ = std::thread([this] {
    std::unique_lock waiting(mutex_);
    if (!changed_.wait_for(waiting, kLastMoment, [this] { return is_over_; }))
      stream_->context.TryCancel();
  });
}

}  // namespace tidegate
