#include <string>

#include <fmt/format.h>

#include "eventstore/filter.h"
#include "gateway/api/access.h"
#include "gateway/api/paging.h"
#include "gateway/api/services.h"
#include "gateway/api/start_place.h"
#include "gateway/api/unary_call.h"
#include "tidegate/v1/cursor_service.grpc.pb.h"

namespace tidegate {
namespace {

void set_cursor(v1::Cursor& out, const EventStore& store, const std::string& name,
                const CursorState& state) {
  const Sequence sequence = state.position.sequence;
  const Sequence head = store.tail().head();
  out.set_name(name);
  out.set_position(state.position.text());
  out.set_sequence(sequence);
  out.set_behind(head > sequence ? head - sequence : 0);
  if (state.acknowledged_time_us > 0)
    set_time(*out.mutable_acknowledged(), state.acknowledged_time_us);
  out.set_generation(state.generation);
  out.set_lapsed(sequence + 1 < store.floor());
}

Status check_name(const std::string& name) {
  const Status valid = check_stream_name(name);
  if (valid) return {};
  return field_error("name", valid.error().message);
}

// Below the hard floor of disk space nothing is written that does not free some.
Status check_writable(const EventStore& store) {
  if (!store.status().cursors_refused) return {};
  return Error{Code::kDiskLow, "disk space is low: cursors cannot be moved until some is free"};
}

Error no_cursor(const std::string& name) {
  return {Code::kNotFound, fmt::format("there is no cursor {}", name)};
}

Status list_cursors(EventStore& store, const std::string& owner,
                    const v1::ListCursorsRequest& request, v1::ListCursorsResponse& response) {
  const auto page_size = to_page_size(
      request.page_size(), {{"prefix", request.prefix()}, {"page_token", request.page_token()}});
  if (!page_size) return page_size.error();
  // One more than asked for tells whether there is another page.
  auto cursors =
      store.cursors().list(owner, request.prefix(), request.page_token(), *page_size + 1);
  if (!cursors) return cursors.error();
  if (cursors->size() > *page_size) {
    cursors->resize(*page_size);
    response.set_next_page_token(cursors->back().name);
  }
  for (const NamedCursor& cursor : *cursors) {
    set_cursor(*response.add_cursors(), store, cursor.name, cursor.state);
  }
  return {};
}

Status find_cursor(EventStore& store, const std::string& owner, const std::string& name,
                   v1::Cursor& out) {
  if (const Status valid = check_name(name); !valid) return valid;
  const auto state = store.cursors().find(owner, name);
  if (!state) return state.error();
  if (!state->has_value()) return no_cursor(name);
  set_cursor(out, store, name, **state);
  return {};
}

Result<Position> resolve_target(const EventStore& store, const v1::Start& to) {
  const auto place = to_start_place(to, "to");
  if (!place) return place.error();
  if (std::holds_alternative<LastN>(*place)) {
    return field_error("to.last", "a cursor has no filter: name a sequence, a position or a time");
  }
  const auto resolved = store.reader().resolve(*place, Filter::everything());
  if (!resolved) return resolved.error();
  const auto start = require_ok(*resolved, store.log_id());
  if (!start) return start.error();
  return start->position;
}

Status seek_cursor(EventStore& store, const std::string& owner,
                   const v1::SeekCursorRequest& request, v1::SeekCursorResponse& response) {
  if (const Status valid = check_name(request.name()); !valid) return valid;
  const auto target = resolve_target(store, request.to());
  if (!target) return target.error();
  const auto before = store.cursors().find(owner, request.name());
  if (!before) return before.error();
  if (before->has_value()) response.set_previous_position((*before)->position.text());
  CursorState state = before->value_or(CursorState{});
  state.position = *target;
  ++state.generation;
  if (!request.dry_run()) {
    if (const Status writable = check_writable(store); !writable) return writable;
    const auto moved = store.cursors().seek(owner, request.name(), *target);
    if (!moved) return moved.error();
    state = *moved;
  }
  set_cursor(*response.mutable_cursor(), store, request.name(), state);
  return {};
}

class CursorServiceImpl final : public v1::CursorService::CallbackService {
 public:
  explicit CursorServiceImpl(ApiState& state) : state_(state) {}

  grpc::ServerUnaryReactor* ListCursors(grpc::CallbackServerContext* context,
                                        const v1::ListCursorsRequest* request,
                                        v1::ListCursorsResponse* response) override {
    return answer(context, [=, this](const std::string& owner) {
      return list_cursors(state_.store, owner, *request, *response);
    });
  }
  grpc::ServerUnaryReactor* GetCursor(grpc::CallbackServerContext* context,
                                      const v1::GetCursorRequest* request,
                                      v1::GetCursorResponse* response) override {
    return answer(context, [=, this](const std::string& owner) {
      return find_cursor(state_.store, owner, request->name(), *response->mutable_cursor());
    });
  }
  grpc::ServerUnaryReactor* SeekCursor(grpc::CallbackServerContext* context,
                                       const v1::SeekCursorRequest* request,
                                       v1::SeekCursorResponse* response) override {
    return answer(context, [=, this](const std::string& owner) {
      return seek_cursor(state_.store, owner, *request, *response);
    });
  }
  grpc::ServerUnaryReactor* DeleteCursor(grpc::CallbackServerContext* context,
                                         const v1::DeleteCursorRequest* request,
                                         v1::DeleteCursorResponse*) override {
    return answer(context, [=, this](const std::string& owner) -> Status {
      if (const Status valid = check_name(request->name()); !valid) return valid;
      if (const Status writable = check_writable(state_.store); !writable) return writable;
      return state_.store.cursors().remove(owner, request->name());
    });
  }

 private:
  // Everybody works on the cursors that are its own.
  template <typename Work>
  grpc::ServerUnaryReactor* answer(grpc::CallbackServerContext* context, Work work) {
    const auto who = admit(state_.authority, *context, Access::kToken);
    if (!who) return finish_call(context, who.error());
    return answer_on_replay_thread(context, state_.store,
                                   [who = *who, work] { return work(who->owner); });
  }

  ApiState& state_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_cursor_service(ApiState& state) {
  return std::make_unique<CursorServiceImpl>(state);
}

}  // namespace tidegate
