#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "eventstore/base/log.h"
#include "gateway/auth/certificate_role.h"
#include "gateway/auth/token_verifier.h"
#include "gateway/tls/server_identity.h"

namespace tidegate {

// What the gateway is told: flags win over the environment, the environment over the file, the file
// over the defaults. When you add a key, add its row to the table in config_keys.cc: the file's
// key, the flag, the variable and the help all come from there. Thread: immutable.
struct Config {
  std::string http_listen = "127.0.0.1:7080";
  std::uint64_t http_max_connections = 10'000;
  std::vector<std::string> http_allowed_origins;
  std::string http_token_cookie;
  bool http_query_token = false;
  std::vector<std::string> http_trusted_proxies;
  bool http_proxy_protocol = false;
  std::string grpc_listen = "127.0.0.1:7090";
  std::string admin_listen = "127.0.0.1:7091";

  std::string tls_certificate;  // empty: no TLS
  std::string tls_key;
  std::string tls_client_ca;

  // Neither issuers nor certificates: development mode.
  std::vector<IssuerConfig> auth_issuers;
  std::vector<CertificateRole> auth_certificates;
  std::string auth_revocations_file;  // empty: in the log's directory

  std::uint64_t limits_memory_bytes = 0;  // 0: three quarters of the machine's
  std::uint64_t limits_connections_per_address = 200;
  std::uint64_t limits_connections_per_subject = 20;
  std::uint64_t limits_upgrades_per_second = 5000;
  std::uint64_t limits_unfinished_requests = 512;
  std::uint64_t limits_unfinished_requests_per_address = 64;
  std::uint64_t limits_request_ms = 5000;
  std::uint64_t limits_request_bytes = 16 << 10;
  std::uint64_t limits_subscriptions = 128;
  std::uint64_t limits_message_bytes = 64 << 10;
  std::uint64_t limits_publisher_message_bytes = 1 << 20;
  std::uint64_t limits_messages_per_second = 50;
  std::uint64_t limits_message_bytes_per_second = 64 << 10;
  std::uint64_t limits_publish_events_per_second = 0;  // 0: no limit, as the next two
  std::uint64_t limits_publish_bytes_per_second = 0;
  std::uint64_t limits_replay_bytes_per_second = std::uint64_t{64} << 20;

  std::string log_store_dir;
  std::uint64_t log_store_tail_bytes = std::uint64_t{256} << 20;
  std::uint64_t log_store_ingest_queue_bytes = std::uint64_t{64} << 20;
  std::uint64_t log_store_disk_soft_bytes = std::uint64_t{1} << 30;
  std::uint64_t log_store_disk_hard_bytes = std::uint64_t{512} << 20;
  std::uint64_t log_store_ballast_bytes = std::uint64_t{64} << 20;

  bool projections_enabled = true;
  bool projections_built_in = false;
  bool projections_presence = false;
  std::uint64_t projections_row_cache_bytes = std::uint64_t{64} << 20;

  std::uint64_t delivery_io_threads = 0;  // 0: one per core but one, 1 to 8
  std::uint64_t delivery_heartbeat_ms = 25'000;
  std::uint64_t delivery_pong_ms = 10'000;
  std::uint64_t delivery_position_ms = 5'000;
  std::uint64_t delivery_no_progress_ms = 30'000;

  std::uint64_t shutdown_drain_ms = 30'000;

  std::string logging_level = "info";
  std::string logging_format = "text";
  std::string logging_audit_file;  // empty: none

  LogLevel log_level() const;
  bool has_authentication() const { return !auth_issuers.empty() || !auth_certificates.empty(); }
  TlsFiles tls_files() const { return {tls_certificate, tls_key, tls_client_ca}; }
  bool has_json_logs() const { return logging_format == "json"; }
  unsigned io_threads() const;
};

// A question that the program answers instead of running (--help, --version), or errors with the
// exit code they deserve: 64 for a wrong command line, 78 for a wrong value, wherever it stands.
struct ConfigAnswer {
  int exit_code = 0;
  std::string text;  // for stdout when exit_code is 0, else for stderr
};

using Environment = std::map<std::string, std::string>;

// Reads the command line (without the program's name), the environment and the file that --config
// names. All errors are told at once, each with its place: file:line:column, flag or variable.
std::variant<Config, ConfigAnswer> read_config(const std::vector<std::string>& arguments,
                                               const Environment& environment);

// The variables of this process whose names begin with TIDEGATE_.
Environment process_environment();

// The names of the keys, as in the file ("http.listen"), whose values differ.
std::vector<std::string> changed_keys(const Config& before, const Config& after);

}  // namespace tidegate
