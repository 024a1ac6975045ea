#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gateway/config.h"

namespace tidegate {

// The table of all keys. Thread: immutable.

inline constexpr std::uint64_t kNoMaximum = UINT64_MAX;

enum class ValueKind {
  kText,
  kAddress,
  kChoice,
  kNumber,
  kBytes,
  kSwitch,
  kOrigins,
  kRanges,
  kIssuers,
  kCertificates,
};

using ConfigMember =
    std::variant<std::string Config::*, std::uint64_t Config::*, bool Config::*,
                 std::vector<std::string> Config::*, std::vector<IssuerConfig> Config::*,
                 std::vector<CertificateRole> Config::*>;

// One key with everything that is derived from it: `section.key` in the file, `--section-key` or
// the short flag on the command line, TIDEGATE_SECTION__KEY in the environment.
struct ConfigKey {
  std::string_view section;
  std::string_view name;
  std::string_view short_flag;
  ValueKind kind;
  ConfigMember member;
  std::uint64_t min;
  std::uint64_t max;
  std::string_view help;  // of kChoice: the choices first, up to ':'

  std::string path() const;
  std::string long_flag() const;
  // The short one where there is one.
  std::string flag() const;
  std::string variable() const;
};

std::span<const ConfigKey> config_keys();
// Null when there is none.
const ConfigKey* find_config_key(std::string_view section, std::string_view name);

// What `tidegated --help` prints.
std::string config_help();

}  // namespace tidegate
