#pragma once

#include <span>
#include <string_view>

namespace tidegate {

// A projection that comes with the program. Its name begins with '_', so that no user's meets it.
struct BuiltIn {
  std::string_view name;
  std::string_view text;  // TOML
};

// By name. Thread: immutable.
std::span<const BuiltIn> built_in_projections();

}  // namespace tidegate
