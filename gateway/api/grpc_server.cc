#include "gateway/api/grpc_server.h"

#include <cerrno>
#include <cstring>
#include <netdb.h>
#include <string_view>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>

#include "eventstore/base/check.h"
#include "eventstore/base/clock.h"
#include "eventstore/base/text.h"
#include "gateway/api/api_state.h"
#include "gateway/api/call_counter.h"
#include "gateway/api/grpc_credentials.h"
#include "gateway/api/services.h"

namespace tidegate {
namespace {

// A batch of 4 MiB and room for its checks.
constexpr int kReceiveBytesMax = 5 << 20;

// Streams of one connection. A subscription client may put all of its sessions on one channel, and
// a session is one stream; what each may hold in memory is bounded, so that 1,024 of them stay
// below 64 MiB of receive windows.
constexpr int kStreamsMax = 1024;

// Memory for requests of all connections, gRPC's own bound; at it gRPC stops reading.
constexpr std::size_t kMemoryBytesMax = std::size_t{512} << 20;

constexpr int kMetadataBytesMax = 8 << 10;
constexpr int kKeepaliveMs = 30'000;
constexpr int kKeepaliveTimeoutMs = 10'000;
constexpr int kPingIntervalMinMs = 10'000;

struct HostPort {
  std::string host;  // without brackets
  std::string port;
};

Result<HostPort> split_listen(const std::string& listen) {
  const std::size_t colon = listen.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == listen.size()) {
    return Error{Code::kBadArgument, fmt::format("{} is not host:port", listen)};
  }
  std::string host = listen.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  // gRPC takes a larger number modulo 65,536.
  std::string port = listen.substr(colon + 1);
  if (parse_u64(port).value_or(UINT64_MAX) > 65'535) {
    return Error{Code::kBadArgument,
                 fmt::format("{} is not host:port: the port must be 0-65535", listen)};
  }
  return HostPort{std::move(host), std::move(port)};
}

// gRPC only says that it could not bind; the system says why.
std::string bind_failure(const HostPort& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (const int code = getaddrinfo(address.host.c_str(), address.port.c_str(), &hints, &found);
      code != 0) {
    return gai_strerror(code);
  }
  std::string reason = "the address cannot be used";
  const int probe = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (probe >= 0) {
    if (bind(probe, found->ai_addr, found->ai_addrlen) != 0 || listen(probe, 1) != 0) {
      reason = std::strerror(errno);
    }
    close(probe);
  }
  freeaddrinfo(found);
  return reason;
}

void set_channel_arguments(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kReceiveBytesMax);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsMax);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMetadataBytesMax);
  // Without it a second gateway on the same port would silently take half of the connections.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // Finds dead peers in 40 s. Clients may ping as often as each 10 s, also without a call, before
  // they are sent away.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kPingIntervalMinMs);
  builder.SetResourceQuota(grpc::ResourceQuota("tidegate").Resize(kMemoryBytesMax));
}

void count_calls(grpc::ServerBuilder& builder, ApiProbe& probe) {
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(make_call_counter(probe));
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
}

}  // namespace

struct GrpcServer::Parts {
  Parts(GrpcOptions given, EventStore& store, SessionHost& host, Engine* projections,
        Authority& authority, std::function<DeliveryCounts()> counts)
      : options(std::move(given)),
        state{store,
              host,
              projections,
              authority,
              std::move(counts),
              options.version,
              options.libraries,
              SystemClock().wall_us(),
              options.pressure,
              {},
              {ApiState::kQueriesPerOwnerMax, "queries"},
              {ApiState::kWatchesPerOwnerMax, "watches"}} {}

  GrpcOptions options;
  ApiState state;
  std::vector<std::unique_ptr<grpc::Service>> services;
  std::unique_ptr<GrpcCertificate> certificate;  // of TLS
  std::unique_ptr<grpc::Server> server;
};

GrpcServer::GrpcServer(GrpcOptions options, EventStore& store, SessionHost& host,
                       Engine* projections, Authority& authority,
                       std::function<DeliveryCounts()> counts)
    : parts_(std::make_unique<Parts>(std::move(options), store, host, projections, authority,
                                     std::move(counts))) {}

GrpcServer::~GrpcServer() {
  shutdown(std::chrono::milliseconds(0));
}

Result<std::string> GrpcServer::start() {
  TG_CHECK(parts_->server == nullptr);
  const std::string& listen = parts_->options.listen;
  const auto address = split_listen(listen);
  if (!address) return address.error();
  // Both are switches of the process that builders look at.
  grpc::EnableDefaultHealthCheckService(true);
  if (parts_->options.has_reflection) grpc::reflection::InitProtoReflectionServerBuilderPlugin();

  grpc::ServerBuilder builder;
  set_channel_arguments(builder);
  if (parts_->options.probe != nullptr) count_calls(builder, *parts_->options.probe);
  int port = 0;
  if (parts_->options.identity != nullptr) {
    auto certificate = GrpcCertificate::make(*parts_->options.identity->current());
    if (!certificate) return certificate.error();
    parts_->certificate = *std::move(certificate);
  }
  builder.AddListeningPort(
      listen,
      parts_->certificate ? parts_->certificate->credentials() : grpc::InsecureServerCredentials(),
      &port);
  ApiState& state = parts_->state;
  parts_->services.push_back(make_event_service(state));
  parts_->services.push_back(make_stream_service(state));
  parts_->services.push_back(make_cursor_service(state));
  parts_->services.push_back(make_projection_service(state));
  parts_->services.push_back(make_admin_service(state));
  for (const auto& service : parts_->services) builder.RegisterService(service.get());
  parts_->server = builder.BuildAndStart();
  if (parts_->server == nullptr || port == 0) {
    shutdown(std::chrono::milliseconds(0));
    return Error{Code::kUnavailable,
                 fmt::format("cannot listen for gRPC on {}: {}", listen, bind_failure(*address))};
  }
  return fmt::format("{}:{}", listen.substr(0, listen.rfind(':')), port);
}

Status GrpcServer::exchange_certificate() {
  if (!parts_->certificate) return {};
  return parts_->certificate->exchange(*parts_->options.identity->current());
}

void GrpcServer::begin_drain() {
  if (parts_->server != nullptr) {
    parts_->server->GetHealthCheckService()->SetServingStatus(false);
  }
  parts_->state.drain.set();
}

void GrpcServer::shutdown(std::chrono::milliseconds patience) {
  if (parts_->server == nullptr) return;
  begin_drain();
  parts_->server->Shutdown(std::chrono::system_clock::now() + patience);
  parts_->server->Wait();
  parts_->server.reset();
  parts_->services.clear();
}

}  // namespace tidegate
