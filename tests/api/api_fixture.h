#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "eventstore/base/guarded.h"
#include "gateway/api/grpc_server.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "projections/engine.h"
#include "tests/api/fake_session_host.h"
#include "tests/support/fake_authority.h"
#include "tests/support/store_fixture.h"
#include "tidegate/v1/admin_service.grpc.pb.h"
#include "tidegate/v1/cursor_service.grpc.pb.h"
#include "tidegate/v1/event_service.grpc.pb.h"
#include "tidegate/v1/projection_service.grpc.pb.h"
#include "tidegate/v1/stream_service.grpc.pb.h"

namespace tidegate::test {

// What a failed call said, taken apart.
struct Failure {
  grpc::StatusCode code = grpc::OK;
  std::string message;
  std::string reason;  // "ok" for a call that did not fail
  std::map<std::string, std::string> facts;
  std::vector<std::string> fields;
  std::vector<std::string> checks;  // "REVISION orders.1"
  std::int64_t retry_ms = 0;
};

inline Failure failure_of(const grpc::Status& status) {
  Failure failure{status.error_code(), status.error_message(), "ok", {}, {}, {}, 0};
  if (status.ok()) return failure;
  google::rpc::Status details;
  failure.reason = "no details: " + status.error_message();
  if (!details.ParseFromString(status.error_details())) return failure;
  for (const auto& any : details.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::BadRequest bad;
    google::rpc::PreconditionFailure precondition;
    google::rpc::RetryInfo retry;
    if (any.UnpackTo(&info)) {
      EXPECT_EQ(info.domain(), "tidegate");
      failure.reason = info.reason();
      failure.facts = {info.metadata().begin(), info.metadata().end()};
    } else if (any.UnpackTo(&bad)) {
      for (const auto& violation : bad.field_violations()) {
        failure.fields.push_back(violation.field());
      }
    } else if (any.UnpackTo(&precondition)) {
      for (const auto& violation : precondition.violations()) {
        failure.checks.push_back(violation.type() + " " + violation.subject());
      }
    } else if (any.UnpackTo(&retry)) {
      failure.retry_ms =
          retry.retry_delay().seconds() * 1000 + retry.retry_delay().nanos() / 1'000'000;
    }
  }
  return failure;
}

inline v1::CloudEvent cloud_event(const std::string& id, const std::string& type = "order.placed") {
  v1::CloudEvent event;
  event.set_id(id);
  event.set_source("/tests");
  event.set_type(type);
  event.set_text_data("{}");
  return event;
}

inline void add_event(v1::PublishRequest& request, const std::string& stream, const std::string& id,
                      const std::string& type = "order.placed") {
  v1::NewEvent* event = request.add_events();
  event->set_stream(stream);
  *event->mutable_event() = cloud_event(id, type);
}

inline v1::PublishRequest publish_request(const std::string& stream, const std::string& prefix,
                                          int count) {
  v1::PublishRequest request;
  for (int i = 1; i <= count; ++i) add_event(request, stream, prefix + std::to_string(i));
  return request;
}

// Counts the calls that ended, each as "EventService/Publish OK".
// Thread: any (internally synchronised).
class CallCounts final : public ApiProbe {
 public:
  void call_ended(std::string_view method, std::string_view status) override {
    counts_.with([&](Counts& counts) { ++counts[fmt::format("{} {}", method, status)]; });
  }
  std::map<std::string, int> all() const {
    return counts_.with([](const Counts& counts) { return counts; });
  }

 private:
  using Counts = std::map<std::string, int>;
  Guarded<Counts> counts_;
};

// A store with its projections, a server on a free port in front of them, and a channel to it.
class ApiTest : public StoreDirTest {
 protected:
  using ProjectionStub = v1::ProjectionService::Stub;

  void SetUp() override { start(); }

  void start() {
    EventStore& opened = open();
    EngineOptions options;
    options.built_in = false;
    options.clock = &clock_;
    auto engine = Engine::open(opened, options);
    ASSERT_TRUE(engine) << engine.error().message;
    engine_ = *std::move(engine);
    server_ = std::make_unique<GrpcServer>(GrpcOptions{.listen = "127.0.0.1:0",
                                                       .version = "1.2.3",
                                                       .libraries = {{"rocksdb", "7.8.3"}},
                                                       .probe = &calls_,
                                                       .pressure = &pressure_},
                                           opened, host_, engine_.get(), authority_, [] {
                                             return DeliveryCounts{11, 22, 3};
                                           });
    const auto address = server_->start();
    ASSERT_TRUE(address) << address.error().message;
    address_ = *address;
    channel_ = grpc::CreateChannel(address_, grpc::InsecureChannelCredentials());
    events_ = v1::EventService::NewStub(channel_);
    streams_ = v1::StreamService::NewStub(channel_);
    cursors_ = v1::CursorService::NewStub(channel_);
    projections_ = v1::ProjectionService::NewStub(channel_);
    admin_ = v1::AdminService::NewStub(channel_);
  }
  void stop() {
    if (server_) server_->shutdown(std::chrono::milliseconds(0));
    server_.reset();
    engine_.reset();
  }
  void TearDown() override {
    stop();
    StoreDirTest::TearDown();
  }

  // Every call of a test ends: with its own status or with this deadline.
  static void set_deadline(grpc::ClientContext& context) {
    context.set_deadline(std::chrono::system_clock::now() + kDeadline);
  }
  // Calls a unary method of a stub, as who has the token if one is given.
  template <typename Stub, typename Request, typename Response>
  static Failure call(Stub& stub,
                      grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                      const std::type_identity_t<Request>& request, Response& response,
                      const std::string& token = "") {
    grpc::ClientContext context;
    set_deadline(context);
    if (!token.empty()) context.AddMetadata("authorization", "Bearer " + token);
    return failure_of((stub.*method)(&context, request, &response));
  }
  Failure send(const v1::PublishRequest& request, v1::PublishResponse* response = nullptr) {
    v1::PublishResponse unused;
    return call(*events_, &v1::EventService::Stub::Publish, request,
                response == nullptr ? unused : *response);
  }
  // Somebody whose token is the name, until `expires_s`; from now on everybody needs a token.
  void know(const std::string& name, const std::vector<std::string>& subscribe,
            bool is_admin = false, std::int64_t expires_s = 0) {
    Principal made;
    made.owner = made.subject = name;
    for (const std::string& pattern : subscribe) made.subscribe.push_back(*Pattern::parse(pattern));
    made.is_admin = is_admin;
    made.expires_s = expires_s;
    authority_.know(name, std::move(made));
  }
  // Publishes what must succeed.
  v1::PublishResponse put(const v1::PublishRequest& request) {
    v1::PublishResponse response;
    const Failure failure = send(request, &response);
    EXPECT_EQ(failure.reason, "ok") << failure.message;
    return response;
  }

  CallCounts calls_;
  PressureGauge pressure_;
  FakeSessionHost host_;
  FakeAuthority authority_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<GrpcServer> server_;
  std::string address_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::EventService::Stub> events_;
  std::unique_ptr<v1::StreamService::Stub> streams_;
  std::unique_ptr<v1::CursorService::Stub> cursors_;
  std::unique_ptr<ProjectionStub> projections_;
  std::unique_ptr<v1::AdminService::Stub> admin_;
};

}  // namespace tidegate::test
