#pragma once

#include <memory>
#include <string>

#include <CLI/CLI.hpp>

#include "tools/tidegate/command.h"

namespace tidegate {

// Adds a subcommand that runs `command` with the options that its noun's subcommands share.
template <typename Options>
CLI::App* add_verb(CLI::App& noun, Context& context, const std::shared_ptr<Options>& options,
                   const std::string& name, const std::string& description,
                   Result<int> (*command)(Context&, const Options&)) {
  CLI::App* verb = noun.add_subcommand(name, description);
  verb->callback([&context, options, command] {
    context.run = [&context, options, command] { return command(context, *options); };
  });
  return verb;
}

}  // namespace tidegate
