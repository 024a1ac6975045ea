#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/config_issuers.h"
#include "gateway/config_keys.h"
#include "gateway/config_roles.h"

namespace tidegate {

// Puts values of any origin into a Config and collects what is wrong with them. The later of two
// values of a key stays. Thread: caller serialises.
class ConfigReader {
 public:
  // `origin`: what to name when it is wrong: a flag, a variable, or file:line:column.
  void set(const ConfigKey& key, std::string_view text, const std::string& origin);
  void fail(const std::string& origin, std::string_view what);
  void load_file(const std::string& path);
  void load_environment(const Environment& environment);
  // What one value alone cannot tell. After all of them.
  void check_together();

  // A line each.
  const std::string& errors() const { return errors_; }
  const Config& config() const { return config_; }

 private:
  void set_text(const ConfigKey& key, std::string_view text, const std::string& origin);
  void set_address(const ConfigKey& key, std::string_view text, const std::string& origin);
  void set_choice(const ConfigKey& key, std::string_view text, const std::string& origin);
  void set_number(const ConfigKey& key, std::optional<std::uint64_t> number, std::string_view text,
                  const std::string& origin, std::string_view what);
  void set_switch(const ConfigKey& key, std::string_view text, const std::string& origin);
  void set_list(const ConfigKey& key, std::vector<std::string> texts, const std::string& origin);
  // Of a flag or a variable: the value as the file would have it.
  void set_tables(const ConfigKey& key, std::string_view text, const std::string& origin);
  void set_tables(const ConfigKey& key, const toml::node& value, const TellError& tell);

  void load_list(const ConfigKey& key, const toml::node& node, const std::string& path,
                 const std::string& origin);
  void load_section(const std::string& path, std::string_view section, const toml::table& table);
  void load_value(const ConfigKey& key, const toml::node& node, const std::string& origin);
  // Who can reach a listener from elsewhere needs a token.
  void check_exposed();
  void check_tls();
  std::string origin_of(std::string_view path) const;

  Config config_;
  std::string errors_;
  std::map<std::string, std::string> origins_;  // of the values in use, by key
};

}  // namespace tidegate
