#pragma once

#include <functional>
#include <string>
#include <vector>

#include <toml++/toml.h>

#include "gateway/config.h"

namespace tidegate {

// What is wrong with a value, and where in the file it stands.
using TellError = std::function<void(const toml::source_region& place, const std::string& what)>;

// Reads the value of `auth.issuers`, an array of tables; whatever is wrong with it is told. For
// config.cc only: toml++ takes long to compile. Thread: any (pure function).
std::vector<IssuerConfig> read_issuers(const toml::node& value, const TellError& tell);

}  // namespace tidegate
