#include "projections/lua_library.h"

#include <algorithm>

#include <lua5.4/lua.hpp>

#include "projections/lua_sandbox.h"
#include "projections/lua_source.h"

namespace tidegate {
namespace {

// The addresses that the constants stand for.
char lua_constants[2] = {};

char* address_of(LuaConstant constant) {
  return &lua_constants[static_cast<int>(constant)];
}

// Lua's names, and those of the constants.
const char* lua_shown_type(lua_State* lua, int index) {
  if (is_lua_constant(lua, index, LuaConstant::kNull)) return "null";
  if (is_lua_constant(lua, index, LuaConstant::kDelete)) return "delete";
  return luaL_typename(lua, index);
}

int lua_type_of(lua_State* lua) {
  luaL_checkany(lua, 1);
  lua_pushstring(lua, lua_shown_type(lua, 1));
  return 1;
}

// Lua's own shows the addresses of tables and functions, which differ from run to run.
int lua_text_of(lua_State* lua) {
  luaL_checkany(lua, 1);
  switch (lua_type(lua, 1)) {
    case LUA_TNIL:
    case LUA_TBOOLEAN:
    case LUA_TNUMBER:
    case LUA_TSTRING:
      luaL_tolstring(lua, 1, nullptr);
      break;
    default:
      lua_pushstring(lua, lua_shown_type(lua, 1));
  }
  return 1;
}

int refuse_library_change(lua_State* lua) {
  return luaL_error(lua, "the tables of the libraries cannot be changed; use a table of your own");
}

// Replaces the table on the top by an empty one that shows it and cannot be changed.
void freeze_library(lua_State* lua) {
  lua_newtable(lua);
  lua_createtable(lua, 0, 2);
  lua_rotate(lua, -3, -1);
  lua_setfield(lua, -2, "__index");
  lua_pushcfunction(lua, refuse_library_change);
  lua_setfield(lua, -2, "__newindex");
  lua_setmetatable(lua, -2);
}

// Copies fields of the table at `from` to the one on the top.
template <std::size_t kCount>
void copy_fields(lua_State* lua, int from, const char* const (&names)[kCount]) {
  for (const char* const name : names) {
    lua_getfield(lua, from, name);
    lua_setfield(lua, -2, name);
  }
}

// In the library on the top; the function finds the replaced one as its upvalue.
void replace_lua_function(lua_State* lua, const char* name, int (*by)(lua_State*)) {
  lua_getfield(lua, -1, name);
  lua_pushcclosure(lua, by, 1);
  lua_setfield(lua, -2, name);
}

void add_math(lua_State* lua, int globals) {
  lua_pushcfunction(lua, luaopen_math);
  lua_call(lua, 0, 1);
  for (const char* const name : {"random", "randomseed"}) {
    lua_pushnil(lua);
    lua_setfield(lua, -2, name);
  }
  freeze_library(lua);
  lua_setfield(lua, globals, "math");
}

// Upvalue: a function of Lua's own, which finds its arguments where it expects them.
int call_replaced(lua_State* lua) {
  return lua_tocfunction(lua, lua_upvalueindex(1))(lua);
}

// For what looks through its first argument, in one instruction of any length.
int lua_charged_by_text(lua_State* lua) {
  if (lua_type(lua, 1) == LUA_TSTRING) LuaSandbox::charge_text(lua, lua_rawlen(lua, 1));
  return call_replaced(lua);
}

// For what gives out a number for each character of (text, first, last).
int lua_charged_by_range(lua_State* lua) {
  if (lua_type(lua, 1) == LUA_TSTRING && !lua_isnoneornil(lua, 3)) {
    const auto bytes = static_cast<lua_Integer>(lua_rawlen(lua, 1));
    const auto place = [bytes](lua_Integer at) { return at < 0 ? at + bytes + 1 : at; };
    const lua_Integer first =
        std::clamp<lua_Integer>(place(luaL_optinteger(lua, 2, 1)), 1, bytes + 1);
    const lua_Integer last = std::clamp<lua_Integer>(place(luaL_checkinteger(lua, 3)), 0, bytes);
    if (last - first >= kLuaResultsMax) return luaL_error(lua, "too many results; ask for fewer");
  }
  return call_replaced(lua);
}

void add_utf8(lua_State* lua, int globals) {
  lua_pushcfunction(lua, luaopen_utf8);
  lua_call(lua, 0, 1);
  for (const char* const name : {"codes", "len", "offset"})
    replace_lua_function(lua, name, lua_charged_by_text);
  replace_lua_function(lua, "codepoint", lua_charged_by_range);
  freeze_library(lua);
  lua_setfield(lua, globals, "utf8");
}

// Texts find their methods in a table that no script reaches, and have no other metamethods: Lua's
// own ones take texts for numbers.
void add_strings(lua_State* lua, int globals) {
  push_lua_string_library(lua);
  replace_lua_function(lua, "byte", lua_charged_by_range);
  lua_pushstring(lua, "");
  lua_createtable(lua, 0, 1);
  lua_pushvalue(lua, -3);
  lua_setfield(lua, -2, "__index");
  lua_setmetatable(lua, -2);
  lua_pop(lua, 1);
  freeze_library(lua);
  lua_setfield(lua, globals, "string");
}

void add_length_operator(lua_State* lua, int globals) {
  lua_newuserdatauv(lua, 0, 0);
  lua_createtable(lua, 0, 1);
  lua_pushcfunction(lua, lua_length_operator);
  lua_setfield(lua, -2, "__pow");
  lua_setmetatable(lua, -2);
  lua_setfield(lua, globals, kLuaLengthName);
}

}  // namespace

void push_lua_constant(lua_State* lua, LuaConstant constant) {
  lua_pushlightuserdata(lua, address_of(constant));
}

bool is_lua_constant(lua_State* lua, int index, LuaConstant constant) {
  return lua_islightuserdata(lua, index) && lua_touserdata(lua, index) == address_of(constant);
}

void push_lua_globals(lua_State* lua) {
  static constexpr const char* kKept[] = {"assert", "error", "ipairs", "select", "tonumber"};
  lua_createtable(lua, 0, 32);
  const int globals = lua_gettop(lua);

  // Fills the state's table of globals, which is replaced before any script runs.
  lua_pushcfunction(lua, luaopen_base);
  lua_call(lua, 0, 1);
  lua_pushvalue(lua, globals);
  copy_fields(lua, globals + 1, kKept);
  lua_settop(lua, globals);

  const luaL_Reg own[] = {{"pairs", lua_sorted_pairs},
                          {"tostring", lua_text_of},
                          {"type", lua_type_of},
                          {nullptr, nullptr}};
  luaL_setfuncs(lua, own, 0);
  push_lua_constant(lua, LuaConstant::kNull);
  lua_setfield(lua, globals, "null");
  push_lua_constant(lua, LuaConstant::kDelete);
  lua_setfield(lua, globals, "delete");

  add_strings(lua, globals);
  add_math(lua, globals);
  add_utf8(lua, globals);
  push_lua_table_library(lua);
  freeze_library(lua);
  lua_setfield(lua, globals, "table");
  add_length_operator(lua, globals);
}

}  // namespace tidegate
