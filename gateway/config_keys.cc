#include "gateway/config_keys.h"

#include <algorithm>
#include <array>
#include <cctype>

#include <fmt/format.h>

namespace tidegate {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kDayMs = 24 * 3600 * 1000;

constexpr std::array kKeys = {
    ConfigKey{"http", "listen", "--http", ValueKind::kAddress, &Config::http_listen, 0, 0,
              "WebSocket listener; port 0 picks one"},
    ConfigKey{"http", "max_connections", "", ValueKind::kNumber, &Config::http_max_connections, 1,
              1'000'000, "WebSocket connections and gRPC subscriptions at a time; more get 503"},
    ConfigKey{"http", "allowed_origins", "", ValueKind::kOrigins, &Config::http_allowed_origins, 0,
              0,
              "pages that may connect, each scheme://host[:port]; separated by commas as a flag"},
    ConfigKey{"http", "token_cookie", "", ValueKind::kText, &Config::http_token_cookie, 0, 0,
              "cookie that carries the token of browsers"},
    ConfigKey{"http", "query_token", "", ValueKind::kSwitch, &Config::http_query_token, 0, 0,
              "true: accept ?access_token=; it ends up in logs of proxies"},
    ConfigKey{"http", "trusted_proxies", "", ValueKind::kRanges, &Config::http_trusted_proxies, 0,
              0, "addresses (10.0.0.0/8) that are believed when they say who connects"},
    ConfigKey{"http", "proxy_protocol", "", ValueKind::kSwitch, &Config::http_proxy_protocol, 0, 0,
              "true: they say it by the PROXY protocol, version 2; else in X-Forwarded-For"},
    ConfigKey{"grpc", "listen", "--grpc", ValueKind::kAddress, &Config::grpc_listen, 0, 0,
              "gRPC listener"},
    ConfigKey{"admin", "listen", "--admin", ValueKind::kAddress, &Config::admin_listen, 0, 0,
              "listener of /metrics, /livez and /readyz"},
    ConfigKey{"tls", "certificate", "", ValueKind::kText, &Config::tls_certificate, 0, 0,
              "PEM file with the certificate of every listener and those above it; none: no TLS"},
    ConfigKey{"tls", "key", "", ValueKind::kText, &Config::tls_key, 0, 0,
              "PEM file with its key; both are read again on SIGHUP"},
    ConfigKey{"tls", "client_ca", "", ValueKind::kText, &Config::tls_client_ca, 0, 0,
              "PEM file with who signs the certificates of gRPC clients"},
    ConfigKey{"auth", "issuers", "", ValueKind::kIssuers, &Config::auth_issuers, 0, 0,
              "who signs tokens: [{issuer = .., audience = .., keys = FILE or https://..}]"},
    ConfigKey{"auth", "certificates", "", ValueKind::kCertificates, &Config::auth_certificates, 0,
              0, "what gRPC clients with a certificate may do: [{san = .., publish = [..]}]"},
    ConfigKey{"auth", "revocations_file", "", ValueKind::kText, &Config::auth_revocations_file, 0,
              0, "where revoked tokens are kept; else REVOCATIONS in the log's directory"},
    ConfigKey{"limits", "memory_bytes", "", ValueKind::kBytes, &Config::limits_memory_bytes, 0,
              kNoMaximum,
              "near it new replays, then new connections are refused; 0: 3/4 of the machine's"},
    ConfigKey{"limits", "connections_per_address", "", ValueKind::kNumber,
              &Config::limits_connections_per_address, 0, 1'000'000,
              "WebSocket connections of one address (IPv6: /64); 0: any number"},
    ConfigKey{"limits", "connections_per_subject", "", ValueKind::kNumber,
              &Config::limits_connections_per_subject, 0, 1'000'000,
              "connections and gRPC subscriptions of one subject; 0: any number"},
    ConfigKey{"limits", "upgrades_per_second", "", ValueKind::kNumber,
              &Config::limits_upgrades_per_second, 1, 1'000'000,
              "WebSocket requests that are looked at; more get 503"},
    ConfigKey{"limits", "unfinished_requests", "", ValueKind::kNumber,
              &Config::limits_unfinished_requests, 1, 1'000'000,
              "connections whose request is not complete; more are closed"},
    ConfigKey{"limits", "unfinished_requests_per_address", "", ValueKind::kNumber,
              &Config::limits_unfinished_requests_per_address, 0, 1'000'000,
              "those of one address (IPv6: /64); 0: any number"},
    ConfigKey{"limits", "request_ms", "", ValueKind::kNumber, &Config::limits_request_ms, 100,
              kDayMs, "time for a WebSocket request, with the handshake of TLS; then 408"},
    ConfigKey{"limits", "request_bytes", "", ValueKind::kBytes, &Config::limits_request_bytes, 1024,
              kMiB, "size of a WebSocket request; larger ones get 431"},
    ConfigKey{"limits", "subscriptions", "", ValueKind::kNumber, &Config::limits_subscriptions, 1,
              1000, "subscriptions and watches of one connection"},
    ConfigKey{"limits", "message_bytes", "", ValueKind::kBytes, &Config::limits_message_bytes, 1024,
              4 * kMiB, "size of a message from a client that may not publish"},
    ConfigKey{"limits", "publisher_message_bytes", "", ValueKind::kBytes,
              &Config::limits_publisher_message_bytes, 1024, 4 * kMiB,
              "size of a message from one that may"},
    ConfigKey{"limits", "messages_per_second", "", ValueKind::kNumber,
              &Config::limits_messages_per_second, 1, 1'000'000,
              "messages of one connection, acknowledgements and publishes apart; burst twice that"},
    ConfigKey{"limits", "message_bytes_per_second", "", ValueKind::kBytes,
              &Config::limits_message_bytes_per_second, 1024, 1 << 30,
              "bytes of the same messages; burst 32 times that"},
    ConfigKey{"limits", "publish_events_per_second", "", ValueKind::kNumber,
              &Config::limits_publish_events_per_second, 0, kNoMaximum,
              "events that one subject may publish; 0: any number"},
    ConfigKey{"limits", "publish_bytes_per_second", "", ValueKind::kBytes,
              &Config::limits_publish_bytes_per_second, 0, kNoMaximum,
              "bytes that one subject may publish; 0: any number"},
    ConfigKey{"limits", "replay_bytes_per_second", "", ValueKind::kBytes,
              &Config::limits_replay_bytes_per_second, 0, kNoMaximum,
              "bytes that are read from disk for one subject; 0: any number"},
    ConfigKey{"log_store", "dir", "--data", ValueKind::kText, &Config::log_store_dir, 0, 0,
              "directory of the log; made when it does not exist"},
    ConfigKey{"log_store", "tail_bytes", "", ValueKind::kBytes, &Config::log_store_tail_bytes, kMiB,
              kNoMaximum, "memory for the newest events"},
    ConfigKey{"log_store", "ingest_queue_bytes", "", ValueKind::kBytes,
              &Config::log_store_ingest_queue_bytes, 8 * kMiB, kNoMaximum,
              "memory for publishes that wait for the disk"},
    ConfigKey{"log_store", "disk_soft_bytes", "--disk-soft", ValueKind::kBytes,
              &Config::log_store_disk_soft_bytes, kMiB, kNoMaximum,
              "free space below which publishes are refused"},
    ConfigKey{"log_store", "disk_hard_bytes", "--disk-hard", ValueKind::kBytes,
              &Config::log_store_disk_hard_bytes, kMiB, kNoMaximum,
              "free space below which cursor acknowledgements are refused too"},
    ConfigKey{"log_store", "ballast_bytes", "--ballast", ValueKind::kBytes,
              &Config::log_store_ballast_bytes, 0, kNoMaximum,
              "file that is given up to close cleanly on a full disk; 0: none"},
    ConfigKey{"projections", "enabled", "", ValueKind::kSwitch, &Config::projections_enabled, 0, 0,
              "false: fold nothing, and refuse what asks for projections"},
    ConfigKey{
        "projections", "built_in", "", ValueKind::kSwitch, &Config::projections_built_in, 0, 0,
        "true: fold _streams, _types and _rates as well; their rows go when it is false again"},
    ConfigKey{"projections", "presence", "", ValueKind::kSwitch, &Config::projections_presence, 0,
              0,
              "true: keep who is connected and subscribed to what, in _sys.presence and _presence"},
    ConfigKey{"projections", "row_cache_bytes", "", ValueKind::kBytes,
              &Config::projections_row_cache_bytes, kMiB, kNoMaximum,
              "memory for the rows of a version that folds; the others are read from disk"},
    ConfigKey{"delivery", "io_threads", "", ValueKind::kNumber, &Config::delivery_io_threads, 0,
              256, "threads for connections; 0: one per core but one, at most 8"},
    ConfigKey{"delivery", "heartbeat_ms", "", ValueKind::kNumber, &Config::delivery_heartbeat_ms,
              100, kDayMs, "silence after which a ping is sent"},
    ConfigKey{"delivery", "pong_ms", "", ValueKind::kNumber, &Config::delivery_pong_ms, 100, kDayMs,
              "time to answer a ping before the connection is closed"},
    ConfigKey{"delivery", "position_ms", "", ValueKind::kNumber, &Config::delivery_position_ms, 100,
              kDayMs, "time without a match after which the position is told"},
    ConfigKey{"delivery", "no_progress_ms", "", ValueKind::kNumber,
              &Config::delivery_no_progress_ms, 1000, kDayMs,
              "time that a write may stand still before the connection is closed"},
    ConfigKey{"shutdown", "drain_ms", "", ValueKind::kNumber, &Config::shutdown_drain_ms, 1, kDayMs,
              "time that SIGTERM gives connections to go"},
    ConfigKey{"logging", "level", "", ValueKind::kChoice, &Config::logging_level, 0, 0,
              "debug|info|warn|error: least level told"},
    ConfigKey{"logging", "audit_file", "", ValueKind::kText, &Config::logging_audit_file, 0, 0,
              "who was let in, refused, denied; calls of administration; none: not kept"},
    ConfigKey{"logging", "format", "", ValueKind::kChoice, &Config::logging_format, 0, 0,
              "text|json: form of the lines on stderr"},
};

std::string default_text(const ConfigKey& key) {
  const Config defaults;
  if (const auto* text = std::get_if<std::string Config::*>(&key.member)) return defaults.**text;
  if (const auto* is_on = std::get_if<bool Config::*>(&key.member))
    return defaults.**is_on ? "true" : "";
  if (!std::holds_alternative<std::uint64_t Config::*>(key.member)) return {};
  const std::uint64_t number = defaults.*std::get<std::uint64_t Config::*>(key.member);
  const bool has_unit = key.kind == ValueKind::kBytes && number != 0;
  if (has_unit && number % kMiB == 0) return fmt::format("{}MiB", number / kMiB);
  if (has_unit && number % 1024 == 0) return fmt::format("{}KiB", number / 1024);
  return fmt::format("{}", number);
}

}  // namespace

std::string ConfigKey::path() const {
  return fmt::format("{}.{}", section, name);
}

std::string ConfigKey::long_flag() const {
  std::string text = fmt::format("--{}-{}", section, name);
  std::replace(text.begin(), text.end(), '_', '-');
  return text;
}

std::string ConfigKey::flag() const {
  return short_flag.empty() ? long_flag() : std::string(short_flag);
}

std::string ConfigKey::variable() const {
  std::string text = fmt::format("TIDEGATE_{}__{}", section, name);
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

std::span<const ConfigKey> config_keys() {
  return kKeys;
}

const ConfigKey* find_config_key(std::string_view section, std::string_view name) {
  for (const ConfigKey& key : kKeys) {
    if (key.section == section && key.name == name) return &key;
  }
  return nullptr;
}

std::string config_help() {
  std::string text =
      "tidegated, the Tidegate gateway\n\n"
      "Usage: tidegated --data DIR [FLAG VALUE]...\n\n"
      "Each flag is also a key of the file (section.key) and a variable (TIDEGATE_SECTION__KEY).\n"
      "Flags win over the environment, the environment over the file.\n\n"
      "  --config FILE                       read keys from a TOML file\n"
      "  --help                              show this text\n"
      "  --version                           show the version\n";
  for (const ConfigKey& key : kKeys) {
    const std::string initial = default_text(key);
    text +=
        fmt::format("  {:<35} {}{}\n",
                    key.flag() + " " + (key.kind == ValueKind::kAddress ? "HOST:PORT" : "VALUE"),
                    key.help, initial.empty() ? "" : fmt::format(" [{}]", initial));
  }
  return text;
}

}  // namespace tidegate
