#include "tools/tidegate/command.h"

#include <algorithm>
#include <cstdio>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "eventstore/base/text.h"

namespace tidegate {

void say(const std::string& message) {
  fmt::print(stderr, "tidegate: {}\n", message);
}

CLI::Option* add_number(CLI::App& app, const std::string& name, std::uint64_t& value,
                        const std::string& description, std::uint64_t low, std::uint64_t high) {
  return app.add_option(name, value, description)
      ->type_name("N")
      ->check([low, high](const std::string& text) -> std::string {
        const auto number = parse_u64(text);
        if (number && *number >= low && *number <= high) return "";
        if (high == UINT64_MAX) return fmt::format("'{}' is not a number from {}", text, low);
        return fmt::format("'{}' is not a number from {} to {}", text, low, high);
      });
}

CLI::Option* add_choice(CLI::App& app, const std::string& name, std::string& value,
                        const std::string& description, const std::vector<std::string>& choices) {
  const std::string listed = fmt::format("{}", fmt::join(choices, "|"));
  return app.add_option(name, value, description)
      ->type_name(listed)
      ->check([choices, listed](const std::string& text) -> std::string {
        if (std::find(choices.begin(), choices.end(), text) != choices.end()) return "";
        return fmt::format("'{}' is not one of {}", text, listed);
      });
}

}  // namespace tidegate
