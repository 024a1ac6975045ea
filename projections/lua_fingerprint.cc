#include "projections/lua_fingerprint.h"

#include <bit>
#include <functional>
#include <iterator>
#include <string_view>

#include <fmt/format.h>
#include <lua5.4/lua.hpp>

namespace tidegate {
namespace {

// The paths of a long chain of tables would take memory with its square.
constexpr std::size_t kPathBytesMax = 120;

// Spreads one number over all bits (the finalizer of splitmix64).
std::uint64_t spread_bits(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

bool has_inside(int type) {
  return type == LUA_TTABLE || type == LUA_TFUNCTION;
}

// Of one value as it stands: an object is its address.
std::uint64_t hash_lua_value(lua_State* lua, int index) {
  const int type = lua_type(lua, index);
  const std::uint64_t kind = spread_bits(static_cast<std::uint64_t>(type));
  switch (type) {
    case LUA_TNIL:
      return kind;
    case LUA_TBOOLEAN:
      return spread_bits(kind + (lua_toboolean(lua, index) != 0 ? 1 : 0));
    case LUA_TNUMBER:
      // 1 and 1.0 are equal keys of a table, and different values of a row.
      if (lua_isinteger(lua, index)) {
        return spread_bits(kind ^ static_cast<std::uint64_t>(lua_tointeger(lua, index)));
      }
      return spread_bits(~kind ^ std::bit_cast<std::uint64_t>(lua_tonumber(lua, index)));
    case LUA_TSTRING: {
      std::size_t bytes = 0;
      const char* const text = lua_tolstring(lua, index, &bytes);
      return spread_bits(kind ^ std::hash<std::string_view>()({text, bytes}));
    }
    default:
      return spread_bits(kind ^ std::bit_cast<std::uintptr_t>(lua_topointer(lua, index)));
  }
}

}  // namespace

void LuaFingerprint::take(lua_State* lua) {
  objects_.clear();
  addresses_.clear();
  lua_newtable(lua);
  pins_ = luaL_ref(lua, LUA_REGISTRYINDEX);
  objects_.push_back({"the globals", {}});
  addresses_.insert(lua_topointer(lua, -1));
  lua_rawgeti(lua, LUA_REGISTRYINDEX, pins_);
  lua_pushvalue(lua, -2);
  lua_rawseti(lua, -2, 1);
  lua_pop(lua, 1);
  for (std::size_t i = 0; i < objects_.size(); ++i) visit(lua, i);
}

// Looks for objects in object `index`, which appends them.
void LuaFingerprint::visit(lua_State* lua, std::size_t index) {
  luaL_checkstack(lua, 10, "the script's tables");
  lua_rawgeti(lua, LUA_REGISTRYINDEX, pins_);
  lua_rawgeti(lua, -1, static_cast<lua_Integer>(index) + 1);
  lua_remove(lua, -2);
  if (lua_istable(lua, -1)) {
    visit_table(lua, objects_[index].path, index == 0);
  } else {
    visit_upvalues(lua, objects_[index].path);
  }
  hash(lua, objects_[index].hashes);
  lua_pop(lua, 1);
}

// `path` is of an object that moves when others are appended: it is read before.
void LuaFingerprint::visit_table(lua_State* lua, const std::string& path, bool is_globals) {
  found_ = is_globals || path.size() > kPathBytesMax ? "" : path + ".";
  const std::size_t prefix = found_.size();
  lua_pushnil(lua);
  while (lua_next(lua, -2) != 0) {
    found_.resize(prefix);
    if (lua_type(lua, -2) == LUA_TSTRING) {
      found_ += std::string_view(lua_tostring(lua, -2)).substr(0, kPathBytesMax);
    } else if (lua_isinteger(lua, -2)) {
      fmt::format_to(std::back_inserter(found_), "{}", lua_tointeger(lua, -2));
    } else {
      found_ += luaL_typename(lua, -2);
    }
    add_value(lua);
    lua_pop(lua, 1);
    // An object can be a key as well; it is found by its address in the hash, and pinned here.
    lua_pushvalue(lua, -1);
    add_value(lua);
    lua_pop(lua, 1);
  }
}

void LuaFingerprint::visit_upvalues(lua_State* lua, const std::string& path) {
  // A member, for an error passes over local objects.
  found_ = path.size() > kPathBytesMax ? "a function" : path;
  const std::size_t size = found_.size();
  for (int i = 1;; ++i) {
    const char* const name = lua_getupvalue(lua, -1, i);
    if (name == nullptr) break;
    found_.resize(size);
    found_.insert(0, "' of ").insert(0, name).insert(0, "upvalue '");
    add_value(lua);
    found_.erase(0, found_.size() - size);
    lua_pop(lua, 1);
  }
}

// Pins the value on the top under the path in `found_`, when it is an object that is new.
void LuaFingerprint::add_value(lua_State* lua) {
  if (!has_inside(lua_type(lua, -1)) || addresses_.contains(lua_topointer(lua, -1))) return;
  if (objects_.size() == kObjectsMax) {
    luaL_error(lua, "the script holds more than %d tables and functions; hold less",
               static_cast<int>(kObjectsMax));
  }
  lua_rawgeti(lua, LUA_REGISTRYINDEX, pins_);
  lua_pushvalue(lua, -2);
  lua_rawseti(lua, -2, static_cast<lua_Integer>(objects_.size()) + 1);
  lua_pop(lua, 1);
  addresses_.insert(lua_topointer(lua, -1));
  objects_.push_back({found_, {}});
}

// Of the object on the top.
void LuaFingerprint::hash(lua_State* lua, std::vector<std::uint64_t>& hashes) const {
  hashes.clear();
  if (lua_istable(lua, -1)) {
    // A sum, since the order of the entries is not that of their keys.
    std::uint64_t sum = 0;
    lua_pushnil(lua);
    while (lua_next(lua, -2) != 0) {
      sum += spread_bits(hash_lua_value(lua, -2) * 3 + hash_lua_value(lua, -1));
      lua_pop(lua, 1);
    }
    hashes.push_back(sum);
    return;
  }
  for (int i = 1; lua_getupvalue(lua, -1, i) != nullptr; ++i) {
    hashes.push_back(hash_lua_value(lua, -1));
    lua_pop(lua, 1);
  }
}

const std::string& LuaFingerprint::changed(lua_State* lua) {
  found_.clear();
  luaL_checkstack(lua, 10, "the script's tables");
  lua_rawgeti(lua, LUA_REGISTRYINDEX, pins_);
  for (std::size_t i = 0; i < objects_.size(); ++i) {
    const Object& object = objects_[i];
    lua_rawgeti(lua, -1, static_cast<lua_Integer>(i) + 1);
    hash(lua, scratch_);
    if (scratch_ == object.hashes) {
      lua_pop(lua, 1);
      continue;
    }
    if (lua_istable(lua, -1)) {
      found_ = "table " + object.path;
    } else {
      std::size_t at = 0;
      while (at < scratch_.size() && scratch_[at] == object.hashes[at]) ++at;
      const char* const name = lua_getupvalue(lua, -1, static_cast<int>(at) + 1);
      // Those of the library's iterators have no names.
      const bool has_name = name != nullptr && *name != '\0';
      if (has_name) found_.assign("upvalue '").append(name).append("' of ");
      if (!has_name) found_ = "iterator ";
      found_ += object.path;
      lua_pop(lua, name != nullptr ? 1 : 0);
    }
    lua_pop(lua, 1);
    break;
  }
  lua_pop(lua, 1);
  return found_;
}

}  // namespace tidegate
