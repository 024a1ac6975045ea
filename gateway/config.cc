#include "gateway/config.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <string_view>
#include <thread>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>
#include <toml++/toml.h>

#include "eventstore/base/text.h"
#include "gateway/net/listen_socket.h"

namespace tidegate {
namespace {

constexpr int kUsage = 64;
constexpr int kConfig = 78;
constexpr std::uint64_t kNoMaximum = UINT64_MAX;
constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kDayMs = 24 * 3600 * 1000;

enum class Kind { kText, kAddress, kChoice, kNumber, kBytes };

using Member = std::variant<std::string Config::*, std::uint64_t Config::*>;

// One key with everything that is derived from it: `section.key` in the file, `--section-key` or
// the short flag on the command line, TIDEGATE_SECTION__KEY in the environment.
struct Key {
  std::string_view section;
  std::string_view name;
  std::string_view short_flag;
  Kind kind;
  Member member;
  std::uint64_t min;
  std::uint64_t max;
  std::string_view help;  // of kChoice: the choices first, up to ':'

  std::string path() const { return fmt::format("{}.{}", section, name); }
  std::string flag() const { return short_flag.empty() ? long_flag() : std::string(short_flag); }
  std::string long_flag() const {
    std::string text = fmt::format("--{}-{}", section, name);
    std::replace(text.begin(), text.end(), '_', '-');
    return text;
  }
  std::string variable() const {
    std::string text = fmt::format("TIDEGATE_{}__{}", section, name);
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    return text;
  }
};

constexpr std::array kKeys = {
    Key{"http", "listen", "--http", Kind::kAddress, &Config::http_listen, 0, 0,
        "WebSocket listener; port 0 picks one"},
    Key{"http", "max_connections", "", Kind::kNumber, &Config::http_max_connections, 1, 1'000'000,
        "WebSocket connections at a time; more get 503"},
    Key{"grpc", "listen", "--grpc", Kind::kAddress, &Config::grpc_listen, 0, 0, "gRPC listener"},
    Key{"admin", "listen", "--admin", Kind::kAddress, &Config::admin_listen, 0, 0,
        "listener of /metrics, /livez and /readyz"},
    Key{"log_store", "dir", "--data", Kind::kText, &Config::log_store_dir, 0, 0,
        "directory of the log; made when it does not exist"},
    Key{"log_store", "tail_bytes", "", Kind::kBytes, &Config::log_store_tail_bytes, kMiB,
        kNoMaximum, "memory for the newest events"},
    Key{"log_store", "ingest_queue_bytes", "", Kind::kBytes, &Config::log_store_ingest_queue_bytes,
        8 * kMiB, kNoMaximum, "memory for publishes that wait for the disk"},
    Key{"log_store", "disk_soft_bytes", "--disk-soft", Kind::kBytes,
        &Config::log_store_disk_soft_bytes, kMiB, kNoMaximum,
        "free space below which publishes are refused"},
    Key{"log_store", "disk_hard_bytes", "--disk-hard", Kind::kBytes,
        &Config::log_store_disk_hard_bytes, kMiB, kNoMaximum,
        "free space below which cursor acknowledgements are refused too"},
    Key{"log_store", "ballast_bytes", "--ballast", Kind::kBytes, &Config::log_store_ballast_bytes,
        0, kNoMaximum, "file that is given up to close cleanly on a full disk; 0: none"},
    Key{"delivery", "io_threads", "", Kind::kNumber, &Config::delivery_io_threads, 0, 256,
        "threads for connections; 0: one per core but one, at most 8"},
    Key{"delivery", "heartbeat_ms", "", Kind::kNumber, &Config::delivery_heartbeat_ms, 100, kDayMs,
        "silence after which a ping is sent"},
    Key{"delivery", "pong_ms", "", Kind::kNumber, &Config::delivery_pong_ms, 100, kDayMs,
        "time to answer a ping before the connection is closed"},
    Key{"delivery", "position_ms", "", Kind::kNumber, &Config::delivery_position_ms, 100, kDayMs,
        "time without a match after which the position is told"},
    Key{"delivery", "no_progress_ms", "", Kind::kNumber, &Config::delivery_no_progress_ms, 1000,
        kDayMs, "time that a write may stand still before the connection is closed"},
    Key{"shutdown", "drain_ms", "", Kind::kNumber, &Config::shutdown_drain_ms, 1, kDayMs,
        "time that SIGTERM gives connections to go"},
    Key{"logging", "level", "", Kind::kChoice, &Config::logging_level, 0, 0,
        "debug|info|warn|error: least level told"},
    Key{"logging", "format", "", Kind::kChoice, &Config::logging_format, 0, 0,
        "text|json: form of the lines on stderr"},
};

const Key* find_key(std::string_view section, std::string_view name) {
  for (const Key& key : kKeys) {
    if (key.section == section && key.name == name) return &key;
  }
  return nullptr;
}

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

std::string range_text(const Key& key) {
  if (key.max == kNoMaximum) return fmt::format("at least {}", key.min);
  return fmt::format("from {} to {}", key.min, key.max);
}

// Puts values of any origin into a Config and collects what is wrong with them.
class Reader {
 public:
  void set(const Key& key, std::string_view text, const std::string& origin) {
    switch (key.kind) {
      case Kind::kText:
        set_text(key, text, origin);
        return;
      case Kind::kAddress:
        set_address(key, text, origin);
        return;
      case Kind::kChoice:
        set_choice(key, text, origin);
        return;
      case Kind::kNumber:
        set_number(key, parse_u64(text), text, origin, "a whole number");
        return;
      case Kind::kBytes:
        set_number(key, parse_bytes(text), text, origin, "a size such as 64MiB");
        return;
    }
  }

  void fail(const std::string& origin, std::string_view what) {
    errors_ += fmt::format("{}: {}\n", origin, what);
  }
  void load_file(const std::string& path);
  void load_environment(const Environment& environment);
  void check_together();

  const std::string& errors() const { return errors_; }
  const Config& config() const { return config_; }

 private:
  void set_text(const Key& key, std::string_view text, const std::string& origin) {
    if (text.empty()) return fail(origin, fmt::format("{} must not be empty", key.path()));
    config_.*std::get<std::string Config::*>(key.member) = std::string(text);
    origins_[key.path()] = origin;
  }

  void set_address(const Key& key, std::string_view text, const std::string& origin) {
    const auto address = parse_listen_address(text);
    if (!address) return fail(origin, fmt::format("{}: {}", key.path(), address.error().message));
    if (!address->is_loopback()) {
      return fail(
          origin,
          fmt::format(
              "{}: {} can be reached from other machines, and there is no authentication yet: "
              "only 127.0.0.0/8, [::1] and localhost are accepted",
              key.path(), text));
    }
    set_text(key, text, origin);
  }

  void set_choice(const Key& key, std::string_view text, const std::string& origin) {
    const std::string choices = "|" + std::string(key.help.substr(0, key.help.find(':'))) + "|";
    if (text.empty() || choices.find(fmt::format("|{}|", text)) == std::string::npos) {
      return fail(origin, fmt::format("{} is \"{}\" and must be one of {}", key.path(), text,
                                      choices.substr(1, choices.size() - 2)));
    }
    set_text(key, text, origin);
  }

  void set_number(const Key& key, std::optional<std::uint64_t> number, std::string_view text,
                  const std::string& origin, std::string_view what) {
    if (!number)
      return fail(origin, fmt::format("{} is \"{}\" and must be {}", key.path(), text, what));
    if (*number < key.min || *number > key.max) {
      return fail(origin,
                  fmt::format("{} is {} and must be {}", key.path(), text, range_text(key)));
    }
    config_.*std::get<std::uint64_t Config::*>(key.member) = *number;
    origins_[key.path()] = origin;
  }

  void load_section(const std::string& path, std::string_view section, const toml::table& table);
  void load_value(const Key& key, const toml::node& node, const std::string& origin);
  std::string origin_of(std::string_view path) const {
    const auto found = origins_.find(std::string(path));
    return found == origins_.end() ? std::string(path) : found->second;
  }

  Config config_;
  std::string errors_;
  std::map<std::string, std::string> origins_;  // of the values in use, by key
};

std::string place(const std::string& path, const toml::source_region& source) {
  return fmt::format("{}:{}:{}", path, source.begin.line, source.begin.column);
}

void Reader::load_file(const std::string& path) {
  // toml++ reports by exceptions; this is where they end.
  try {
    const toml::table file = toml::parse_file(path);
    for (const auto& [name, node] : file) {
      const std::string origin = place(path, name.source());
      const bool is_known = std::any_of(kKeys.begin(), kKeys.end(), [&name](const Key& key) {
        return key.section == name.str();
      });
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

void Reader::load_section(const std::string& path, std::string_view section,
                          const toml::table& table) {
  for (const auto& [name, node] : table) {
    const std::string origin = place(path, name.source());
    if (const Key* key = find_key(section, name.str())) {
      load_value(*key, node, origin);
    } else {
      fail(origin, fmt::format("unknown key \"{}.{}\"", section, name.str()));
    }
  }
}

void Reader::load_value(const Key& key, const toml::node& node, const std::string& origin) {
  const bool is_numeric = key.kind == Kind::kNumber || key.kind == Kind::kBytes;
  if (const auto text = node.value_exact<std::string>(); text && key.kind != Kind::kNumber) {
    set(key, *text, origin);
  } else if (const auto number = node.value_exact<std::int64_t>(); number && is_numeric) {
    set(key, fmt::format("{}", *number), origin);
  } else {
    const std::string_view wanted = key.kind == Kind::kNumber ? "a whole number"
                                    : key.kind == Kind::kBytes
                                        ? "a whole number or a size such as \"64MiB\""
                                        : "a text in quotes";
    fail(origin, fmt::format("{} must be {}", key.path(), wanted));
  }
}

void Reader::load_environment(const Environment& environment) {
  for (const auto& [variable, value] : environment) {
    // Names without a section are of other programs (TIDEGATE_SERVER is the command line tool's).
    if (!variable.starts_with("TIDEGATE_") || variable.find("__") == std::string::npos) continue;
    const auto key = std::find_if(
        kKeys.begin(), kKeys.end(),
        [&name = variable](const Key& candidate) { return candidate.variable() == name; });
    if (key == kKeys.end()) {
      fail(variable, "no such key");
    } else {
      set(*key, value, variable);
    }
  }
}

// What one value alone cannot tell.
void Reader::check_together() {
  if (config_.log_store_disk_hard_bytes > config_.log_store_disk_soft_bytes) {
    fail(origin_of("log_store.disk_hard_bytes"),
         fmt::format(
             "log_store.disk_hard_bytes ({}) must not be above log_store.disk_soft_bytes ({})",
             config_.log_store_disk_hard_bytes, config_.log_store_disk_soft_bytes));
  }
  const auto memory = static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) *
                      static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  for (const std::string_view name : {"tail_bytes", "ingest_queue_bytes"}) {
    const Key* key = find_key("log_store", name);
    const std::uint64_t bytes = config_.*std::get<std::uint64_t Config::*>(key->member);
    if (bytes <= memory) continue;
    fail(origin_of(key->path()), fmt::format("{} ({}) is more than the memory of this machine ({})",
                                             key->path(), bytes, memory));
  }
}

std::string default_text(const Key& key) {
  const Config defaults;
  if (const auto* text = std::get_if<std::string Config::*>(&key.member)) return defaults.**text;
  const std::uint64_t number = defaults.*std::get<std::uint64_t Config::*>(key.member);
  if (key.kind == Kind::kBytes && number % kMiB == 0) return fmt::format("{}MiB", number / kMiB);
  return fmt::format("{}", number);
}

std::string help_text() {
  std::string text =
      "tidegated, the Tidegate gateway\n\n"
      "Usage: tidegated --data DIR [FLAG VALUE]...\n\n"
      "Each flag is also a key of the file (section.key) and a variable (TIDEGATE_SECTION__KEY).\n"
      "Flags win over the environment, the environment over the file.\n\n"
      "  --config FILE                       read keys from a TOML file\n"
      "  --help                              show this text\n"
      "  --version                           show the version\n";
  for (const Key& key : kKeys) {
    const std::string initial = default_text(key);
    text += fmt::format("  {:<35} {}{}\n",
                        key.flag() + " " + (key.kind == Kind::kAddress ? "HOST:PORT" : "VALUE"),
                        key.help, initial.empty() ? "" : fmt::format(" [{}]", initial));
  }
  return text;
}

struct CommandLine {
  std::optional<std::string> file;
  std::vector<std::pair<const Key*, std::string>> values;
  std::optional<ConfigAnswer> answer;
};

ConfigAnswer usage_error(std::string_view what) {
  return {kUsage, fmt::format("tidegated: {}\nTry 'tidegated --help'.\n", what)};
}

CommandLine parse_command_line(const std::vector<std::string>& arguments) {
  CommandLine line;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::size_t equals = arguments[i].find('=');
    const std::string flag = arguments[i].substr(0, equals);
    if (flag == "--help" || flag == "-h") {
      line.answer = ConfigAnswer{0, help_text()};
      return line;
    }
    if (flag == "--version") {
      line.answer = ConfigAnswer{0, fmt::format("tidegated {}\n", TIDEGATE_VERSION)};
      return line;
    }
    const auto key = std::find_if(kKeys.begin(), kKeys.end(), [&flag](const Key& candidate) {
      return candidate.short_flag == flag || candidate.long_flag() == flag;
    });
    if (key == kKeys.end() && flag != "--config") {
      line.answer = usage_error(fmt::format("unknown argument '{}'", arguments[i]));
      return line;
    }
    if (equals == std::string::npos && i + 1 == arguments.size()) {
      line.answer = usage_error(fmt::format("'{}' needs a value", flag));
      return line;
    }
    std::string value =
        equals == std::string::npos ? arguments[++i] : arguments[i].substr(equals + 1);
    if (flag == "--config") {
      line.file = std::move(value);
    } else {
      line.values.emplace_back(&*key, std::move(value));
    }
  }
  return line;
}

}  // namespace

LogLevel Config::log_level() const {
  if (logging_level == "debug") return LogLevel::kDebug;
  if (logging_level == "warn") return LogLevel::kWarn;
  return logging_level == "error" ? LogLevel::kError : LogLevel::kInfo;
}

unsigned Config::io_threads() const {
  if (delivery_io_threads > 0) return static_cast<unsigned>(delivery_io_threads);
  // One core is left to the appender and the gRPC threads; beyond 8 loops the disk or the network
  // is the limit.
  const unsigned cores = std::max(2U, std::thread::hardware_concurrency());
  return std::min(8U, cores - 1);
}

std::variant<Config, ConfigAnswer> read_config(const std::vector<std::string>& arguments,
                                               const Environment& environment) {
  CommandLine line = parse_command_line(arguments);
  if (line.answer) return *std::move(line.answer);
  Reader reader;
  // In rising order of precedence: a later value replaces an earlier one.
  if (line.file) reader.load_file(*line.file);
  reader.load_environment(environment);
  for (const auto& [key, value] : line.values) reader.set(*key, value, key->flag());
  reader.check_together();
  if (!reader.errors().empty()) return ConfigAnswer{kConfig, reader.errors()};
  if (reader.config().log_store_dir.empty())
    return usage_error("where is the log? Give --data DIR");
  return reader.config();
}

Environment process_environment() {
  Environment found;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (!text.starts_with("TIDEGATE_") || equals == std::string_view::npos) continue;
    found.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return found;
}

std::vector<std::string> changed_keys(const Config& before, const Config& after) {
  std::vector<std::string> changed;
  for (const Key& key : kKeys) {
    const bool is_same = std::visit(
        [&before, &after](auto member) { return before.*member == after.*member; }, key.member);
    if (!is_same) changed.push_back(key.path());
  }
  return changed;
}

}  // namespace tidegate
