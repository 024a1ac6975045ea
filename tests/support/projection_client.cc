#include "tests/support/projection_client.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "tests/support/history_checker.h"
#include "tidegate/v1/event_service.grpc.pb.h"
#include "tidegate/v1/projection_service.grpc.pb.h"

namespace tidegate::test {
namespace {

constexpr std::chrono::seconds kProjectionCallTime{60};

std::shared_ptr<grpc::Channel> projection_channel(const std::string& address) {
  grpc::ChannelArguments arguments;
  // A subchannel of its own, without the backoff of an earlier one to the same address.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetMaxReceiveMessageSize(64 << 20);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

// One call with the usual deadline.
template <typename Stub, typename Request, typename Response>
grpc::Status call_with_deadline(Stub& stub,
                                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request, Response& response) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kProjectionCallTime);
  return (stub.*method)(&context, request, &response);
}

// The version that folds to become the live one; the live one when there is none.
std::uint32_t coming_version(const grpc::Status& status, const v1::Projection& projection) {
  EXPECT_TRUE(status.ok()) << status.error_message();
  std::uint32_t number = 0;
  for (const v1::ProjectionVersion& version : projection.versions()) {
    if (version.state() == v1::VERSION_STATE_BUILDING) return version.number();
    if (version.state() == v1::VERSION_STATE_LIVE) number = version.number();
  }
  return number;
}

std::string next_event_id() {
  static std::atomic<std::uint64_t> last = 0;
  return fmt::format("change-{}", ++last);
}

}  // namespace

std::uint64_t hash_of(const HeldRows& rows) {
  std::uint64_t hash = 0;
  for (const auto& [key, row] : rows)
    hash = event_hash(std::to_string(hash), key, std::to_string(row.sequence), row.document);
  return hash;
}

std::string difference(const HeldRows& found, const HeldRows& expected) {
  const auto text = [](const HeldRows& rows, const std::string& key) {
    const auto row = rows.find(key);
    if (row == rows.end()) return std::string("no row");
    return fmt::format("{} @ {}", row->second.document, row->second.sequence);
  };
  for (const HeldRows* rows : {&found, &expected}) {
    for (const auto& [key, row] : *rows) {
      const std::string one = text(found, key);
      const std::string other = text(expected, key);
      if (one != other) return fmt::format("'{}': found {}, expected {}", key, one, other);
    }
  }
  return "";
}

Sequence HeldSnapshot::sequence() const {
  const std::size_t dot = position.find('.');
  return dot == std::string::npos ? 0 : std::strtoull(position.c_str() + dot + 1, nullptr, 10);
}

struct ProjectionClient::Stubs {
  explicit Stubs(const std::string& address)
      : channel(projection_channel(address)),
        events(v1::EventService::NewStub(channel)),
        projections(v1::ProjectionService::NewStub(channel)) {}
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::EventService::Stub> events;
  std::unique_ptr<v1::ProjectionService::Stub> projections;
};

ProjectionClient::ProjectionClient(const std::string& grpc_address)
    : stubs_(std::make_unique<Stubs>(grpc_address)) {}

ProjectionClient::~ProjectionClient() = default;

std::string ProjectionClient::publish(const std::vector<ChangeEvent>& events) {
  v1::PublishRequest request;
  for (const ChangeEvent& change : events) {
    v1::NewEvent& added = *request.add_events();
    added.set_stream(change.stream);
    added.mutable_event()->set_id(next_event_id());
    added.mutable_event()->set_source("/changes");
    added.mutable_event()->set_type(change.type);
    added.mutable_event()->set_text_data(change.data);
  }
  v1::PublishResponse response;
  const grpc::Status status =
      call_with_deadline(*stubs_->events, &v1::EventService::Stub::Publish, request, response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response.position();
}

std::uint32_t ProjectionClient::apply(const std::string& definition) {
  v1::ApplyProjectionRequest request;
  request.set_definition(definition);
  v1::ApplyProjectionResponse response;
  const grpc::Status status = call_with_deadline(
      *stubs_->projections, &v1::ProjectionService::Stub::ApplyProjection, request, response);
  return coming_version(status, response.projection());
}

std::uint32_t ProjectionClient::rebuild(const std::string& name) {
  v1::RebuildProjectionRequest request;
  request.set_name(name);
  v1::RebuildProjectionResponse response;
  const grpc::Status status = call_with_deadline(
      *stubs_->projections, &v1::ProjectionService::Stub::RebuildProjection, request, response);
  return coming_version(status, response.projection());
}

std::uint32_t ProjectionClient::rollback(const std::string& name) {
  v1::RollbackProjectionRequest request;
  request.set_name(name);
  v1::RollbackProjectionResponse response;
  const grpc::Status status = call_with_deadline(
      *stubs_->projections, &v1::ProjectionService::Stub::RollbackProjection, request, response);
  return coming_version(status, response.projection());
}

std::optional<v1::Projection> ProjectionClient::info(const std::string& name) {
  v1::GetProjectionRequest request;
  request.set_name(name);
  v1::GetProjectionResponse response;
  const grpc::Status status = call_with_deadline(
      *stubs_->projections, &v1::ProjectionService::Stub::GetProjection, request, response);
  if (!status.ok()) return std::nullopt;
  return response.projection();
}

bool ProjectionClient::wait_live(const std::string& name, std::uint32_t number, Milliseconds time) {
  const auto is_live = [&] {
    const std::optional<v1::Projection> projection = info(name);
    if (!projection) return false;
    return std::any_of(projection->versions().begin(), projection->versions().end(),
                       [number](const v1::ProjectionVersion& version) {
                         return version.number() == number &&
                                version.state() == v1::VERSION_STATE_LIVE;
                       });
  };
  return eventually(is_live, time);
}

std::optional<v1::QueryProjectionResponse> ProjectionClient::query(
    const v1::QueryProjectionRequest& request) {
  v1::QueryProjectionResponse response;
  const grpc::Status status = call_with_deadline(
      *stubs_->projections, &v1::ProjectionService::Stub::QueryProjection, request, response);
  if (!status.ok()) return std::nullopt;
  return response;
}

std::optional<HeldSnapshot> ProjectionClient::snapshot(const std::string& name) {
  v1::WatchProjectionRequest request;
  request.set_name(name);
  request.set_snapshot_only(true);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kProjectionCallTime);
  const auto stream = stubs_->projections->WatchProjection(&context, request);
  HeldSnapshot held;
  bool is_whole = false;
  for (v1::WatchProjectionResponse told; stream->Read(&told);) {
    if (told.reset()) held.rows.clear();
    for (const v1::ProjectionRow& row : told.rows()) {
      if (row.document().empty()) {
        held.rows.erase(row.key());
      } else {
        held.rows[row.key()] = {row.document(), row.sequence()};
      }
    }
    is_whole = told.snapshot_end();
    held.position = told.place().position();
    held.version = told.place().version();
  }
  if (!stream->Finish().ok() || !is_whole) return std::nullopt;
  return held;
}

std::optional<HeldSnapshot> ProjectionClient::snapshot_at(const std::string& name,
                                                          Sequence sequence) {
  v1::QueryProjectionRequest request;
  request.set_name(name);
  request.set_page_size(1);
  request.set_min_sequence(sequence);
  request.set_wait_ms(30'000);
  if (!query(request)) return std::nullopt;
  return snapshot(name);
}

}  // namespace tidegate::test
