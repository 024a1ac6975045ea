#pragma once

#include <string>
#include <string_view>

#include "eventstore/base/result.h"

namespace tidegate {

// Lua's `#` of a table with holes depends on how the table came to be, and cannot be replaced from
// outside: tables of scripts have no metatable. So `#x` becomes `__length^x` before loading: the
// operator of the same precedence among those that follow a value, with an operand of ours that
// knows what to do. Lines stay where they are.
inline constexpr const char* kLuaLengthName = "__length";

// Rewrites a script for loading. kBadArgument with the line when it uses a name that is taken
// (`_ENV` would reach around the rule that globals are constant). Whatever else is wrong with it,
// Lua will say. Thread: any (pure function).
Result<std::string> prepare_lua_source(std::string_view name, std::string_view source);

}  // namespace tidegate
