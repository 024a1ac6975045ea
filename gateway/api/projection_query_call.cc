#include "gateway/api/projection_query_call.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "eventstore/base/guarded.h"
#include "gateway/api/access.h"
#include "gateway/api/error_details.h"
#include "gateway/api/projection_messages.h"
#include "gateway/api/start_place.h"
#include "gateway/api/unary_call.h"
#include "gateway/delivery/budget.h"
#include "gateway/delivery/engine_access.h"

namespace tidegate {
namespace {

constexpr std::int64_t kRetryMsMax = 60'000;
// As for watches on sessions.
constexpr std::uint32_t kPressureRetryMs = 5'000;

// The engine's answer, the cancellation and the drain may come at the same time: the first one
// decides. It is told when this call does not use store and engine any more (`is_busy`), since the
// server waits for its calls before those go. The engine may hold the call for longer, and with it
// its place: otherwise who begins and cancels queries fills the engine.
class QueryCall final : public grpc::ServerUnaryReactor,
                        public Drainable,
                        public std::enable_shared_from_this<QueryCall> {
 public:
  QueryCall(ApiState& state, PrincipalRef principal, RowQuery query,
            std::optional<Position> min_position, std::shared_ptr<const void> place,
            v1::QueryProjectionResponse& response)
      : state_(state),
        place_(std::move(place)),
        principal_(std::move(principal)),
        query_(std::move(query)),
        min_position_(min_position),
        response_(response) {}

  void start();

  void OnCancel() override { end(grpc::Status::CANCELLED); }
  void OnDone() override {
    state_.drain.unwatch(this);
    const auto last = std::move(self_);
  }
  void on_drain() override { end(to_grpc_status(draining_error())); }
  void on_tick() override;

 private:
  struct Phase {
    bool is_busy = true;
    bool is_finished = false;
    std::optional<grpc::Status> ending;
  };

  void resolve();
  void ask();
  void answer(Result<RowPage> page);
  void end(grpc::Status status);
  void release();
  void finish_if_due();

  ApiState& state_;                          // not after the call has ended
  const std::shared_ptr<const void> place_;  // among the owner's queries
  const PrincipalRef principal_;
  RowQuery query_;
  const std::optional<Position> min_position_;
  v1::QueryProjectionResponse& response_;  // as `state_`
  std::shared_ptr<QueryCall> self_;        // until OnDone
  Guarded<Phase> phase_;
};

void QueryCall::start() {
  self_ = shared_from_this();
  // What drains already answers, and does not wait.
  if (query_.wait_ms > 0 && !state_.drain.watch(self_)) query_.wait_ms = 0;
  if (!min_position_) return ask();
  if (state_.store.post_read([self = self_] { self->resolve(); })) return;
  end(to_grpc_status(too_many_reads_error()));
  release();
}

void QueryCall::resolve() {
  const auto sequence = check_min_position(state_.store, *min_position_);
  if (sequence) {
    query_.min_sequence = *sequence;
    return ask();
  }
  end(to_grpc_status(sequence.error()));
  release();
}

void QueryCall::ask() {
  state_.projections->query(std::move(query_), [self = shared_from_this()](Result<RowPage> page) {
    self->answer(std::move(page));
  });
  release();
}

void QueryCall::answer(Result<RowPage> page) {
  if (!page) return end(to_grpc_status(page.error()));
  principal_->charge_replay(row_bytes(page->rows));
  phase_.with([&](Phase& phase) {
    // The response is there as long as nobody has ended the call.
    if (phase.ending) return;
    // Who waited, or queued for a read, may not be who may read any more.
    if (const Status good = check_still_good(state_.authority, *principal_); !good) {
      phase.ending = to_grpc_status(good.error());
      return;
    }
    set_query_response(response_, std::move(page).value());
    phase.ending = grpc::Status::OK;
  });
  finish_if_due();
}

void QueryCall::on_tick() {
  phase_.with([&](Phase& phase) {
    if (phase.ending) return;
    const Status good = check_still_good(state_.authority, *principal_);
    if (!good) phase.ending = to_grpc_status(good.error());
  });
  finish_if_due();
}

void QueryCall::end(grpc::Status status) {
  phase_.with([&](Phase& phase) {
    if (!phase.ending) phase.ending = std::move(status);
  });
  finish_if_due();
}

void QueryCall::release() {
  phase_.with([](Phase& phase) { phase.is_busy = false; });
  finish_if_due();
}

void QueryCall::finish_if_due() {
  const auto status = phase_.with([](Phase& phase) -> std::optional<grpc::Status> {
    if (phase.is_busy || phase.is_finished || !phase.ending) return std::nullopt;
    phase.is_finished = true;
    return phase.ending;
  });
  if (status) Finish(*status);
}

Status check_memory(const PressureGauge* pressure) {
  if (pressure == nullptr || pressure->level() == Pressure::kNone) return {};
  return Error{
      Code::kOverloaded, "memory is short: no query is begun at the moment", {}, kPressureRetryMs};
}

// How long the call may wait: what its deadline leaves of `wait_ms`.
std::uint32_t within_deadline(const grpc::CallbackServerContext& context, std::uint32_t wait_ms) {
  const std::int64_t left_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                                   context.deadline() - std::chrono::system_clock::now())
                                   .count();
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(left_ms, 0, wait_ms));
}

}  // namespace

grpc::ServerUnaryReactor* start_query_call(ApiState& state, grpc::CallbackServerContext& context,
                                           const PrincipalRef& principal,
                                           const v1::QueryProjectionRequest& request,
                                           v1::QueryProjectionResponse& response) {
  if (const std::int64_t debt_ms = principal->charge_replay(0); debt_ms > kQueryDebtMsMax) {
    return finish_call(
        &context, Error{Code::kRateLimited,
                        "the subject reads more than its limit: come again later",
                        {},
                        static_cast<std::uint32_t>(std::min<std::int64_t>(debt_ms, kRetryMsMax))});
  }
  auto query = to_row_query(request);
  if (!query) return finish_call(&context, query.error());
  query->wait_ms = within_deadline(context, query->wait_ms);
  std::optional<Position> min_position;
  if (request.min_place_case() == v1::QueryProjectionRequest::kMinPosition) {
    const auto parsed = Position::parse(request.min_position());
    if (!parsed) {
      return finish_call(&context,
                         field_error("min_position", parsed.error().message, parsed.error().code));
    }
    min_position = *parsed;
  }
  if (const Status roomy = check_memory(state.pressure); !roomy)
    return finish_call(&context, roomy);
  auto place = state.query_places.take(*principal);
  if (!place) return finish_call(&context, place.error());
  const auto call = std::make_shared<QueryCall>(state, principal, std::move(query).value(),
                                                min_position, *std::move(place), response);
  call->start();
  return call.get();
}

}  // namespace tidegate
