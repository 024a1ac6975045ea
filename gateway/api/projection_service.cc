#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "gateway/api/access.h"
#include "gateway/api/paging.h"
#include "gateway/api/projection_messages.h"
#include "gateway/api/projection_query_call.h"
#include "gateway/api/projection_watch_call.h"
#include "gateway/api/refused_call.h"
#include "gateway/api/services.h"
#include "gateway/api/start_place.h"
#include "gateway/api/unary_call.h"
#include "gateway/api/watch_thread.h"
#include "gateway/api/work_thread.h"
#include "projections/definition.h"
#include "projections/fold.h"
#include "projections/trial.h"
#include "tidegate/v1/projection_service.grpc.pb.h"

namespace tidegate {
namespace {

constexpr std::uint32_t kTestRowsDefault = 100;
constexpr std::uint32_t kTestRowsMax = 10'000;

// A page of the list ends when it has so many bytes: definitions may be long, and a client takes
// messages of 4 MiB.
constexpr std::size_t kListBytesMax = std::size_t{1} << 20;

// Somebody who may administer.
struct Administrator {
  PrincipalRef principal;
  std::string client;
};

Result<Definition> to_definition(const std::string& text) {
  auto definition = Definition::parse(text);
  if (definition) return definition;
  return field_error("definition", definition.error().message, definition.error().code);
}

Status list_projections(const Engine& engine, const Principal& principal,
                        const v1::ListProjectionsRequest& request,
                        v1::ListProjectionsResponse& response) {
  const auto page_size = to_page_size(request.page_size(), {{"page_token", request.page_token()}});
  if (!page_size) return page_size.error();
  std::size_t bytes = 0;
  for (const ProjectionInfo& info : engine.list()) {
    // A page's end must not name what may not be seen either.
    if (info.name <= request.page_token() || !principal.check_projection(info.name)) continue;
    if (static_cast<std::size_t>(response.projections_size()) == *page_size ||
        bytes >= kListBytesMax) {
      response.set_next_page_token(response.projections().rbegin()->name());
      return {};
    }
    v1::Projection& added = *response.add_projections();
    set_projection(added, info, principal);
    bytes += added.ByteSizeLong();
  }
  return {};
}

// The part of the log that a test folds.
Result<TrialRange> to_trial_range(const EventStore& store, const Filter& filter,
                                  const v1::TestProjectionRequest& request) {
  if (request.limit() > kTestRowsMax) {
    return field_error("limit", fmt::format("must be 1-{}, is {}", kTestRowsMax, request.limit()));
  }
  StartPlace place = FromStart{};
  if (request.has_start()) {
    auto given = to_start_place(request.start(), "start");
    if (!given) return given.error();
    place = std::move(given).value();
  }
  const auto resolved = store.reader().resolve(place, filter);
  if (!resolved) return resolved.error();
  const auto start = require_ok(*resolved, store.log_id());
  if (!start) return start.error();
  TrialRange range;
  range.after = start->after;
  range.until = store.tail().head();
  if (request.until_sequence() != 0) range.until = std::min(range.until, request.until_sequence());
  if (range.until < range.after) range.until = range.after;
  range.rows_max = request.limit() == 0 ? kTestRowsDefault : request.limit();
  return range;
}

class ProjectionServiceImpl final : public v1::ProjectionService::CallbackService {
 public:
  explicit ProjectionServiceImpl(ApiState& state) : state_(state) {
    if (state.projections != nullptr)
      watches_ = std::make_unique<WatchThread>(*state.projections, state.drain);
  }

  grpc::ServerUnaryReactor* ApplyProjection(grpc::CallbackServerContext* context,
                                            const v1::ApplyProjectionRequest* request,
                                            v1::ApplyProjectionResponse* response) override {
    return administer(context, [=, this](const Administrator& who) {
      return apply(who, *request, *response->mutable_projection());
    });
  }
  grpc::ServerUnaryReactor* TestProjection(grpc::CallbackServerContext* context,
                                           const v1::TestProjectionRequest* request,
                                           v1::TestProjectionResponse* response) override;
  grpc::ServerUnaryReactor* ListProjections(grpc::CallbackServerContext* context,
                                            const v1::ListProjectionsRequest* request,
                                            v1::ListProjectionsResponse* response) override {
    return look(context, [=, this](const Principal& who) {
      return list_projections(*state_.projections, who, *request, *response);
    });
  }
  grpc::ServerUnaryReactor* GetProjection(grpc::CallbackServerContext* context,
                                          const v1::GetProjectionRequest* request,
                                          v1::GetProjectionResponse* response) override {
    return look(context, [=, this](const Principal& who) -> Status {
      if (const Status readable = check_reader(who, request->name()); !readable) return readable;
      const auto info = state_.projections->info(request->name());
      if (!info) return info.error();
      set_projection(*response->mutable_projection(), *info, who);
      return {};
    });
  }
  grpc::ServerUnaryReactor* PauseProjection(grpc::CallbackServerContext* context,
                                            const v1::PauseProjectionRequest* request,
                                            v1::PauseProjectionResponse* response) override {
    return change(context, "PauseProjection", *request, *response,
                  [=](Engine& engine) { return engine.pause(request->name()); });
  }
  grpc::ServerUnaryReactor* ResumeProjection(grpc::CallbackServerContext* context,
                                             const v1::ResumeProjectionRequest* request,
                                             v1::ResumeProjectionResponse* response) override {
    return change(context, "ResumeProjection", *request, *response,
                  [=](Engine& engine) { return engine.resume(request->name()); });
  }
  grpc::ServerUnaryReactor* RebuildProjection(grpc::CallbackServerContext* context,
                                              const v1::RebuildProjectionRequest* request,
                                              v1::RebuildProjectionResponse* response) override {
    return change(context, "RebuildProjection", *request, *response,
                  [=](Engine& engine) { return engine.rebuild(request->name()); });
  }
  grpc::ServerUnaryReactor* RollbackProjection(grpc::CallbackServerContext* context,
                                               const v1::RollbackProjectionRequest* request,
                                               v1::RollbackProjectionResponse* response) override {
    return change(context, "RollbackProjection", *request, *response,
                  [=](Engine& engine) { return engine.rollback(request->name()); });
  }
  grpc::ServerUnaryReactor* RetryProjection(grpc::CallbackServerContext* context,
                                            const v1::RetryProjectionRequest* request,
                                            v1::RetryProjectionResponse* response) override {
    return change(context, "RetryProjection", *request, *response,
                  [=](Engine& engine) { return engine.retry(request->name()); });
  }
  grpc::ServerUnaryReactor* SkipProjectionEvent(
      grpc::CallbackServerContext* context, const v1::SkipProjectionEventRequest* request,
      v1::SkipProjectionEventResponse* response) override {
    return change(context, "SkipProjectionEvent", *request, *response, [=](Engine& engine) {
      return engine.skip(request->name(), request->sequence());
    });
  }
  grpc::ServerUnaryReactor* DeleteProjection(grpc::CallbackServerContext* context,
                                             const v1::DeleteProjectionRequest* request,
                                             v1::DeleteProjectionResponse*) override {
    return administer(context, [=, this](const Administrator& who) -> Status {
      const Status permitted = check_change(who, "DeleteProjection", request->name());
      return permitted ? state_.projections->remove(request->name()) : permitted;
    });
  }
  grpc::ServerUnaryReactor* QueryProjection(grpc::CallbackServerContext* context,
                                            const v1::QueryProjectionRequest* request,
                                            v1::QueryProjectionResponse* response) override {
    const auto who = admit(state_.authority, *context, Access::kToken);
    if (!who) return finish_call(context, who.error());
    if (state_.projections == nullptr) return finish_call(context, switched_off_error());
    if (const Status readable = check_reader(**who, request->name()); !readable)
      return finish_call(context, readable);
    return start_query_call(state_, *context, *who, *request, *response);
  }
  grpc::ServerWriteReactor<v1::WatchProjectionResponse>* WatchProjection(
      grpc::CallbackServerContext* context, const v1::WatchProjectionRequest* request) override {
    if (watches_ != nullptr) return start_watch_call(state_, *watches_, *context, *request);
    const auto who = admit(state_.authority, *context, Access::kToken);
    return new RefusedCall<v1::WatchProjectionResponse>(who ? switched_off_error() : who.error());
  }

 private:
  // For everybody with a token; `work` runs on a read thread.
  template <typename Work>
  grpc::ServerUnaryReactor* look(grpc::CallbackServerContext* context, Work work) {
    const auto who = admit(state_.authority, *context, Access::kToken);
    if (!who) return finish_call(context, who.error());
    if (state_.projections == nullptr) return finish_call(context, switched_off_error());
    return answer_on_replay_thread(context, state_.store,
                                   [who = *who, work] { return work(*who); });
  }
  // For administrators, on a read thread as well.
  template <typename Work>
  grpc::ServerUnaryReactor* administer(grpc::CallbackServerContext* context, Work work) {
    const auto who = admit(state_.authority, *context, Access::kAdmin);
    if (!who) return finish_call(context, who.error());
    if (state_.projections == nullptr) return finish_call(context, switched_off_error());
    return answer_on_replay_thread(
        context, state_.store,
        [who = Administrator{*who, context->peer()}, work] { return work(who); });
  }
  template <typename Request, typename Response, typename Verb>
  grpc::ServerUnaryReactor* change(grpc::CallbackServerContext* context, std::string_view method,
                                   const Request& request, Response& response, Verb verb) {
    return administer(context, [=, this, &request, &response](const Administrator& who) -> Status {
      if (const Status permitted = check_change(who, method, request.name()); !permitted)
        return permitted;
      const auto info = verb(*state_.projections);
      if (!info) return info.error();
      set_projection(*response.mutable_projection(), *info, *who.principal);
      return {};
    });
  }

  void note(const Administrator& who, std::string_view method, std::string_view name) const {
    const std::string what = fmt::format("{} {}", method, name);
    state_.authority.audit().note({"admin", who.client, who.principal->subject, what});
  }
  Status check_reader(const Principal& who, const std::string& name) const;
  Status check_grants(const Administrator& who, const Filter& filter) const;
  Status check_grants(const Administrator& who, const ProjectionInfo& info) const;
  Status check_change(const Administrator& who, std::string_view method,
                      const std::string& name) const;
  Status apply(const Administrator& who, const v1::ApplyProjectionRequest& request,
               v1::Projection& out);
  Status test(const Administrator& who, const v1::TestProjectionRequest& request,
              const grpc::CallbackServerContext& context, v1::TestProjectionResponse& response);

  ApiState& state_;
  WorkThread trials_;
  std::unique_ptr<WatchThread> watches_;  // null: switched off
};

Status ProjectionServiceImpl::check_reader(const Principal& who, const std::string& name) const {
  if (const Status named = check_projection_field(name); !named) return named;
  return note_denied(state_.authority, who, who.check_projection(name));
}

Status ProjectionServiceImpl::check_grants(const Administrator& who, const Filter& filter) const {
  return note_denied(state_.authority, *who.principal, who.principal->check_subscribe(filter));
}

// Of every version: each may go live, or go for good. The refusal names no pattern: what the
// projection reads is told to those who may read it.
Status ProjectionServiceImpl::check_grants(const Administrator& who,
                                           const ProjectionInfo& info) const {
  for (const VersionInfo& version : info.versions) {
    const auto definition = Definition::parse(version.definition);
    // What cannot be read any more may have read anything.
    const Filter& filter = definition ? definition->filter : Filter::everything();
    if (who.principal->check_subscribe(filter)) continue;
    return note_denied(
        state_.authority, *who.principal,
        Error{Code::kForbidden,
              fmt::format("the token does not permit to read all streams of projection '{}'",
                          info.name)});
  }
  return {};
}

Status ProjectionServiceImpl::check_change(const Administrator& who, std::string_view method,
                                           const std::string& name) const {
  if (const Status named = check_projection_field(name); !named) return named;
  note(who, method, name);
  const auto info = state_.projections->info(name);
  if (!info) return info.error();
  return check_grants(who, *info);
}

Status ProjectionServiceImpl::apply(const Administrator& who,
                                    const v1::ApplyProjectionRequest& request,
                                    v1::Projection& out) {
  const auto definition = to_definition(request.definition());
  note(who, request.validate_only() ? "ApplyProjection (validate only)" : "ApplyProjection",
       definition ? definition->name : "");
  if (!definition) return definition.error();
  if (const Status granted = check_grants(who, definition->filter); !granted) return granted;
  if (request.validate_only()) {
    const auto fold = make_fold(*definition);
    if (!fold) return field_error("definition", fold.error().message, fold.error().code);
    out.set_name(definition->name);
    out.set_description(definition->description);
    return {};
  }
  if (const auto before = state_.projections->info(definition->name); before) {
    if (const Status granted = check_grants(who, *before); !granted) return granted;
  }
  const auto info = state_.projections->apply(request.definition());
  if (!info) {
    return info.error().code == Code::kBadArgument ? field_error("definition", info.error().message)
                                                   : info.error();
  }
  set_projection(out, *info, *who.principal);
  return {};
}

grpc::ServerUnaryReactor* ProjectionServiceImpl::TestProjection(
    grpc::CallbackServerContext* context, const v1::TestProjectionRequest* request,
    v1::TestProjectionResponse* response) {
  const auto principal = admit(state_.authority, *context, Access::kAdmin);
  if (!principal) return finish_call(context, principal.error());
  if (state_.projections == nullptr) return finish_call(context, switched_off_error());
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto status = std::make_shared<Status>();
  const bool is_started = trials_.try_start(
      [=, this, who = Administrator{*principal, context->peer()}] {
        *status = test(who, *request, *context, *response);
      },
      [=] { reactor->Finish(*status ? grpc::Status::OK : to_grpc_status(status->error())); });
  if (!is_started) {
    reactor->Finish(
        to_grpc_status(Error{Code::kOverloaded, "another definition is being tested", {}, 1000}));
  }
  return reactor;
}

Status ProjectionServiceImpl::test(const Administrator& who,
                                   const v1::TestProjectionRequest& request,
                                   const grpc::CallbackServerContext& context,
                                   v1::TestProjectionResponse& response) {
  const auto definition = to_definition(request.definition());
  note(who, "TestProjection", definition ? definition->name : "");
  if (!definition) return definition.error();
  if (const Status granted = check_grants(who, definition->filter); !granted) return granted;
  const auto range = to_trial_range(state_.store, definition->filter, request);
  if (!range) return range.error();
  const auto still_good = [&] { return check_still_good(state_.authority, *who.principal); };
  auto report = try_definition(state_.store, *definition, *range, [&] {
    return !context.IsCancelled() && !state_.drain.is_set() && still_good().has_value();
  });
  if (state_.drain.is_set()) return draining_error();
  if (const Status good = still_good(); !good) return good;
  if (!report) return report.error();
  set_test_response(response, std::move(report).value());
  return {};
}

}  // namespace

std::unique_ptr<grpc::Service> make_projection_service(ApiState& state) {
  return std::make_unique<ProjectionServiceImpl>(state);
}

}  // namespace tidegate
