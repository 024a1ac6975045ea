#include "gateway/config_issuers.h"

#include <array>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "gateway/auth/algorithm.h"

namespace tidegate {
namespace {

struct TextKey {
  std::string_view name;
  std::string Config::Issuer::*member;
  bool is_required;
};
constexpr std::array kTexts = {
    TextKey{"issuer", &Config::Issuer::issuer, true},
    TextKey{"audience", &Config::Issuer::audience, true},
    TextKey{"keys", &Config::Issuer::keys, true},
    TextKey{"ca_file", &Config::Issuer::ca_file, false},
};

struct SecondsKey {
  std::string_view name;
  std::int64_t Config::Issuer::*member;
  std::int64_t min;
  std::int64_t max;
};
constexpr std::array kSeconds = {
    SecondsKey{"leeway_s", &Config::Issuer::leeway_s, 0, 60},
    SecondsKey{"max_lifetime_s", &Config::Issuer::max_lifetime_s, 60, 366 * 24 * 3600},
};

std::vector<std::string_view> names() {
  std::vector<std::string_view> all;
  for (const Algorithm algorithm : kAlgorithms) all.push_back(algorithm_info(algorithm).name);
  return all;
}

class IssuerReader {
 public:
  IssuerReader(const toml::table& table, const TellError& tell) : table_(table), tell_(tell) {}

  Config::Issuer read() {
    for (const auto& [name, node] : table_) {
      if (!read_key(name.str(), node)) {
        tell_(name.source(), fmt::format("unknown key \"auth.issuers.{}\"", name.str()));
      }
    }
    for (const TextKey& key : kTexts) {
      if (key.is_required && !table_.contains(key.name))
        tell_(table_.source(), fmt::format("auth.issuers: an issuer has no {}", key.name));
    }
    return issuer_;
  }

 private:
  bool read_key(std::string_view name, const toml::node& node) {
    for (const TextKey& key : kTexts) {
      if (key.name != name) continue;
      const auto text = node.value_exact<std::string>();
      if (!text || text->empty()) return fail(name, node, "must be a text in quotes");
      issuer_.*key.member = *text;
      return true;
    }
    for (const SecondsKey& key : kSeconds) {
      if (key.name != name) continue;
      const auto seconds = node.value_exact<std::int64_t>();
      if (!seconds || *seconds < key.min || *seconds > key.max) {
        return fail(name, node,
                    fmt::format("must be a whole number from {} to {}", key.min, key.max));
      }
      issuer_.*key.member = *seconds;
      return true;
    }
    return name == "algorithms" && read_algorithms(node);
  }

  bool read_algorithms(const toml::node& node) {
    const toml::array* list = node.as_array();
    if (list == nullptr) return fail("algorithms", node, "must be a list such as [\"ES256\"]");
    for (const toml::node& element : *list) {
      const auto text = element.value_exact<std::string>();
      if (!text || !algorithm_from_name(*text)) {
        fail("algorithms", element, fmt::format("may have {}", fmt::join(names(), ", ")));
        continue;
      }
      issuer_.algorithms.push_back(*text);
    }
    return true;
  }

  // The key is known, whatever its value.
  bool fail(std::string_view name, const toml::node& node, std::string_view what) {
    tell_(node.source(), fmt::format("auth.issuers.{} {}", name, what));
    return true;
  }

  const toml::table& table_;
  const TellError& tell_;
  Config::Issuer issuer_;
};

}  // namespace

std::vector<Config::Issuer> read_issuers(const toml::node& value, const TellError& tell) {
  std::vector<Config::Issuer> issuers;
  const toml::array* list = value.as_array();
  if (list == nullptr) {
    tell(value.source(), "auth.issuers must be a list of tables: write [[auth.issuers]]");
    return issuers;
  }
  for (const toml::node& element : *list) {
    const toml::table* table = element.as_table();
    if (table == nullptr) {
      tell(element.source(), "auth.issuers must be a list of tables: write [[auth.issuers]]");
      continue;
    }
    Config::Issuer issuer = IssuerReader(*table, tell).read();
    for (const Config::Issuer& other : issuers) {
      if (other.issuer == issuer.issuer)
        tell(element.source(),
             fmt::format("auth.issuers: \"{}\" stands there twice", issuer.issuer));
    }
    issuers.push_back(std::move(issuer));
  }
  return issuers;
}

}  // namespace tidegate
