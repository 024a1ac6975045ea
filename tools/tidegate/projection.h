#pragma once

#include "tidegate/v1/projection.pb.h"
#include "tools/tidegate/command.h"

namespace tidegate {

// The parts of the noun `projection`; each adds its subcommands, as the nouns of command.h do.
// apply
void add_projection_apply(CLI::App& noun, Context& context);
// validate, test
void add_projection_definition(CLI::App& noun, Context& context);
// query
void add_projection_query(CLI::App& noun, Context& context);
// watch
void add_projection_watch(CLI::App& noun, Context& context);

class Client;
struct DefinitionFile;

inline constexpr const char* kDefinitionFileHelp =
    "Definitions in TOML; - is standard input. script_file = \"x.lua\" takes the script from there";

// ApplyProjection; with `validates` only its checks. Errors name the file.
Result<v1::Projection> send_definition(Client& client, const DefinitionFile& file, bool validates);

}  // namespace tidegate
