#include "gateway/config_values.h"

#include <algorithm>
#include <array>
#include <span>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

#include "eventstore/base/text.h"
#include "gateway/net/ip_address.h"
#include "gateway/net/listen_socket.h"

namespace tidegate {
namespace {

// "64MiB", "4096", "1GB": a whole number with an optional unit.
std::optional<std::uint64_t> parse_bytes(std::string_view text) {
  struct Unit {
    std::string_view name;
    std::uint64_t factor;
  };
  static constexpr std::array kUnits = {Unit{"KiB", 1 << 10},
                                        Unit{"MiB", 1 << 20},
                                        Unit{"GiB", 1 << 30},
                                        Unit{"TiB", 1ULL << 40},
                                        Unit{"KB", 1'000},
                                        Unit{"MB", 1'000'000},
                                        Unit{"GB", 1'000'000'000},
                                        Unit{"TB", 1'000'000'000'000},
                                        Unit{"B", 1}};
  std::uint64_t factor = 1;
  for (const Unit& unit : kUnits) {
    if (!text.ends_with(unit.name)) continue;
    factor = unit.factor;
    text.remove_suffix(unit.name.size());
    while (text.ends_with(' ')) text.remove_suffix(1);
    break;
  }
  const auto number = parse_u64(text);
  if (!number || *number > UINT64_MAX / factor) return std::nullopt;
  return *number * factor;
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    parts.emplace_back(text.substr(0, comma));
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
  }
  return parts;
}

// An origin as browsers write it (RFC 6454 section 6.2). "*" and "null" are none: they would let
// in every page.
bool is_origin(std::string_view text) {
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (!text.starts_with(scheme)) continue;
    const std::string_view rest = text.substr(scheme.size());
    return !rest.empty() && std::none_of(rest.begin(), rest.end(), [](unsigned char c) {
      return c <= ' ' || c >= 0x7f || c == '/' || c == '*' || c == '?' || c == '#' || c == '@' ||
             (c >= 'A' && c <= 'Z');
    });
  }
  return false;
}

std::string range_text(const ConfigKey& key) {
  if (key.max == kNoMaximum) return fmt::format("at least {}", key.min);
  return fmt::format("from {} to {}", key.min, key.max);
}

bool is_list(ValueKind kind) {
  return kind == ValueKind::kOrigins || kind == ValueKind::kRanges || kind == ValueKind::kIssuers ||
         kind == ValueKind::kCertificates;
}

std::string place(const std::string& path, const toml::source_region& source) {
  return fmt::format("{}:{}:{}", path, source.begin.line, source.begin.column);
}

}  // namespace

void ConfigReader::set(const ConfigKey& key, std::string_view text, const std::string& origin) {
  switch (key.kind) {
    case ValueKind::kText:
      set_text(key, text, origin);
      return;
    case ValueKind::kAddress:
      set_address(key, text, origin);
      return;
    case ValueKind::kChoice:
      set_choice(key, text, origin);
      return;
    case ValueKind::kNumber:
      set_number(key, parse_u64(text), text, origin, "a whole number");
      return;
    case ValueKind::kBytes:
      set_number(key, parse_bytes(text), text, origin, "a size such as 64MiB");
      return;
    case ValueKind::kSwitch:
      set_switch(key, text, origin);
      return;
    case ValueKind::kOrigins:
    case ValueKind::kRanges:
      set_list(key, split(text), origin);
      return;
    case ValueKind::kIssuers:
    case ValueKind::kCertificates:
      set_tables(key, text, origin);
      return;
  }
}

void ConfigReader::fail(const std::string& origin, std::string_view what) {
  errors_ += fmt::format("{}: {}\n", origin, what);
}

void ConfigReader::set_text(const ConfigKey& key, std::string_view text,
                            const std::string& origin) {
  if (text.empty()) return fail(origin, fmt::format("{} must not be empty", key.path()));
  config_.*std::get<std::string Config::*>(key.member) = std::string(text);
  origins_[key.path()] = origin;
}

void ConfigReader::set_address(const ConfigKey& key, std::string_view text,
                               const std::string& origin) {
  const auto address = parse_listen_address(text);
  if (!address) return fail(origin, fmt::format("{}: {}", key.path(), address.error().message));
  set_text(key, text, origin);
}

void ConfigReader::set_choice(const ConfigKey& key, std::string_view text,
                              const std::string& origin) {
  const std::string choices = "|" + std::string(key.help.substr(0, key.help.find(':'))) + "|";
  if (text.empty() || choices.find(fmt::format("|{}|", text)) == std::string::npos) {
    return fail(origin, fmt::format("{} is \"{}\" and must be one of {}", key.path(), text,
                                    choices.substr(1, choices.size() - 2)));
  }
  set_text(key, text, origin);
}

void ConfigReader::set_number(const ConfigKey& key, std::optional<std::uint64_t> number,
                              std::string_view text, const std::string& origin,
                              std::string_view what) {
  if (!number)
    return fail(origin, fmt::format("{} is \"{}\" and must be {}", key.path(), text, what));
  if (*number < key.min || *number > key.max) {
    return fail(origin, fmt::format("{} is {} and must be {}", key.path(), text, range_text(key)));
  }
  config_.*std::get<std::uint64_t Config::*>(key.member) = *number;
  origins_[key.path()] = origin;
}

void ConfigReader::set_switch(const ConfigKey& key, std::string_view text,
                              const std::string& origin) {
  if (text != "true" && text != "false")
    return fail(origin, fmt::format("{} is \"{}\" and must be true or false", key.path(), text));
  config_.*std::get<bool Config::*>(key.member) = text == "true";
  origins_[key.path()] = origin;
}

void ConfigReader::set_list(const ConfigKey& key, std::vector<std::string> texts,
                            const std::string& origin) {
  const bool is_ranges = key.kind == ValueKind::kRanges;
  for (const std::string& text : texts) {
    if (is_ranges ? IpRange::parse(text).has_value() : is_origin(text)) continue;
    fail(origin, fmt::format("{}: \"{}\" is not {}", key.path(), text,
                             is_ranges ? "an address or a range of them, such as 10.0.0.0/8"
                                       : "the origin of a page, such as https://app.example or "
                                         "http://localhost:3000"));
  }
  config_.*std::get<std::vector<std::string> Config::*>(key.member) = std::move(texts);
  origins_[key.path()] = origin;
}

void ConfigReader::set_tables(const ConfigKey& key, std::string_view text,
                              const std::string& origin) {
  try {
    const toml::table parsed = toml::parse(fmt::format("v = {}", text));
    set_tables(key, *parsed.get("v"),
               [&](const toml::source_region&, const std::string& what) { fail(origin, what); });
    origins_[key.path()] = origin;
  } catch (const toml::parse_error& error) {
    fail(origin, fmt::format("{}: {}", key.path(), error.description()));
  }
}

void ConfigReader::set_tables(const ConfigKey& key, const toml::node& value,
                              const TellError& tell) {
  if (key.kind == ValueKind::kIssuers) {
    config_.*std::get<std::vector<IssuerConfig> Config::*>(key.member) = read_issuers(value, tell);
  } else {
    config_.*std::get<std::vector<CertificateRole> Config::*>(key.member) =
        read_certificate_roles(value, tell);
  }
}

std::string ConfigReader::origin_of(std::string_view path) const {
  const auto found = origins_.find(std::string(path));
  return found == origins_.end() ? std::string(path) : found->second;
}

void ConfigReader::load_file(const std::string& path) {
  // toml++ reports by exceptions; this is where they end.
  try {
    const toml::table file = toml::parse_file(path);
    for (const auto& [name, node] : file) {
      const std::string origin = place(path, name.source());
      const bool is_known =
          std::any_of(config_keys().begin(), config_keys().end(),
                      [&name](const ConfigKey& key) { return key.section == name.str(); });
      if (!is_known) {
        fail(origin, fmt::format("unknown section or key \"{}\"", name.str()));
      } else if (const toml::table* section = node.as_table()) {
        load_section(path, name.str(), *section);
      } else {
        fail(origin, fmt::format("\"{}\" is a section: write [{}]", name.str(), name.str()));
      }
    }
  } catch (const toml::parse_error& error) {
    const bool has_place = error.source().begin.line > 0;
    fail(has_place ? place(path, error.source()) : path, error.description());
  }
}

void ConfigReader::load_section(const std::string& path, std::string_view section,
                                const toml::table& table) {
  for (const auto& [name, node] : table) {
    const std::string origin = place(path, name.source());
    const ConfigKey* key = find_config_key(section, name.str());
    if (key != nullptr && is_list(key->kind)) {
      load_list(*key, node, path, origin);
    } else if (key != nullptr) {
      load_value(*key, node, origin);
    } else {
      fail(origin, fmt::format("unknown key \"{}.{}\"", section, name.str()));
    }
  }
}

void ConfigReader::load_list(const ConfigKey& key, const toml::node& node, const std::string& path,
                             const std::string& origin) {
  if (key.kind == ValueKind::kIssuers || key.kind == ValueKind::kCertificates) {
    set_tables(key, node, [&](const toml::source_region& source, const std::string& what) {
      fail(place(path, source), what);
    });
    origins_[key.path()] = origin;
    return;
  }
  std::vector<std::string> texts;
  if (const toml::array* list = node.as_array()) {
    for (const toml::node& element : *list) {
      if (const auto text = element.value_exact<std::string>()) texts.push_back(*text);
    }
    if (texts.size() == list->size()) return set_list(key, std::move(texts), origin);
  }
  fail(origin, fmt::format("{} must be a list of texts in quotes", key.path()));
}

void ConfigReader::load_value(const ConfigKey& key, const toml::node& node,
                              const std::string& origin) {
  const bool is_numeric = key.kind == ValueKind::kNumber || key.kind == ValueKind::kBytes;
  const bool is_switch = key.kind == ValueKind::kSwitch;
  const auto text = node.value_exact<std::string>();
  const auto is_on = node.value_exact<bool>();
  if (is_on && is_switch) {
    set(key, *is_on ? "true" : "false", origin);
  } else if (text && key.kind != ValueKind::kNumber && !is_switch) {
    set(key, *text, origin);
  } else if (const auto number = node.value_exact<std::int64_t>(); number && is_numeric) {
    set(key, fmt::format("{}", *number), origin);
  } else {
    const std::string_view wanted = key.kind == ValueKind::kNumber ? "a whole number"
                                    : is_switch                    ? "true or false"
                                    : key.kind == ValueKind::kBytes
                                        ? "a whole number or a size such as \"64MiB\""
                                        : "a text in quotes";
    fail(origin, fmt::format("{} must be {}", key.path(), wanted));
  }
}

void ConfigReader::load_environment(const Environment& environment) {
  for (const auto& [variable, value] : environment) {
    // Names without a section are of other programs (TIDEGATE_SERVER is the command line tool's).
    if (!variable.starts_with("TIDEGATE_") || variable.find("__") == std::string::npos) continue;
    const auto keys = config_keys();
    const auto key = std::find_if(
        keys.begin(), keys.end(),
        [&name = variable](const ConfigKey& candidate) { return candidate.variable() == name; });
    if (key == keys.end()) {
      fail(variable, "no such key");
    } else {
      set(*key, value, variable);
    }
  }
}

void ConfigReader::check_exposed() {
  if (config_.has_authentication()) return;
  for (const auto& [section, listen] : {std::pair{"http", config_.http_listen},
                                        {"grpc", config_.grpc_listen},
                                        {"admin", config_.admin_listen}}) {
    const auto address = parse_listen_address(listen);
    if (!address || address->is_loopback()) continue;
    const std::string path = fmt::format("{}.listen", section);
    fail(origin_of(path),
         fmt::format("{}: {} can be reached from other machines: configure "
                     "authentication (auth.issuers or auth.certificates), or listen "
                     "on 127.0.0.0/8, [::1] or localhost",
                     path, listen));
  }
}

void ConfigReader::check_tls() {
  if (config_.tls_certificate.empty() != config_.tls_key.empty()) {
    const char* const given = config_.tls_key.empty() ? "tls.certificate" : "tls.key";
    fail(origin_of(given), "tls.certificate and tls.key need each other");
  }
  if (!config_.tls_client_ca.empty() && config_.tls_certificate.empty())
    fail(origin_of("tls.client_ca"), "tls.client_ca needs tls.certificate");
  if (!config_.auth_certificates.empty() && config_.tls_client_ca.empty()) {
    fail(origin_of("auth.certificates"),
         "auth.certificates needs tls.client_ca: who signs these certificates?");
  }
}

void ConfigReader::check_together() {
  check_exposed();
  if (config_.http_proxy_protocol && config_.http_trusted_proxies.empty()) {
    fail(origin_of("http.proxy_protocol"),
         "http.proxy_protocol needs http.trusted_proxies: who else is to be believed?");
  }
  check_tls();
  if (config_.projections_presence && !config_.projections_enabled) {
    fail(origin_of("projections.presence"),
         "projections.presence needs projections: set projections.enabled = true, or presence = "
         "false");
  }
  if (config_.log_store_disk_hard_bytes > config_.log_store_disk_soft_bytes) {
    fail(origin_of("log_store.disk_hard_bytes"),
         fmt::format(
             "log_store.disk_hard_bytes ({}) must not be above log_store.disk_soft_bytes ({})",
             config_.log_store_disk_hard_bytes, config_.log_store_disk_soft_bytes));
  }
  const auto memory = static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) *
                      static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  for (const std::string_view name : {"tail_bytes", "ingest_queue_bytes"}) {
    const ConfigKey* key = find_config_key("log_store", name);
    const std::uint64_t bytes = config_.*std::get<std::uint64_t Config::*>(key->member);
    if (bytes <= memory) continue;
    fail(origin_of(key->path()), fmt::format("{} ({}) is more than the memory of this machine ({})",
                                             key->path(), bytes, memory));
  }
}

}  // namespace tidegate
