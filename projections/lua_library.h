#pragma once

struct lua_State;

namespace tidegate {

// The functions that a script can call. Those of Lua stay where they are deterministic and do a
// bounded amount of work; the others have a version of our own.
// Thread: caller serialises (functions of a Lua state). All raise.

// The address of a constant is its value in Lua, as light userdata.
enum class LuaConstant : char { kNull, kDelete };
void push_lua_constant(lua_State* lua, LuaConstant constant);
bool is_lua_constant(lua_State* lua, int index, LuaConstant constant);

// Values that a function of a library may give out at once: what a script does with all of them is
// one instruction.
inline constexpr int kLuaResultsMax = 250;

// Pushes the table of globals that every script begins with, and gives texts their methods.
void push_lua_globals(lua_State* lua);

// Push one library each (lua_text.cc, lua_tables.cc).
void push_lua_string_library(lua_State* lua);
void push_lua_table_library(lua_State* lua);

// `pairs`, in the order of the keys. A table whose metatable has `__fill` is given to that function
// first (lua_tables.cc).
int lua_sorted_pairs(lua_State* lua);
// What `#` does, as the operator that lua_source.h puts in its place (lua_tables.cc).
int lua_length_operator(lua_State* lua);

}  // namespace tidegate
