#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace tidegate {

struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const {
    return std::hash<std::string_view>()(text);
  }
};

// A map by name that is searched with string_view without making a string (Debian's absl maps
// cannot: their string_view is not the standard one). Thread: caller serialises.
template <typename Value>
using StringMap = std::unordered_map<std::string, Value, StringHash, std::equal_to<>>;

}  // namespace tidegate
