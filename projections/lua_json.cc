#include "projections/lua_json.h"

#include <algorithm>
#include <climits>
#include <cmath>
#include <iterator>

#include <fmt/format.h>
#include <lua5.4/lua.hpp>

#include "eventstore/base/text.h"
#include "projections/json_value.h"
#include "projections/lua_fingerprint.h"
#include "projections/lua_json_reader.h"
#include "projections/lua_library.h"
#include "projections/row.h"

namespace tidegate {

void LuaJson::attach(lua_State* lua, const LuaFingerprint& constants) {
  constants_ = &constants;
  steps_.resize(kDepthMax + 2);
  lua_newtable(lua);
  array_mark_ = luaL_ref(lua, LUA_REGISTRYINDEX);
}

void LuaJson::push(lua_State* lua, std::string_view text) {
  LuaJsonReader reader(lua, text, array_mark_);
  reader.push_document();
  longest_text_ = reader.longest_text();
}

bool LuaJson::is_array(lua_State* lua, int table) const {
  if (lua_getmetatable(lua, table) == 0) return false;
  lua_rawgeti(lua, LUA_REGISTRYINDEX, array_mark_);
  const bool is_marked = lua_rawequal(lua, -1, -2) != 0;
  lua_pop(lua, 2);
  return is_marked;
}

void LuaJson::mark_array(lua_State* lua, int table) const {
  lua_rawgeti(lua, LUA_REGISTRYINDEX, array_mark_);
  lua_setmetatable(lua, table);
}

// ------------------------------------------------------------------------------------------ settle

void LuaJson::settle(lua_State* lua, int index) {
  seen_.clear();
  bytes_ = 0;
  longest_text_ = 0;
  const int table = lua_absindex(lua, index);
  if (!is_own(lua_topointer(lua, table))) make_own(lua, table);
  settle_table(lua, table, 1);
}

// Of `depth` - 1 steps below the state.
void LuaJson::settle_table(lua_State* lua, int table, int depth) {
  if (depth > kDepthMax) refuse(lua, depth - 1, "is nested more than 64 deep, or holds itself");
  luaL_checkstack(lua, 12, "the state is nested too deep");
  if (lua_getmetatable(lua, table) != 0) {
    lua_pop(lua, 1);
    if (!is_array(lua, table)) {
      refuse(lua, depth - 1, "is the event itself or a library; keep fields of it");
    }
  }
  Keys keys;
  lua_pushnil(lua);
  while (lua_next(lua, table) != 0) {
    const int value = lua_gettop(lua);
    settle_key(lua, value - 1, depth, keys);
    settle_value(lua, table, value, depth);
    lua_settop(lua, value - 1);
  }
  settle_mark(lua, table, depth, keys);
}

void LuaJson::settle_key(lua_State* lua, int key, int depth, Keys& keys) {
  Step& step = steps_[static_cast<std::size_t>(depth)];
  if (lua_type(lua, key) == LUA_TSTRING) {
    std::size_t bytes = 0;
    const char* const name = lua_tolstring(lua, key, &bytes);
    step = {{name, bytes}, 0};
    ++keys.texts;
    settle_text(lua, key, depth);
    count_bytes(lua, 1);  // the colon
  } else if (lua_isinteger(lua, key) != 0) {
    step = {{}, lua_tointeger(lua, key)};
    ++keys.places;
    // A place below 1 fits no count.
    keys.place_max = step.place < 1 ? LLONG_MAX : std::max(keys.place_max, step.place);
  } else {
    refuse(lua, depth - 1, "has a key that is neither text nor an integer");
  }
}

void LuaJson::settle_value(lua_State* lua, int table, int value, int depth) {
  switch (lua_type(lua, value)) {
    case LUA_TBOOLEAN:
      count_bytes(lua, 4);
      break;
    case LUA_TNUMBER:
      if (lua_isinteger(lua, value) == 0 && !std::isfinite(lua_tonumber(lua, value))) {
        refuse(lua, depth, "is infinite or not a number; JSON has no such value");
      }
      count_bytes(lua, 1);
      break;
    case LUA_TSTRING:
      settle_text(lua, value, depth);
      break;
    case LUA_TTABLE:
      if (!is_own(lua_topointer(lua, value))) {
        make_own(lua, value);
        lua_pushvalue(lua, value - 1);
        lua_pushvalue(lua, value);
        lua_rawset(lua, table);
      }
      count_bytes(lua, 2);
      settle_table(lua, value, depth + 1);
      break;
    case LUA_TLIGHTUSERDATA:
      if (!is_lua_constant(lua, value, LuaConstant::kNull)) {
        refuse(lua, depth, "is `delete`; return that to remove the row, or set a field to nil");
      }
      count_bytes(lua, 4);
      break;
    default:
      refuse(lua, depth, "is a function; a state holds only what JSON has");
  }
}

void LuaJson::settle_mark(lua_State* lua, int table, int depth, const Keys& keys) {
  if (keys.texts > 0 && keys.places > 0) {
    refuse(lua, depth - 1, "has keys of both kinds; use text or 1, 2, 3 ... only");
  }
  if (keys.places != static_cast<std::uint64_t>(keys.place_max)) {
    refuse(lua, depth - 1, "has holes: number keys must be 1 to n, others text (use tostring)");
  }
  if (keys.places > 0 && !is_array(lua, table)) mark_array(lua, table);
  if (keys.texts > 0 && is_array(lua, table)) {
    lua_pushnil(lua);
    lua_setmetatable(lua, table);
  }
}

void LuaJson::settle_text(lua_State* lua, int index, int depth) {
  std::size_t bytes = 0;
  const char* const text = lua_tolstring(lua, index, &bytes);
  longest_text_ = std::max(longest_text_, bytes);
  count_bytes(lua, bytes + 2);
  if (!is_valid_utf8({text, bytes})) refuse(lua, depth, "is not UTF-8; JSON has no such text");
}

bool LuaJson::is_own(const void* table) {
  return !constants_->contains(table) && seen_.insert(table).second;
}

// Puts a copy in the place of the table. Its own tables stay shared: they are seen next.
void LuaJson::make_own(lua_State* lua, int table) {
  luaL_checkstack(lua, 8, "the state is nested too deep");
  lua_newtable(lua);
  lua_pushnil(lua);
  while (lua_next(lua, table) != 0) {
    lua_pushvalue(lua, -2);
    lua_insert(lua, -2);
    lua_rawset(lua, -4);
  }
  if (lua_getmetatable(lua, table) != 0) lua_setmetatable(lua, -2);
  seen_.insert(lua_topointer(lua, -1));
  lua_replace(lua, table);
}

// At least so many bytes of the document: a table that holds itself ends here at the latest.
void LuaJson::count_bytes(lua_State* lua, std::size_t bytes) {
  bytes_ += bytes;
  if (bytes_ > kRowDocumentBytesMax) {
    refuse(lua, 0, "is larger than 256 KiB as JSON; keep less in one row");
  }
}

// Says where in the state: "state.board[3].to".
int LuaJson::refuse(lua_State* lua, int depth, const char* what) {
  constexpr std::size_t kPlaceBytesMax = 200;
  place_ = "state";
  for (int i = 1; i <= depth && place_.size() < kPlaceBytesMax; ++i) {
    const Step& step = steps_[static_cast<std::size_t>(i)];
    if (step.name.data() == nullptr) {
      fmt::format_to(std::back_inserter(place_), "[{}]", step.place);
    } else {
      place_ += '.';
      place_ += step.name.substr(0, kPlaceBytesMax);
    }
  }
  return luaL_error(lua, "%s %s", place_.c_str(), what);
}

// ------------------------------------------------------------------------------------------ append

void LuaJson::append(lua_State* lua, int index, std::string& out) {
  names_.clear();
  append_value(lua, lua_absindex(lua, index), out);
}

void LuaJson::append_value(lua_State* lua, int index, std::string& out) {
  switch (lua_type(lua, index)) {
    case LUA_TBOOLEAN:
      out += lua_toboolean(lua, index) != 0 ? "true" : "false";
      break;
    case LUA_TNUMBER:
      if (lua_isinteger(lua, index) != 0) {
        fmt::format_to(std::back_inserter(out), "{}", lua_tointeger(lua, index));
      } else {
        append_json_double(out, lua_tonumber(lua, index));
      }
      break;
    case LUA_TSTRING: {
      std::size_t bytes = 0;
      const char* const text = lua_tolstring(lua, index, &bytes);
      append_json_string(out, {text, bytes});
      break;
    }
    case LUA_TTABLE:
      append_table(lua, index, out);
      break;
    default:
      out += "null";
  }
}

void LuaJson::append_table(lua_State* lua, int index, std::string& out) {
  luaL_checkstack(lua, 8, "the state is nested too deep");
  if (lua_rawgeti(lua, index, 1) != LUA_TNIL) {
    out += '[';
    for (lua_Integer place = 2;; ++place) {
      append_value(lua, lua_gettop(lua), out);
      lua_pop(lua, 1);
      if (lua_rawgeti(lua, index, place) == LUA_TNIL) break;
      out += ',';
    }
    lua_pop(lua, 1);
    out += ']';
    return;
  }
  lua_pop(lua, 1);
  const std::size_t first = names_.size();
  lua_pushnil(lua);
  while (lua_next(lua, index) != 0) {
    lua_pop(lua, 1);
    std::size_t bytes = 0;
    const char* const name = lua_tolstring(lua, -1, &bytes);
    names_.emplace_back(name, bytes);
  }
  if (names_.size() == first) {
    out += is_array(lua, index) ? "[]" : "{}";
    return;
  }
  // The table keeps the names while others are pushed.
  std::sort(names_.begin() + static_cast<std::ptrdiff_t>(first), names_.end());
  const std::size_t last = names_.size();
  for (std::size_t i = first; i < last; ++i) {
    const std::string_view name = names_[i];
    out += i == first ? '{' : ',';
    append_json_string(out, name);
    out += ':';
    lua_pushlstring(lua, name.data(), name.size());
    lua_rawget(lua, index);
    append_value(lua, lua_gettop(lua), out);
    lua_pop(lua, 1);
  }
  names_.resize(first);
  out += '}';
}

}  // namespace tidegate
