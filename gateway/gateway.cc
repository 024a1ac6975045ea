#include "gateway/gateway.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "eventstore/base/clock.h"
#include "eventstore/event_store.h"
#include "gateway/api/grpc_server.h"
#include "gateway/auth/token_authority.h"
#include "gateway/gateway_options.h"
#include "gateway/net/admin_listener.h"
#include "gateway/net/net_server.h"
#include "gateway/ops/audit_file.h"
#include "gateway/ops/memory_guard.h"
#include "gateway/ops/metrics.h"
#include "gateway/ops/presence_log.h"
#include "projections/engine.h"

namespace tidegate {
namespace {

constexpr int kDataError = 65;
constexpr int kOsError = 71;
constexpr int kConfigError = 78;
// A loop that has not come round for this long is stuck: its timer runs four times a second.
constexpr std::int64_t kStalledMs = 5'000;
// Sessions that may come back per second when the gateway drains: a new gateway answers as many
// without a queue.
constexpr std::int64_t kDrainPerSecond = 500;
constexpr std::chrono::milliseconds kGrpcPatience{1000};
constexpr std::chrono::milliseconds kKeysPatience{3000};

// The tokens of the configured issuers, or development mode.
std::variant<std::unique_ptr<TokenAuthority>, Gateway::StartError> open_authority(
    const Config& config, Audit& audit, const Clock& clock) {
  auto verifier = TokenVerifier::open(config.auth_issuers, clock);
  if (!verifier) return Gateway::StartError{kConfigError, verifier.error().message};
  // So that the first clients are not refused for want of keys. Why there are none is logged there.
  (*verifier)->wait_for_keys(kKeysPatience);
  const std::string path = config.auth_revocations_file.empty()
                               ? config.log_store_dir + "/REVOCATIONS"
                               : config.auth_revocations_file;
  auto revoked = Revocations::open(path, clock.wall_us() / 1'000'000);
  if (!revoked) return Gateway::StartError{kDataError, revoked.error().message};
  return std::make_unique<TokenAuthority>(*std::move(verifier), *std::move(revoked),
                                          config.auth_certificates, budget_rates(config), audit,
                                          clock);
}

// Null where they are switched off.
Result<std::unique_ptr<Engine>> open_projections(const Config& config, EventStore& store,
                                                 const Clock& clock, Metrics& metrics) {
  if (!config.projections_enabled) return std::unique_ptr<Engine>();
  auto engine = Engine::open(store, engine_options(config, clock, metrics));
  if (engine) return engine;
  return Error{engine.error().code,
               fmt::format("projections: {}; projections.enabled = false starts without them",
                           engine.error().message)};
}

// Null without TLS.
Result<std::unique_ptr<ServerIdentity>> open_identity(const Config& config, const Clock& clock) {
  if (!config.tls_files().is_configured()) return std::unique_ptr<ServerIdentity>();
  return ServerIdentity::open(config.tls_files(), clock);
}

// What an operator should hear once.
void warn_of_exposure(const Config& config) {
  if (!config.has_authentication()) {
    log(LogLevel::kWarn,
        "no authentication: every operation is permitted, and only this machine can connect");
    return;
  }
  if (config.tls_files().is_configured()) return;
  for (const std::string& listen : {config.http_listen, config.grpc_listen, config.admin_listen}) {
    if (listen_address(listen).is_loopback()) continue;
    log(LogLevel::kWarn,
        "no TLS: who can read the network can read tokens; set tls.certificate and tls.key, or "
        "let nobody but a proxy with TLS reach this listener",
        {{"listener", listen}});
  }
}

}  // namespace

// In the order of construction; each part uses only those above it, and destruction goes the other
// way.
struct Gateway::Parts {
  Parts(const Config& gateway_config, std::unique_ptr<SystemClock> system_clock,
        std::unique_ptr<Metrics> store_metrics, std::unique_ptr<AuditFile> audit_file,
        std::unique_ptr<ServerIdentity> server_identity, std::unique_ptr<EventStore> opened,
        std::unique_ptr<Engine> engine, std::unique_ptr<TokenAuthority> token_authority)
      : config(gateway_config),
        clock(std::move(system_clock)),
        metrics(std::move(store_metrics)),
        audit(std::move(audit_file)),
        identity(std::move(server_identity)),
        store(std::move(opened)),
        projections(std::move(engine)),
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
  // Those with a version that has failed.
  std::size_t stopped_projections() const;
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
  // Who was let in, refused or denied; null when it is not kept.
  const std::unique_ptr<AuditFile> audit;
  // The certificate of the listeners; null without TLS.
  const std::unique_ptr<ServerIdentity> identity;
  // The log, with its appender, upkeep and read threads.
  std::unique_ptr<EventStore> store;
  // Read models folded from it, by a thread of its own; null where they are switched off.
  const std::unique_ptr<Engine> projections;
  // Who is connected, into the log; null where it is not kept.
  const std::unique_ptr<PresenceLog> presence =
      projections && config.projections_presence
          ? std::make_unique<PresenceLog>(*store, projections.get(), *clock)
          : nullptr;
  // What tokens are worth; null in development mode.
  const std::unique_ptr<TokenAuthority> tokens;
  NoAuthority no_tokens{audit ? static_cast<Audit&>(*audit) : Audit::nowhere()};
  Authority& authority = tokens ? static_cast<Authority&>(*tokens) : no_tokens;
  // How many connections the limit of open files allows.
  const std::uint64_t connections_max = fit_connections(config);
  // How far memory is used up, and who measures it.
  PressureGauge pressure;
  MemoryGuard memory{memory_ceiling(config), pressure};
  // The I/O loops and the WebSocket listener; sessions live here.
  NetServer net{*store,         *clock,    *metrics,
                *metrics,       authority, projections.get(),
                presence.get(), pressure,  net_options(config, connections_max, identity.get())};
  // The gRPC listener: publishing, reading, administration, and subscriptions whose sessions live
  // on the loops.
  std::unique_ptr<GrpcServer> grpc =
      std::make_unique<GrpcServer>(grpc_options(config, identity.get(), *metrics, pressure), *store,
                                   net, projections.get(), authority, [this] { return counts(); });
  // The pages for operators, on a thread of its own.
  std::unique_ptr<AdminListener> admin = std::make_unique<AdminListener>(
      listen_address(config.admin_listen), !config.has_authentication(), authority, identity.get(),
      AdminPages{[this] { return net.stalled_ms() < kStalledMs; }, [this] { return readiness(); },
                 [this] { return metrics->text(*store, projections.get()); }});
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
  if (identity) {
    constexpr std::int64_t kWarnDays = 14;
    constexpr std::int64_t kDayS = 24 * 3600;
    const std::int64_t left_s = identity->current()->expires_s - clock->wall_us() / 1'000'000;
    if (left_s < kWarnDays * kDayS) {
      readiness.notes.push_back(
          left_s < 0 ? "the certificate has expired"
                     : fmt::format("the certificate expires in {} days", left_s / kDayS));
    }
  }
  if (const std::size_t stopped = stopped_projections(); stopped > 0) {
    // Not their names: this page is open.
    readiness.notes.push_back(fmt::format(
        "{} stopped: see 'tidegate projection ls'",
        stopped == 1 ? "a projection has" : fmt::format("{} projections have", stopped)));
  }
  if (pressure.level() != Pressure::kNone)
    readiness.notes.emplace_back("memory is short: some requests are refused");
  if (connections_max < config.http_max_connections) {
    readiness.notes.push_back(
        fmt::format("only {} of {} connections: the limit of open files is too low",
                    connections_max, config.http_max_connections));
  }
  return readiness;
}

std::size_t Gateway::Parts::stopped_projections() const {
  if (!projections) return 0;
  const std::vector<ProjectionInfo> all = projections->list();
  const auto count = std::count_if(all.begin(), all.end(), [](const ProjectionInfo& info) {
    return std::any_of(info.versions.begin(), info.versions.end(),
                       [](const VersionInfo& version) { return version.failure.has_value(); });
  });
  return static_cast<std::size_t>(count);
}

std::variant<std::unique_ptr<Gateway>, Gateway::StartError> Gateway::start(const Config& config) {
  raise_open_files();
  auto clock = std::make_unique<SystemClock>();
  auto metrics = std::make_unique<Metrics>(TIDEGATE_VERSION);
  std::unique_ptr<AuditFile> audit;
  if (!config.logging_audit_file.empty()) {
    auto file = AuditFile::open(config.logging_audit_file, *clock);
    if (!file) return StartError{kConfigError, file.error().message};
    audit = *std::move(file);
  }
  auto identity = open_identity(config, *clock);
  if (!identity) return StartError{kConfigError, identity.error().message};
  if (*identity) metrics->certificate_loaded((*identity)->current()->expires_s);
  auto opened = EventStore::open(store_options(config, *clock, *metrics));
  if (const auto* error = std::get_if<EventStore::OpenError>(&opened)) {
    return StartError{error->exit_code, error->error.message};
  }
  EventStore& store = *std::get<0>(opened);
  auto projections = open_projections(config, store, *clock, *metrics);
  if (!projections) return StartError{kDataError, projections.error().message};
  std::unique_ptr<TokenAuthority> tokens;
  if (config.has_authentication()) {
    Audit& noted = audit ? static_cast<Audit&>(*audit) : Audit::nowhere();
    auto authority = open_authority(config, noted, *clock);
    if (const auto* error = std::get_if<StartError>(&authority)) return *error;
    tokens = std::move(std::get<0>(authority));
  }
  auto parts = std::make_unique<Parts>(
      config, std::move(clock), std::move(metrics), std::move(audit), *std::move(identity),
      std::move(std::get<0>(opened)), *std::move(projections), std::move(tokens));
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
  warn_of_exposure(config);
  return std::unique_ptr<Gateway>(new Gateway(std::move(parts)));
}

Gateway::Gateway(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Gateway::~Gateway() = default;

const std::vector<Gateway::Listener>& Gateway::listeners() const {
  return parts_->listeners;
}

void Gateway::reload() {
  const auto note = [this](const Status& reloaded, std::string_view what) {
    if (reloaded) return;
    log(LogLevel::kError, what, {{"error", reloaded.error().message}});
    parts_->metrics->reload_failed();
  };
  if (parts_->audit) {
    note(parts_->audit->reopen(),
         "the audit log was not opened again: the file from before goes on");
    parts_->audit->note({.event = "reloaded"});
  }
  if (parts_->tokens) {
    note(parts_->tokens->verifier().reload(), "keys were not reloaded: those from before go on");
  }
  if (!parts_->identity) return;
  Status exchanged = parts_->identity->reload();
  if (exchanged) {
    parts_->metrics->certificate_loaded(parts_->identity->current()->expires_s);
    exchanged = parts_->grpc->exchange_certificate();
  }
  note(exchanged, "the certificate was not reloaded: the one from before goes on");
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
