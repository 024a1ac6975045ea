#include "gateway/api/read_call.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include <grpc/support/time.h>
#include <grpcpp/alarm.h>

#include "eventstore/base/guarded.h"
#include "gateway/api/access.h"
#include "gateway/api/error_details.h"
#include "gateway/api/log_read.h"
#include "gateway/api/refused_call.h"

namespace tidegate {
namespace {

// Within this long a read that waits ends with its token.
constexpr std::int64_t kWaitMs = 500;

gpr_timespec after_ms(std::int64_t ms) {
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(ms, GPR_TIMESPAN));
}

// One thing is under way at a time: a posted step, a write, or a wait for the budget; so nothing
// but the cancellation needs care. `Finish` comes from one of them; gRPC calls OnDone after it and
// after OnCancel has returned, so each finds the reactor alive.
class ReadCall final : public grpc::ServerWriteReactor<v1::ReadResponse> {
 public:
  ReadCall(ApiState& state, PrincipalRef principal, LogRead read)
      : state_(state), principal_(std::move(principal)), read_(std::move(read)) {
    go_on();
  }

  void OnWriteDone(bool ok) override {
    if (!ok) {
      Finish(grpc::Status::CANCELLED);
      return;
    }
    response_.Clear();
    go_on();
  }
  void OnCancel() override {
    wait_.with([](Wait& wait) {
      wait.is_cancelled = true;
      if (wait.alarm) wait.alarm->Cancel();
    });
  }
  void OnDone() override { delete this; }

 private:
  struct Wait {
    bool is_cancelled = false;
    std::unique_ptr<grpc::Alarm> alarm;  // of the last wait
  };

  // The next step, as soon as the budget permits. The first one waits too: else many short reads
  // would cost nothing.
  void go_on() {
    const std::int64_t wait_ms = principal_->charge_replay(0);
    if (wait_ms == 0) return post_step();
    wait_.with([&](Wait& wait) {
      // A new one each time: the callback of the one before may not have returned yet.
      wait.alarm = std::make_unique<grpc::Alarm>();
      // Under the lock, so that OnCancel finds it set; it is called on another thread.
      wait.alarm->Set(after_ms(wait.is_cancelled ? 0 : std::min(wait_ms, kWaitMs)),
                      [this](bool /*is_over*/) { on_waited(); });
    });
  }

  // Asks under the lock, which `go_on` may still hold: without it the call could end, and this
  // object with it, before that has let go.
  void on_waited() {
    if (!has_ended()) go_on();
  }

  // Whether the call must end, and has: it was cancelled, or its token is no longer good.
  bool has_ended() {
    if (is_cancelled()) {
      Finish(grpc::Status::CANCELLED);
      return true;
    }
    const Status good = check_still_good(state_.authority, *principal_);
    if (!good) Finish(to_grpc_status(good.error()));
    return !good;
  }

  bool is_cancelled() const {
    return wait_.with([](const Wait& wait) { return wait.is_cancelled; });
  }

  void post_step() {
    if (!state_.store.post_read([this] { step(); })) Finish(to_grpc_status(too_many_reads_error()));
  }

  void step() {
    if (has_ended()) return;
    if (!has_begun_) {
      if (const Status begun = read_.begin(state_.store); !begun) {
        Finish(to_grpc_status(begun.error()));
        return;
      }
      has_begun_ = true;
    }
    const auto next = read_.step(response_);
    principal_->charge_replay(read_.take_bytes_read());
    if (!next) {
      Finish(to_grpc_status(next.error()));
      return;
    }
    switch (*next) {
      case LogRead::Step::kMore:
        go_on();
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
  const PrincipalRef principal_;
  LogRead read_;
  bool has_begun_ = false;
  v1::ReadResponse response_;
  Guarded<Wait> wait_;
};

}  // namespace

grpc::ServerWriteReactor<v1::ReadResponse>* start_read_call(
    ApiState& state, const grpc::CallbackServerContext& context, const v1::ReadRequest& request) {
  auto principal = admit(state.authority, context, Access::kToken);
  if (!principal) return new RefusedCall<v1::ReadResponse>(principal.error());
  auto read = LogRead::make(request);
  if (!read) return new RefusedCall<v1::ReadResponse>(read.error());
  if (const Status granted =
          note_denied(state.authority, **principal, (*principal)->check_subscribe(read->filter()));
      !granted) {
    return new RefusedCall<v1::ReadResponse>(granted.error());
  }
  return new ReadCall(state, *std::move(principal), std::move(read).value());
}

}  // namespace tidegate
