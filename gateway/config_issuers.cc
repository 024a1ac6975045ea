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
  std::string IssuerConfig::*member;
  bool is_required;
};
constexpr std::array kTexts = {
    TextKey{"issuer", &IssuerConfig::issuer, true},
    TextKey{"audience", &IssuerConfig::audience, true},
    TextKey{"keys", &IssuerConfig::keys, true},
    TextKey{"ca_file", &IssuerConfig::ca_file, false},
};

struct SecondsKey {
  std::string_view name;
  std::int64_t IssuerConfig::*member;
  std::int64_t min;
  std::int64_t max;
};
constexpr std::array kSeconds = {
    SecondsKey{"leeway_s", &IssuerConfig::leeway_s, 0, kLeewayMax_s},
    SecondsKey{"max_lifetime_s", &IssuerConfig::max_lifetime_s, 1, kLifetimeMax_s},
};

std::vector<std::string_view> names() {
  std::vector<std::string_view> all;
  for (const Algorithm algorithm : kAlgorithms) all.push_back(algorithm_info(algorithm).name);
  return all;
}

class IssuerReader {
 public:
  IssuerReader(const toml::table& table, const TellError& tell) : table_(table), tell_(tell) {}

  IssuerConfig read() {
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
      const auto algorithm = algorithm_from_name(text.value_or(""));
      if (!algorithm) {
        fail("algorithms", element, fmt::format("may have {}", fmt::join(names(), ", ")));
        continue;
      }
      issuer_.algorithms.push_back(*algorithm);
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
  IssuerConfig issuer_;
};

}  // namespace

std::vector<IssuerConfig> read_issuers(const toml::node& value, const TellError& tell) {
  std::vector<IssuerConfig> issuers;
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
    IssuerConfig issuer = IssuerReader(*table, tell).read();
    for (const IssuerConfig& other : issuers) {
      if (other.issuer == issuer.issuer)
        tell(element.source(),
             fmt::format("auth.issuers: \"{}\" stands there twice", issuer.issuer));
    }
    issuers.push_back(std::move(issuer));
  }
  return issuers;
}

}  // namespace tidegate
