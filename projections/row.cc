#include "projections/row.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "eventstore/base/text.h"

namespace tidegate {
namespace {

Error selected_too_long(std::string_view what, std::string_view text) {
  return {Code::kBadArgument,
          fmt::format("the {} '{}...' has {} bytes; keys of rows have at most {}", what,
                      printable(text), text.size(), kRowKeyBytesMax)};
}

}  // namespace

bool RowSelection::includes(std::string_view key) const {
  if (keys.empty()) return key.starts_with(prefix);
  return std::binary_search(keys.begin(), keys.end(), key);
}

Result<RowSelection> RowSelection::make(std::vector<std::string> keys, std::string prefix) {
  if (!keys.empty() && !prefix.empty())
    return Error{Code::kBadArgument, "give keys or a prefix, not both"};
  if (keys.size() > kKeysMax) {
    return Error{
        Code::kBadArgument,
        fmt::format("{} keys are too many: give at most {}, a prefix, or ask several times",
                    keys.size(), kKeysMax)};
  }
  for (const std::string& key : keys) {
    if (key.size() > kRowKeyBytesMax) return selected_too_long("key", key);
  }
  if (prefix.size() > kRowKeyBytesMax) return selected_too_long("prefix", prefix);
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  return RowSelection{std::move(keys), std::move(prefix)};
}

}  // namespace tidegate
