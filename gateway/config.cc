#include "gateway/config.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <thread>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

#include "gateway/config_keys.h"
#include "gateway/config_values.h"

namespace tidegate {
namespace {

constexpr int kUsage = 64;
constexpr int kConfig = 78;

struct CommandLine {
  std::optional<std::string> file;
  std::vector<std::pair<const ConfigKey*, std::string>> values;
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
      line.answer = ConfigAnswer{0, config_help()};
      return line;
    }
    if (flag == "--version") {
      line.answer = ConfigAnswer{0, fmt::format("tidegated {}\n", TIDEGATE_VERSION)};
      return line;
    }
    const auto keys = config_keys();
    const auto key = std::find_if(keys.begin(), keys.end(), [&flag](const ConfigKey& candidate) {
      return candidate.short_flag == flag || candidate.long_flag() == flag;
    });
    if (key == keys.end() && flag != "--config") {
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
  ConfigReader reader;
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
  for (const ConfigKey& key : config_keys()) {
    const bool is_same = std::visit(
        [&before, &after](auto member) { return before.*member == after.*member; }, key.member);
    if (!is_same) changed.push_back(key.path());
  }
  return changed;
}

}  // namespace tidegate
