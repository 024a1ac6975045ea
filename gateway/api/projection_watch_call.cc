#include "gateway/api/projection_watch_call.h"

#include <memory>
#include <optional>
#include <utility>

#include "eventstore/base/clock.h"
#include "gateway/api/access.h"
#include "gateway/api/error_details.h"
#include "gateway/api/projection_messages.h"
#include "gateway/api/refused_call.h"

namespace tidegate {
namespace {

// When nothing matches, the place that was reached is told so often; as for subscriptions.
constexpr std::int64_t kProgressMs = 5'000;
// How long a call that is to end waits for its client to take the message in flight.
constexpr std::int64_t kLastWriteMs = 5'000;
// How long a write that its client does not take may keep the commit it is told from in memory.
constexpr std::int64_t kHoldMs = 1'000;
// Steps without anything to tell, until others get their turn.
constexpr int kStepsPerTurn = 16;

// All but the callbacks of gRPC and the tasks of read threads runs on the watch thread. One thing
// is under way at a time (`is_busy_`): a task of a read thread or a write. `Finish` comes when
// nothing is.
class WatchCall final : public grpc::ServerWriteReactor<v1::WatchProjectionResponse>,
                        public WatchMember,
                        public std::enable_shared_from_this<WatchCall> {
 public:
  WatchCall(ApiState& state, WatchThread& thread, const grpc::CallbackServerContext& context,
            PrincipalRef principal, WatchRequest request, bool is_snapshot_only,
            std::shared_ptr<const void> place)
      : state_(state),
        thread_(thread),
        context_(context),
        principal_(std::move(principal)),
        request_(std::move(request)),
        is_snapshot_only_(is_snapshot_only),
        place_(std::move(place)) {}

  void start() {
    self_ = shared_from_this();
    thread_.post([self = self_] {
      self->thread_.add(self);
      // A drain that began since the call was admitted was told to the members of that moment.
      if (self->state_.drain.is_set()) return self->on_drain();
      self->go_on();
    });
  }

  void OnWriteDone(bool ok) override {
    thread_.post([self = shared_from_this(), ok] { self->on_written(ok); });
  }
  void OnCancel() override {
    thread_.post([self = shared_from_this()] { self->end(grpc::Status::CANCELLED); });
  }
  void OnDone() override {
    thread_.post([self = std::move(self_)] { self->thread_.remove(*self); });
  }

  void on_change() override { go_on(); }
  void on_tick(std::int64_t now_ms) override;
  void on_drain() override { end(to_grpc_status(draining_error())); }

 private:
  void go_on();
  void open();
  void on_opened(const Status& status);
  void read_step();
  void on_step(Result<WatchStep> step);
  // True when it began a write.
  bool tell(WatchStep step);
  void write();
  void on_written(bool ok);
  void end(grpc::Status status);
  void finish();

  ApiState& state_;
  WatchThread& thread_;
  const grpc::CallbackServerContext& context_;  // not after `finish`
  const PrincipalRef principal_;
  const WatchRequest request_;
  const bool is_snapshot_only_;
  const std::shared_ptr<const void> place_;  // among the owner's watches
  const SystemClock clock_{};
  std::shared_ptr<WatchCall> self_;  // until OnDone

  std::unique_ptr<Watch> watch_;  // null until it is open
  bool is_busy_ = false;
  bool is_writing_ = false;  // what it is busy with is a write
  bool is_finished_ = false;
  v1::WatchProjectionResponse response_;  // of the write in flight
  // Rows were told since the last place.
  bool owes_place_ = false;
  // Reached without anything to tell but itself.
  std::optional<WatchStep> progress_;
  std::int64_t told_ms_ = clock_.steady_ms();
  std::optional<grpc::Status> ending_;
  std::int64_t ending_ms_ = 0;
};

void WatchCall::on_tick(std::int64_t now_ms) {
  if (is_finished_) return;
  if (const Status good = check_still_good(state_.authority, *principal_); !good)
    end(to_grpc_status(good.error()));
  if (is_busy_) {
    if (ending_ && now_ms - ending_ms_ >= kLastWriteMs) context_.TryCancel();
    // Only then does no read thread work on it.
    if (is_writing_ && now_ms - told_ms_ >= kHoldMs) watch_->let_go();
    return;
  }
  if (progress_ && !ending_ && now_ms - told_ms_ >= kProgressMs) {
    set_watch_response(response_, *std::exchange(progress_, std::nullopt));
    return write();
  }
  // What waited for a place among the reads, or for the budget.
  go_on();
}

void WatchCall::go_on() {
  if (is_busy_ || is_finished_) return;
  if (ending_) return finish();
  if (watch_ == nullptr) return open();
  for (int i = 0; i < kStepsPerTurn; ++i) {
    switch (watch_->next()) {
      case Watch::Next::kNothing:
        return;
      case Watch::Next::kDisk:
        if (principal_->charge_replay(0) == 0) read_step();
        return;
      case Watch::Next::kMemory:
        if (tell(watch_->step_in_memory())) return;
        break;
    }
  }
  thread_.post([self = shared_from_this()] { self->go_on(); });
}

// When too many reads wait, on_tick tries again; so does `read_step`.
void WatchCall::open() {
  is_busy_ = state_.store.post_read([self = shared_from_this()] {
    auto opened = self->state_.projections->open_watch(self->request_);
    Status status;
    if (opened) {
      self->watch_ = *std::move(opened);
    } else {
      status = opened.error();
    }
    self->thread_.post([self, status] { self->on_opened(status); });
  });
}

void WatchCall::on_opened(const Status& status) {
  is_busy_ = false;
  if (!status) end(to_grpc_status(status.error()));
  go_on();
}

void WatchCall::read_step() {
  is_busy_ = state_.store.post_read([self = shared_from_this()] {
    auto step = self->watch_->step_from_disk();
    if (step) self->principal_->charge_replay(row_bytes(step->rows));
    self->thread_.post(
        [self, step = std::move(step)]() mutable { self->on_step(std::move(step)); });
  });
}

void WatchCall::on_step(Result<WatchStep> step) {
  is_busy_ = false;
  if (!step) end(to_grpc_status(step.error()));
  if (ending_ || is_finished_ || !tell(std::move(step).value())) go_on();
}

bool WatchCall::tell(WatchStep step) {
  const bool has_news = step.reset || !step.rows.empty() || step.snapshot_end;
  if (!has_news && !step.position) return false;
  if (!has_news && !owes_place_) {
    progress_ = std::move(step);
    return false;
  }
  progress_.reset();
  owes_place_ = !step.position.has_value();
  const bool is_last = is_snapshot_only_ && step.snapshot_end;
  set_watch_response(response_, std::move(step));
  if (!is_last) {
    write();
    return true;
  }
  is_finished_ = true;
  watch_.reset();  // the client may be long in taking the message
  StartWriteAndFinish(&response_, grpc::WriteOptions(), grpc::Status::OK);
  return true;
}

void WatchCall::write() {
  told_ms_ = clock_.steady_ms();
  is_busy_ = is_writing_ = true;
  StartWrite(&response_);
}

void WatchCall::on_written(bool ok) {
  is_busy_ = is_writing_ = false;
  response_.Clear();
  if (!ok) end(grpc::Status::CANCELLED);
  go_on();
}

void WatchCall::end(grpc::Status status) {
  if (ending_ || is_finished_) return;
  ending_ = std::move(status);
  ending_ms_ = clock_.steady_ms();
  if (!is_busy_) finish();
}

void WatchCall::finish() {
  is_finished_ = true;
  Finish(*ending_);
}

}  // namespace

grpc::ServerWriteReactor<v1::WatchProjectionResponse>* start_watch_call(
    ApiState& state, WatchThread& thread, const grpc::CallbackServerContext& context,
    const v1::WatchProjectionRequest& request) {
  const auto refuse = [](const Error& error) {
    return new RefusedCall<v1::WatchProjectionResponse>(error);
  };
  auto principal = admit_long(state.authority, context, Access::kToken, "WatchProjection");
  if (!principal) return refuse(principal.error());
  if (state.drain.is_set()) return refuse(draining_error());
  if (const Status named = check_projection_field(request.name()); !named)
    return refuse(named.error());
  const Status granted =
      note_denied(state.authority, **principal, (*principal)->check_projection(request.name()));
  if (!granted) return refuse(granted.error());
  auto watch = to_watch_request(request);
  if (!watch) return refuse(watch.error());
  auto place = state.watch_places.take(**principal);
  if (!place) return refuse(place.error());
  const auto call = std::make_shared<WatchCall>(state, thread, context, *std::move(principal),
                                                std::move(watch).value(), request.snapshot_only(),
                                                *std::move(place));
  call->start();
  return call.get();
}

}  // namespace tidegate
