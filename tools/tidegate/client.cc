#include "tools/tidegate/client.h"

#include <array>
#include <cstdlib>
#include <fstream>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <grpcpp/support/client_interceptor.h>

#include "eventstore/base/text.h"
#include "eventstore/base/whole_file.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "tools/tidegate/services.h"

namespace tidegate {
namespace {

// Above the gateway's largest answer: a batch of 4 MiB and its framing.
constexpr int kMessageBytesMax = 16 << 20;

bool is_host_and_port(std::string_view server) {
  const std::size_t colon = server.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const auto port = parse_u64(server.substr(colon + 1));
  const std::string_view host = server.substr(0, colon);
  const bool bare_ipv6 = host.find(':') != std::string_view::npos && !host.starts_with('[');
  return port && *port >= 1 && *port <= 65535 && !bare_ipv6 &&
         host.find_first_of("/ \t") == std::string_view::npos;
}

void take_detail(const google::protobuf::Any& any, Error& error) {
  google::rpc::ErrorInfo info;
  google::rpc::RetryInfo retry;
  google::rpc::BadRequest bad;
  google::rpc::PreconditionFailure failed;
  if (any.UnpackTo(&info)) {
    error.code = code_from_name(info.reason());
    for (const auto& [name, value] : info.metadata()) {
      error.details.push_back({ErrorDetail::Kind::kFact, name, value});
    }
  } else if (any.UnpackTo(&retry)) {
    const auto& delay = retry.retry_delay();
    error.retry_after_ms =
        static_cast<std::uint32_t>(delay.seconds() * 1000 + delay.nanos() / 1'000'000);
  } else if (any.UnpackTo(&bad)) {
    for (const auto& violation : bad.field_violations()) {
      error.details.push_back(
          {ErrorDetail::Kind::kField, violation.field(), violation.description()});
    }
  } else if (any.UnpackTo(&failed)) {
    for (const auto& violation : failed.violations()) {
      const auto kind = violation.type() == "ABSENT"    ? ErrorDetail::Kind::kAbsent
                        : violation.type() == "PRESENT" ? ErrorDetail::Kind::kPresent
                                                        : ErrorDetail::Kind::kRevision;
      error.details.push_back({kind, violation.subject(), violation.description()});
    }
  }
}

struct BareStatus {
  grpc::StatusCode status;
  Code code;
};
// What gRPC itself says, without Tidegate's details.
constexpr std::array<BareStatus, 8> kBareStatuses = {
    {{grpc::UNAVAILABLE, Code::kUnavailable},
     {grpc::DEADLINE_EXCEEDED, Code::kOutcomeUnknown},
     {grpc::UNIMPLEMENTED, Code::kUnsupported},
     {grpc::INVALID_ARGUMENT, Code::kBadArgument},
     {grpc::RESOURCE_EXHAUSTED, Code::kLimit},
     {grpc::UNAUTHENTICATED, Code::kUnauthenticated},
     {grpc::PERMISSION_DENIED, Code::kForbidden},
     {grpc::NOT_FOUND, Code::kNotFound}}};

namespace interception = grpc::experimental;
using Interceptors = std::vector<std::unique_ptr<interception::ClientInterceptorFactoryInterface>>;

// Adds the token to every call. gRPC's own call credentials refuse to do so without TLS.
class TokenSender final : public interception::Interceptor {
 public:
  explicit TokenSender(const std::string& value) : value_(value) {}
  void Intercept(interception::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            interception::InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      methods->GetSendInitialMetadata()->emplace("authorization", value_);
    }
    methods->Proceed();
  }

 private:
  const std::string& value_;
};

class TokenSenders final : public interception::ClientInterceptorFactoryInterface {
 public:
  explicit TokenSenders(const std::string& token) : value_("Bearer " + token) {}
  interception::Interceptor* CreateClientInterceptor(interception::ClientRpcInfo*) override {
    return new TokenSender(value_);
  }

 private:
  const std::string value_;
};

// "" for no file.
Result<std::string> text_of(const std::string& path) {
  if (path.empty()) return std::string();
  constexpr std::size_t kPemBytesMax = 256 << 10;
  auto file = read_whole_file(path, kPemBytesMax);
  if (!file) return Error{Code::kBadArgument, file.error().message};
  if (file->bytes.find("-----BEGIN ") == std::string::npos)
    return Error{Code::kBadArgument, fmt::format("'{}' is not a PEM file", path)};
  return std::move(file->bytes);
}

Result<std::shared_ptr<grpc::ChannelCredentials>> channel_credentials(const TlsChoice& tls) {
  if (!tls.is_wanted()) return grpc::InsecureChannelCredentials();
  if (tls.certificate_file.empty() != tls.key_file.empty())
    return Error{Code::kBadArgument, "--tls-cert and --tls-key need each other"};
  grpc::SslCredentialsOptions options;
  for (const auto& [path, text] : {std::pair{&tls.ca_file, &options.pem_root_certs},
                                   std::pair{&tls.certificate_file, &options.pem_cert_chain},
                                   std::pair{&tls.key_file, &options.pem_private_key}}) {
    auto read = text_of(*path);
    if (!read) return std::move(read).error();
    *text = *std::move(read);
  }
  return grpc::SslCredentials(options);
}

grpc::ChannelArguments channel_arguments() {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  arguments.SetMaxSendMessageSize(kMessageBytesMax);
  // A proxy for the web must not stand between an operator and a gateway.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Finds a gateway that has vanished without a word, in half a minute; the gateway allows a ping
  // every 10 s.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // This is what a connection and its handshake may take: a line around the world and a gateway
  // under load need some of it.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);
  // After a restart of the gateway the next attempt decides how soon a follower is back.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  return arguments;
}

std::shared_ptr<grpc::Channel> make_channel(
    const std::string& server, const std::string& token,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    const grpc::ChannelArguments& arguments) {
  Interceptors interceptors;
  if (!token.empty()) interceptors.push_back(std::make_unique<TokenSenders>(token));
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      "dns:///" + server, credentials, arguments, std::move(interceptors));
}

}  // namespace

bool is_retryable(const Error& error) {
  return code_info(error.code).retryable;
}

Result<std::string> read_token(const std::string& path) {
  if (path.empty()) return std::string();
  std::ifstream file(path);
  std::string token;
  if (file >> token) return token;
  return Error{Code::kBadArgument, fmt::format("cannot read a token from {}", path)};
}

Result<std::unique_ptr<Client>> Client::make(const Context& context) {
  auto token = read_token(context.token_file);
  if (!token) return std::move(token).error();
  if (token->empty()) *token = context.token;
  return make(context.server, *std::move(token), context.tls);
}

Result<std::unique_ptr<Client>> Client::make(std::string server, std::string token,
                                             const TlsChoice& tls) {
  if (!is_host_and_port(server)) {
    return Error{Code::kBadArgument,
                 fmt::format("'{}' is not HOST:PORT, e.g. 127.0.0.1:7090 or [::1]:7090", server)};
  }
  auto credentials = channel_credentials(tls);
  if (!credentials) return std::move(credentials).error();
  // The library's own lines on stderr would stand between ours; they say nothing that the status
  // does not.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  auto services = std::make_unique<Services>();
  const auto channel = make_channel(server, token, *credentials, channel_arguments());
  services->events = v1::EventService::NewStub(channel);
  services->streams = v1::StreamService::NewStub(channel);
  services->cursors = v1::CursorService::NewStub(channel);
  services->projections = v1::ProjectionService::NewStub(channel);
  services->admin = v1::AdminService::NewStub(channel);
  services->connect = [server, token, credentials = *credentials] {
    grpc::ChannelArguments arguments = channel_arguments();
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return make_channel(server, token, credentials, arguments);
  };
  return std::unique_ptr<Client>(
      new Client(std::move(server), std::move(token), std::move(services)));
}

Client::Client(std::string server, std::string token, std::unique_ptr<Services> services)
    : server_(std::move(server)), token_(std::move(token)), services_(std::move(services)) {}

Client::~Client() = default;

Error Client::error_of_end(const grpc::Status& status) const {
  if (status.ok() || status.error_code() == grpc::CANCELLED)
    return {Code::kUnavailable, server_ + " ended the call"};
  return error_from(status);
}

Error Client::error_from(const grpc::Status& status) const {
  Error error{Code::kInternal, status.error_message()};
  google::rpc::Status details;
  if (details.ParseFromString(status.error_details()) && details.details_size() > 0) {
    for (const auto& any : details.details()) take_detail(any, error);
    return error;
  }
  for (const BareStatus& bare : kBareStatuses) {
    if (bare.status == status.error_code()) error.code = bare.code;
  }
  if (error.code == Code::kUnavailable) {
    error.message =
        fmt::format("cannot reach {}: {}; is tidegated running? set --server or TIDEGATE_SERVER",
                    server_, status.error_message());
  } else if (error.code == Code::kOutcomeUnknown) {
    error.message = fmt::format("{} did not answer in time", server_);
  } else if (error.code == Code::kUnsupported) {
    error.message =
        fmt::format("{} does not know this call: {}; is it a tidegated of this version?", server_,
                    status.error_message());
  }
  return error;
}

Result<Position> Client::head() {
  v1::ReadRequest request;
  request.mutable_start()->set_edge(v1::EDGE_HEAD);
  request.set_limit(1);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kUnaryTimeout);
  const auto stream = services_->events->Read(&context, request);
  v1::ReadResponse response;
  std::string position;
  while (stream->Read(&response)) position = response.position();
  if (const grpc::Status status = stream->Finish(); !status.ok()) return error_from(status);
  return Position::parse(position);
}

}  // namespace tidegate
