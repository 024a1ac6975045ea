#include "gateway/gateway_options.h"

#include <algorithm>
#include <chrono>
#include <sys/resource.h>
#include <utility>

#include "eventstore/base/check.h"
#include "gateway/ops/memory_guard.h"

namespace tidegate {
namespace {

// Descriptors that are neither connections nor the log's tables: its write-ahead log, listeners,
// loops, gRPC.
constexpr std::uint64_t kOtherFilesMin = 64;
constexpr std::uint64_t kOtherFilesMax = 256;

SessionLimits session_limits(const Config& config) {
  SessionLimits limits;
  limits.heartbeat_ms = static_cast<std::int64_t>(config.delivery_heartbeat_ms);
  limits.pong_ms = static_cast<std::int64_t>(config.delivery_pong_ms);
  limits.position_ms = static_cast<std::int64_t>(config.delivery_position_ms);
  limits.no_progress_ms = static_cast<std::int64_t>(config.delivery_no_progress_ms);
  limits.subscriptions = static_cast<std::uint32_t>(config.limits_subscriptions);
  limits.message_bytes = config.limits_message_bytes;
  limits.message_bytes_publisher = config.limits_publisher_message_bytes;
  limits.messages_per_second = static_cast<std::uint32_t>(config.limits_messages_per_second);
  limits.messages_burst = 2 * limits.messages_per_second;
  limits.message_bytes_per_second =
      static_cast<std::uint32_t>(config.limits_message_bytes_per_second);
  limits.message_bytes_burst = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(32 * config.limits_message_bytes_per_second, UINT32_MAX));
  return limits;
}

AdmissionRules admission_rules(const Config& config, std::uint64_t connections_max) {
  AdmissionRules rules;
  rules.pending_max = config.limits_unfinished_requests;
  rules.pending_per_address_max = config.limits_unfinished_requests_per_address;
  rules.connections_max = connections_max;
  rules.connections_per_address_max = config.limits_connections_per_address;
  rules.connections_per_subject_max = config.limits_connections_per_subject;
  rules.upgrades_per_second = static_cast<std::uint32_t>(config.limits_upgrades_per_second);
  for (const std::string& range : config.http_trusted_proxies) {
    rules.trusted_proxies.push_back(*IpRange::parse(range));  // read_config has checked it
  }
  rules.takes_proxy_header = config.http_proxy_protocol;
  rules.is_under_tls = config.tls_files().is_configured();
  rules.upgrade = {!config.has_authentication(), config.http_allowed_origins,
                   config.http_token_cookie, config.http_query_token};
  return rules;
}

}  // namespace

ListenAddress listen_address(const std::string& text) {
  auto address = parse_listen_address(text);
  TG_CHECK(address.has_value(), text);  // read_config has checked it
  return *std::move(address);
}

StoreOptions store_options(const Config& config, Clock& clock, StoreProbe& probe) {
  StoreOptions options;
  options.dir = config.log_store_dir;
  options.tail_bytes_max = config.log_store_tail_bytes;
  options.ingest_queue_bytes_max = config.log_store_ingest_queue_bytes;
  options.disk_soft_bytes = config.log_store_disk_soft_bytes;
  options.disk_hard_bytes = config.log_store_disk_hard_bytes;
  options.ballast_bytes = config.log_store_ballast_bytes;
  options.clock = &clock;
  options.probe = &probe;
  return options;
}

EngineOptions engine_options(const Config& config, const Clock& clock, ProjectionProbe& probe) {
  EngineOptions options;
  options.row_cache_bytes_max = config.projections_row_cache_bytes;
  options.built_in = config.projections_built_in;
  options.presence = config.projections_presence;
  options.clock = &clock;
  options.probe = &probe;
  return options;
}

BudgetRates budget_rates(const Config& config) {
  return {config.limits_publish_events_per_second, config.limits_publish_bytes_per_second,
          config.limits_replay_bytes_per_second};
}

NetOptions net_options(const Config& config, std::uint64_t connections_max,
                       const ServerIdentity* identity) {
  NetOptions options;
  options.identity = identity;
  options.http = listen_address(config.http_listen);
  options.io_threads = config.io_threads();
  options.admission = admission_rules(config, connections_max);
  options.head = {static_cast<std::uint32_t>(config.limits_request_bytes),
                  std::chrono::milliseconds(config.limits_request_ms)};
  options.limits = session_limits(config);
  options.server = "tidegate/" TIDEGATE_VERSION;
  return options;
}

GrpcOptions grpc_options(const Config& config, const ServerIdentity* identity, ApiProbe& probe,
                         const PressureGauge& pressure) {
  GrpcOptions options;
  options.listen = config.grpc_listen;
  options.version = TIDEGATE_VERSION;
  options.has_reflection = !config.has_authentication();
  options.identity = identity;
  options.probe = &probe;
  options.pressure = &pressure;
  return options;
}

std::uint64_t memory_ceiling(const Config& config) {
  if (config.limits_memory_bytes != 0) return config.limits_memory_bytes;
  return memory_of_machine() / 4 * 3;
}

void raise_open_files() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// A quarter is for the log's tables (storage.cc); and beside the connections there may be as many
// without a finished request, up to a limit.
std::uint64_t fit_connections(const Config& config) {
  rlimit limit = {};
  const std::uint64_t wanted = config.http_max_connections;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return wanted;
  const std::uint64_t files = limit.rlim_cur;
  const std::uint64_t taken = files / 4 + std::clamp(files / 4, kOtherFilesMin, kOtherFilesMax);
  const std::uint64_t left = files > taken ? files - taken : 2;
  const std::uint64_t pending = config.limits_unfinished_requests;
  if (wanted + std::min(wanted, pending) <= left) return wanted;
  return left > 2 * pending ? left - pending : left / 2;
}

}  // namespace tidegate
