#include "gateway/api/read_call.h"

#include <atomic>
#include <utility>

#include "gateway/api/access.h"
#include "gateway/api/error_details.h"
#include "gateway/api/log_read.h"
#include "gateway/api/refused_call.h"

namespace tidegate {
namespace {

// Either one step is posted or one write is in flight, never both, so nothing but the cancellation
// needs care. `Finish` comes from a step or from OnWriteDone; gRPC calls OnDone after it, so a
// posted step always finds the reactor alive.
class ReadCall final : public grpc::ServerWriteReactor<v1::ReadResponse> {
 public:
  ReadCall(ApiState& state, LogRead read) : state_(state), read_(std::move(read)) { post_step(); }

  void OnWriteDone(bool ok) override {
    if (!ok) {
      Finish(grpc::Status::CANCELLED);
      return;
    }
    response_.Clear();
    post_step();
  }
  void OnCancel() override { is_cancelled_.store(true, std::memory_order_relaxed); }
  void OnDone() override { delete this; }

 private:
  void post_step() {
    if (!state_.store.post_read([this] { step(); })) Finish(to_grpc_status(too_many_reads_error()));
  }

  void step() {
    if (is_cancelled_.load(std::memory_order_relaxed)) {
      Finish(grpc::Status::CANCELLED);
      return;
    }
    if (!has_begun_) {
      if (const Status begun = read_.begin(state_.store); !begun) {
        Finish(to_grpc_status(begun.error()));
        return;
      }
      has_begun_ = true;
    }
    const auto next = read_.step(response_);
    if (!next) {
      Finish(to_grpc_status(next.error()));
      return;
    }
    switch (*next) {
      case LogRead::Step::kMore:
        post_step();
        return;
      case LogRead::Step::kMessage:
        StartWrite(&response_);
        return;
      case LogRead::Step::kEnd:
        StartWriteAndFinish(&response_, grpc::WriteOptions(), grpc::Status::OK);
        return;
    }
  }

  ApiState& state_;
  LogRead read_;
  bool has_begun_ = false;
  v1::ReadResponse response_;
  std::atomic<bool> is_cancelled_{false};
};

}  // namespace

grpc::ServerWriteReactor<v1::ReadResponse>* start_read_call(
    ApiState& state, const grpc::CallbackServerContext& context, const v1::ReadRequest& request) {
  const auto principal = admit(state.authority, context, Access::kToken);
  if (!principal) return new RefusedCall<v1::ReadResponse>(principal.error());
  auto read = LogRead::make(request);
  if (!read) return new RefusedCall<v1::ReadResponse>(read.error());
  if (const Status granted =
          note_denied(state.authority, **principal, (*principal)->check_subscribe(read->filter()));
      !granted) {
    return new RefusedCall<v1::ReadResponse>(granted.error());
  }
  return new ReadCall(state, std::move(read).value());
}

}  // namespace tidegate
