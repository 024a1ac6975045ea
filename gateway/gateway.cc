#include "gateway/gateway.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <sys/resource.h>
#include <utility>

#include <fmt/format.h>

#include "eventstore/base/check.h"
#include "eventstore/base/clock.h"
#include "eventstore/event_store.h"
#include "gateway/api/grpc_server.h"
#include "gateway/auth/token_authority.h"
#include "gateway/net/admin_listener.h"
#include "gateway/net/net_server.h"
#include "gateway/ops/metrics.h"

namespace tidegate {
namespace {

constexpr int kDataError = 65;
constexpr int kOsError = 71;
constexpr int kConfigError = 78;
// A loop that has not come round for this long is stuck: its timer runs four times a second.
constexpr std::int64_t kStalledMs = 5'000;
// Descriptors that are neither connections nor the log's tables: its write-ahead log, listeners,
// loops, gRPC.
constexpr std::uint64_t kOtherFilesMin = 64;
constexpr std::uint64_t kOtherFilesMax = 256;
// Sessions that may come back per second when the gateway drains: a new gateway answers as many
// without a queue.
constexpr std::int64_t kDrainPerSecond = 500;
constexpr std::chrono::milliseconds kGrpcPatience{1000};
constexpr std::chrono::milliseconds kKeysPatience{3000};

ListenAddress address_of(const std::string& text) {
  auto address = parse_listen_address(text);
  TG_CHECK(address.has_value(), text);  // read_config has checked it
  return *std::move(address);
}

// Raises the limit of open files as far as it goes.
void raise_open_files() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// The connections that fit into the limit of open files: if they ran out of it, the log's files
// could not be opened, and that ends the process. A quarter is for the log's tables (storage.cc);
// and beside the connections there may be as many without a finished request, up to a limit.
std::uint64_t fit_connections(std::uint64_t wanted) {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return wanted;
  const std::uint64_t files = limit.rlim_cur;
  const std::uint64_t taken = files / 4 + std::clamp(files / 4, kOtherFilesMin, kOtherFilesMax);
  const std::uint64_t left = files > taken ? files - taken : 2;
  constexpr std::uint64_t kPending = NetOptions::kPendingMax;
  if (wanted + std::min(wanted, kPending) <= left) return wanted;
  return left > 2 * kPending ? left - kPending : left / 2;
}

SessionLimits session_limits(const Config& config) {
  SessionLimits limits;
  limits.heartbeat_ms = static_cast<std::int64_t>(config.delivery_heartbeat_ms);
  limits.pong_ms = static_cast<std::int64_t>(config.delivery_pong_ms);
  limits.position_ms = static_cast<std::int64_t>(config.delivery_position_ms);
  limits.no_progress_ms = static_cast<std::int64_t>(config.delivery_no_progress_ms);
  return limits;
}

StoreOptions store_options(const Config& config, SystemClock& clock, Metrics& metrics) {
  StoreOptions options;
  options.dir = config.log_store_dir;
  options.tail_bytes_max = config.log_store_tail_bytes;
  options.ingest_queue_bytes_max = config.log_store_ingest_queue_bytes;
  options.disk_soft_bytes = config.log_store_disk_soft_bytes;
  options.disk_hard_bytes = config.log_store_disk_hard_bytes;
  options.ballast_bytes = config.log_store_ballast_bytes;
  options.clock = &clock;
  options.probe = &metrics;
  return options;
}

// The tokens of the configured issuers, or development mode.
std::variant<std::unique_ptr<TokenAuthority>, Gateway::StartError> open_authority(
    const Config& config, const Clock& clock) {
  auto verifier = TokenVerifier::open(config.auth_issuers, clock);
  if (!verifier) return Gateway::StartError{kConfigError, verifier.error().message};
  // So that the first clients are not refused for want of keys. Why there are none is logged there.
  (*verifier)->wait_for_keys(kKeysPatience);
  const std::string path = config.auth_revocations_file.empty()
                               ? config.log_store_dir + "/REVOCATIONS"
                               : config.auth_revocations_file;
  auto revoked = Revocations::open(path, clock.wall_us() / 1'000'000);
  if (!revoked) return Gateway::StartError{kDataError, revoked.error().message};
  return std::make_unique<TokenAuthority>(*std::move(verifier), *std::move(revoked), clock);
}

NetOptions net_options(const Config& config, std::uint64_t connections_max) {
  NetOptions options;
  options.http = address_of(config.http_listen);
  options.io_threads = config.io_threads();
  options.connections_max = connections_max;
  options.limits = session_limits(config);
  options.upgrade = {!config.has_authentication(), config.http_allowed_origins,
                     config.http_token_cookie, config.http_query_token};
  options.server = "tidegate/" TIDEGATE_VERSION;
  return options;
}

}  // namespace

// In the order of construction; each part uses only those above it, and destruction goes the other
// way.
struct Gateway::Parts {
  Parts(const Config& gateway_config, std::unique_ptr<SystemClock> system_clock,
        std::unique_ptr<Metrics> store_metrics, std::unique_ptr<EventStore> opened,
        std::unique_ptr<TokenAuthority> token_authority)
      : config(gateway_config),
        clock(std::move(system_clock)),
        metrics(std::move(store_metrics)),
        store(std::move(opened)),
        tokens(std::move(token_authority)) {}
  // Ends gRPC first: its calls hold sessions on the loops.
  ~Parts() {
    admin.reset();
    grpc->shutdown(kGrpcPatience);
  }

  Readiness readiness() const;
  std::vector<TokenVerifier::IssuerHealth> issuers_health() const {
    if (!tokens) return {};
    return tokens->verifier().health();
  }
  DeliveryCounts counts() const {
    return {net.connections(), metrics->subscriptions(), metrics->subscribers_behind()};
  }

  const Config config;
  std::atomic<bool> is_draining{false};
  std::vector<Listener> listeners;

  // The time, for all that waits or measures.
  std::unique_ptr<SystemClock> clock;
  // Counts; everything below tells it what happens.
  std::unique_ptr<Metrics> metrics;
  // The log, with its appender, upkeep and read threads.
  std::unique_ptr<EventStore> store;
  // What tokens are worth; null in development mode.
  const std::unique_ptr<TokenAuthority> tokens;
  NoAuthority no_tokens;
  Authority& authority = tokens ? static_cast<Authority&>(*tokens) : no_tokens;
  // How many connections the limit of open files allows.
  const std::uint64_t connections_max = fit_connections(config.http_max_connections);
  // The I/O loops and the WebSocket listener; sessions live here.
  NetServer net{*store,   *clock,    *metrics,
                *metrics, authority, net_options(config, connections_max)};
  // The gRPC listener: publishing, reading, administration, and subscriptions whose sessions live
  // on the loops.
  std::unique_ptr<GrpcServer> grpc =
      std::make_unique<GrpcServer>(GrpcOptions{.listen = config.grpc_listen,
                                               .version = TIDEGATE_VERSION,
                                               .has_reflection = !config.has_authentication()},
                                   *store, net, authority, [this] { return counts(); });
  // The pages for operators, on a thread of its own.
  std::unique_ptr<AdminListener> admin = std::make_unique<AdminListener>(
      address_of(config.admin_listen), !config.has_authentication(), authority,
      AdminPages{[this] { return net.stalled_ms() < kStalledMs; }, [this] { return readiness(); },
                 [this] { return metrics->text(*store); }});
};

Readiness Gateway::Parts::readiness() const {
  Readiness readiness;
  const StoreStatus status = store->status();
  if (is_draining.load(std::memory_order_relaxed)) readiness.reasons.emplace_back("draining");
  if (net.stalled_ms() >= kStalledMs)
    readiness.reasons.emplace_back("an I/O loop does not come round");
  if (status.disk_low) {
    readiness.reasons.push_back(
        fmt::format("disk low: {} bytes free, publishes are refused below {}",
                    status.disk_free_bytes, config.log_store_disk_soft_bytes));
  }
  for (const auto& [issuer, keys] : issuers_health()) {
    if (keys.has_keys && keys.last_error.empty()) continue;
    readiness.notes.push_back(fmt::format("the keys of issuer {} {}", issuer,
                                          keys.has_keys
                                              ? "could not be read again: the old ones count"
                                              : "could not be fetched yet"));
  }
  if (connections_max < config.http_max_connections) {
    readiness.notes.push_back(
        fmt::format("only {} of {} connections: the limit of open files is too low",
                    connections_max, config.http_max_connections));
  }
  return readiness;
}

std::variant<std::unique_ptr<Gateway>, Gateway::StartError> Gateway::start(const Config& config) {
  raise_open_files();
  auto clock = std::make_unique<SystemClock>();
  auto metrics = std::make_unique<Metrics>(TIDEGATE_VERSION);
  auto opened = EventStore::open(store_options(config, *clock, *metrics));
  if (const auto* error = std::get_if<EventStore::OpenError>(&opened)) {
    return StartError{error->exit_code, error->error.message};
  }
  std::unique_ptr<TokenAuthority> tokens;
  if (config.has_authentication()) {
    auto authority = open_authority(config, *clock);
    if (const auto* error = std::get_if<StartError>(&authority)) return *error;
    tokens = std::move(std::get<0>(authority));
  }
  auto parts = std::make_unique<Parts>(config, std::move(clock), std::move(metrics),
                                       std::move(std::get<0>(opened)), std::move(tokens));
  if (parts->connections_max < config.http_max_connections) {
    log(LogLevel::kWarn, "the limit of open files allows fewer connections than configured",
        {{"connections", parts->connections_max},
         {"http.max_connections", config.http_max_connections}});
  }
  const std::pair<const char*, Result<std::string>> bound[] = {{"http", parts->net.start()},
                                                               {"grpc", parts->grpc->start()},
                                                               {"admin", parts->admin->start()}};
  for (const auto& [name, address] : bound) {
    if (!address)
      return StartError{kOsError, fmt::format("{} listener: {}", name, address.error().message)};
    parts->listeners.push_back({name, *address});
  }
  if (!config.has_authentication()) {
    log(LogLevel::kWarn,
        "no authentication: every operation is permitted, and only this machine can connect");
  }
  return std::unique_ptr<Gateway>(new Gateway(std::move(parts)));
}

Gateway::Gateway(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Gateway::~Gateway() = default;

const std::vector<Gateway::Listener>& Gateway::listeners() const {
  return parts_->listeners;
}

void Gateway::reload_keys() {
  if (!parts_->tokens) return;
  if (const Status reloaded = parts_->tokens->verifier().reload(); !reloaded) {
    log(LogLevel::kError, "keys were not reloaded: those from before go on",
        {{"error", reloaded.error().message}});
  }
}

void Gateway::drain() {
  if (parts_->is_draining.exchange(true)) return;
  parts_->grpc->begin_drain();
  // A few leave at once; many are spread, yet so that the last has time to go before the drain
  // ends.
  const auto drain_ms = static_cast<std::int64_t>(parts_->config.shutdown_drain_ms);
  const auto open = static_cast<std::int64_t>(parts_->net.connections());
  parts_->net.drain(std::min(drain_ms * 3 / 4, open * 1000 / kDrainPerSecond));
}

std::size_t Gateway::connections() const {
  return parts_->net.connections();
}

}  // namespace tidegate
