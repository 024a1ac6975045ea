#include <algorithm>
#include <string>
#include <utility>

#include <fmt/core.h>
#include <google/protobuf/stubs/common.h>
#include <grpcpp/grpcpp.h>

#include "gateway/api/access.h"
#include "gateway/api/refused_call.h"
#include "gateway/api/services.h"
#include "gateway/api/start_place.h"
#include "gateway/api/unary_call.h"
#include "gateway/api/verify_call.h"
#include "tidegate/v1/admin_service.grpc.pb.h"

namespace tidegate {
namespace {

std::string state_name(const ApiState& state, const StoreStatus& store) {
  if (state.drain.is_set()) return "draining";
  return store.disk_low ? "disk_low" : "serving";
}

std::string fmt_version() {
  return fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100);
}

Status fill_status(const ApiState& state, v1::GetStatusResponse& out) {
  const StoreStatus store = state.store.status();
  const DeliveryCounts counts = state.counts();
  const Head head = state.store.tail().durable_head();
  out.set_version(state.version);
  set_time(*out.mutable_started(), state.started_us);
  out.set_state(state_name(state, store));
  out.set_connections(counts.connections);
  out.set_subscriptions(counts.subscriptions);
  out.set_behind(counts.behind);
  out.set_position(Position::at(state.store.log_id(), head.sequence, head.chain).text());
  out.set_ingest_queue_bytes(store.ingest_queue_bytes);
  out.set_tail_bytes(store.tail_bytes);
  out.set_disk_free_bytes(store.disk_free_bytes);
  auto& libraries = *out.mutable_libraries();
  for (const auto& [name, version] : state.libraries) libraries[name] = version;
  libraries["grpc"] = grpc::Version();
  libraries["protobuf"] = google::protobuf::internal::VersionString(GOOGLE_PROTOBUF_VERSION);
  libraries["fmt"] = fmt_version();
  return {};
}

Status fill_log(const EventStore& store, v1::GetLogResponse& out) {
  const auto info = store.log_info();
  if (!info) return info.error();
  out.set_log_id(std::string(info->log.text()));
  out.set_head(info->head.sequence);
  out.set_position(info->head.text());
  out.set_floor(info->floor);
  for (const Branch& branch : info->lineage) {
    v1::Branch* made = out.add_lineage();
    made->set_log_id(std::string(branch.log.text()));
    made->set_fork_sequence(branch.fork);
    set_time(*made->mutable_time(), branch.time_us);
    made->set_reason(branch.reason);
  }
  out.set_bytes(info->bytes);
  return {};
}

// The first event that stays: the one after the place.
Result<Sequence> first_to_stay(const EventStore& store, const v1::Start& before) {
  const auto place = to_start_place(before, "before");
  if (!place) return place.error();
  if (std::holds_alternative<LastN>(*place)) {
    return field_error("before.last", "is not possible: name a sequence, a position or a time");
  }
  const auto resolved = store.reader().resolve(*place, Filter::everything());
  if (!resolved) return resolved.error();
  // What is gone already needs no trimming.
  if (resolved->outcome == ResolvedStart::Outcome::kTrimmed) return store.floor();
  const auto start = require_ok(*resolved, store.log_id());
  if (!start) return start.error();
  return start->after + 1;
}

Status trim_log(EventStore& store, const v1::TrimLogRequest& request, v1::TrimLogResponse& out) {
  const auto before = first_to_stay(store, request.before());
  if (!before) return before.error();
  const Sequence old_floor = store.floor();
  Sequence floor = std::max(old_floor, *before);
  if (!request.dry_run() && floor > old_floor) {
    const auto trimmed = store.trim(floor);
    if (!trimmed) return trimmed.error();
    floor = *trimmed;
  }
  out.set_floor(floor);
  out.set_removed(floor > old_floor ? floor - old_floor : 0);
  return {};
}

Result<Revocation> to_revocation(const v1::RevokeTokensRequest& request) {
  Revocation revocation;
  revocation.expires_s = request.until().seconds();
  switch (request.which_case()) {
    case v1::RevokeTokensRequest::kTokenId:
      if (request.has_issued_before())
        return field_error("issued_before", "is of a subject's tokens, not of one token");
      revocation.kind = Revocation::Kind::kToken;
      revocation.name = request.token_id();
      return revocation;
    case v1::RevokeTokensRequest::kSubject:
      revocation.kind = request.has_issued_before() ? Revocation::Kind::kSubjectBefore
                                                    : Revocation::Kind::kSubject;
      revocation.name = request.subject();
      revocation.issued_before_s = request.issued_before().seconds();
      return revocation;
    case v1::RevokeTokensRequest::WHICH_NOT_SET:
      break;
  }
  return field_error("token_id", "or subject must say which tokens are meant");
}

class AdminServiceImpl final : public v1::AdminService::CallbackService {
 public:
  explicit AdminServiceImpl(ApiState& state) : state_(state) {}

  grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* context,
                                      const v1::GetStatusRequest*,
                                      v1::GetStatusResponse* response) override {
    if (const auto who = admit_admin(*context, "GetStatus"); !who) return finish_call(context, who);
    return answer_on_replay_thread(context, state_.store,
                                   [=, this] { return fill_status(state_, *response); });
  }
  grpc::ServerUnaryReactor* GetLog(grpc::CallbackServerContext* context, const v1::GetLogRequest*,
                                   v1::GetLogResponse* response) override {
    if (const auto who = admit_admin(*context, "GetLog"); !who) return finish_call(context, who);
    return answer_on_replay_thread(context, state_.store,
                                   [=, this] { return fill_log(state_.store, *response); });
  }
  grpc::ServerWriteReactor<v1::VerifyLogResponse>* VerifyLog(grpc::CallbackServerContext* context,
                                                             const v1::VerifyLogRequest*) override {
    if (const auto who = admit_admin(*context, "VerifyLog"); !who)
      return new RefusedCall<v1::VerifyLogResponse>(who.error());
    return start_verify_call(state_.store, verify_thread_);
  }
  grpc::ServerUnaryReactor* TrimLog(grpc::CallbackServerContext* context,
                                    const v1::TrimLogRequest* request,
                                    v1::TrimLogResponse* response) override {
    if (const auto who = admit_admin(*context, "TrimLog"); !who) return finish_call(context, who);
    return answer_on_replay_thread(
        context, state_.store, [=, this] { return trim_log(state_.store, *request, *response); });
  }

  grpc::ServerUnaryReactor* RevokeTokens(grpc::CallbackServerContext* context,
                                         const v1::RevokeTokensRequest* request,
                                         v1::RevokeTokensResponse*) override {
    if (const auto who = admit_admin(*context, "RevokeTokens"); !who)
      return finish_call(context, who);
    // On a read thread, because it writes a file.
    return answer_on_replay_thread(context, state_.store, [=, this]() -> Status {
      const auto revocation = to_revocation(*request);
      if (!revocation) return revocation.error();
      return state_.authority.revoke(*revocation);
    });
  }

 private:
  Status admit_admin(const grpc::CallbackServerContext& context, std::string_view method) const {
    const auto principal = admit(state_.authority, context, Access::kAdmin);
    if (!principal) return principal.error();
    state_.authority.audit().note({"admin", context.peer(), (*principal)->subject, method});
    return {};
  }

  ApiState& state_;
  WorkThread verify_thread_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_admin_service(ApiState& state) {
  return std::make_unique<AdminServiceImpl>(state);
}

}  // namespace tidegate
