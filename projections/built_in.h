#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace tidegate {

// A projection that comes with the program. Its name begins with '_', so that no user's meets it.
struct BuiltIn {
  // What switches it on: EngineOptions::built_in or ::presence.
  enum class Switch : std::uint8_t { kBuiltIn, kPresence };
  std::string_view name;
  std::string_view text;  // TOML
  Switch by = Switch::kBuiltIn;
};

// By name. Thread: immutable.
std::span<const BuiltIn> built_in_projections();

}  // namespace tidegate
