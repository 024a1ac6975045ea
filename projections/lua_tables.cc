// `table`, `pairs` and `#` for scripts. Lua's own versions depend on how a table is laid out in
// memory (which differs between a row that was kept and one that was read again), on the clock
// (`sort`), or on addresses (`pairs`), and count as one instruction whatever they do.

#include <algorithm>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include <lua5.4/lua.hpp>

#include "projections/lua_library.h"
#include "projections/lua_sandbox.h"

namespace tidegate {
namespace {

// Up to the first nil.
lua_Integer list_length(lua_State* lua, int table) {
  lua_Integer length = 0;
  while (lua_rawgeti(lua, table, length + 1) != LUA_TNIL) {
    lua_pop(lua, 1);
    ++length;
  }
  lua_pop(lua, 1);
  LuaSandbox::charge(lua, static_cast<std::uint64_t>(length) / 8);
  return length;
}

void charge_elements(lua_State* lua, lua_Integer count) {
  if (count > 0) LuaSandbox::charge(lua, static_cast<std::uint64_t>(count));
}

// Setting goes past no metatable: those of the libraries refuse it.
int list_insert(lua_State* lua) {
  luaL_checktype(lua, 1, LUA_TTABLE);
  const lua_Integer end = list_length(lua, 1) + 1;
  const int arguments = lua_gettop(lua);
  if (arguments != 2 && arguments != 3) {
    return luaL_error(lua, "wrong number of arguments to 'insert'");
  }
  lua_Integer place = end;
  if (arguments == 3) {
    place = luaL_checkinteger(lua, 2);
    luaL_argcheck(lua, place >= 1 && place <= end, 2, "position out of bounds");
    charge_elements(lua, end - place);
    for (lua_Integer i = end; i > place; --i) {
      lua_rawgeti(lua, 1, i - 1);
      lua_seti(lua, 1, i);
    }
  }
  lua_seti(lua, 1, place);
  return 0;
}

int list_remove(lua_State* lua) {
  luaL_checktype(lua, 1, LUA_TTABLE);
  const lua_Integer length = list_length(lua, 1);
  lua_Integer place = luaL_optinteger(lua, 2, length);
  luaL_argcheck(lua, place == length || (place >= 1 && place <= length + 1), 2,
                "position out of bounds");
  charge_elements(lua, length - place);
  lua_rawgeti(lua, 1, place);
  for (; place < length; ++place) {
    lua_rawgeti(lua, 1, place + 1);
    lua_seti(lua, 1, place);
  }
  lua_pushnil(lua);
  lua_seti(lua, 1, place);
  return 1;
}

int list_concat(lua_State* lua) {
  luaL_checktype(lua, 1, LUA_TTABLE);
  std::size_t separator_bytes = 0;
  const char* const separator = luaL_optlstring(lua, 2, "", &separator_bytes);
  const lua_Integer first = luaL_optinteger(lua, 3, 1);
  const lua_Integer last =
      lua_isnoneornil(lua, 4) ? list_length(lua, 1) : luaL_checkinteger(lua, 4);
  luaL_Buffer text;
  luaL_buffinit(lua, &text);
  // The first hole ends it, so that the range is no longer than the table.
  for (lua_Integer i = first; i <= last; ++i) {
    LuaSandbox::charge(lua, 1);
    if (lua_rawgeti(lua, 1, i) != LUA_TSTRING && lua_type(lua, -1) != LUA_TNUMBER) {
      return luaL_error(lua, "invalid value (a %s) at index %I in table for 'concat'",
                        luaL_typename(lua, -1), static_cast<LUAI_UACINT>(i));
    }
    luaL_addvalue(&text);
    if (i == last) break;  // it may be the largest integer
    luaL_addlstring(&text, separator, separator_bytes);
  }
  luaL_pushresult(&text);
  return 1;
}

int list_unpack(lua_State* lua) {
  luaL_checktype(lua, 1, LUA_TTABLE);
  const lua_Integer first = luaL_optinteger(lua, 2, 1);
  const lua_Integer last =
      lua_isnoneornil(lua, 3) ? list_length(lua, 1) : luaL_checkinteger(lua, 3);
  if (first > last) return 0;
  const std::uint64_t distance =
      static_cast<std::uint64_t>(last) - static_cast<std::uint64_t>(first);
  if (distance >= static_cast<std::uint64_t>(kLuaResultsMax) ||
      lua_checkstack(lua, static_cast<int>(distance) + 1) == 0) {
    return luaL_error(lua, "too many results to unpack");
  }
  charge_elements(lua, static_cast<lua_Integer>(distance));
  for (std::uint64_t i = 0; i <= distance; ++i) {
    lua_rawgeti(lua, 1, first + static_cast<lua_Integer>(i));
  }
  return static_cast<int>(distance) + 1;
}

int list_pack(lua_State* lua) {
  const int count = lua_gettop(lua);
  lua_createtable(lua, count, 1);
  lua_insert(lua, 1);
  for (int i = count; i >= 1; --i) lua_rawseti(lua, 1, i);
  lua_pushinteger(lua, count);
  lua_setfield(lua, 1, "n");
  return 1;
}

int list_move(lua_State* lua) {
  const lua_Integer first = luaL_checkinteger(lua, 2);
  const lua_Integer last = luaL_checkinteger(lua, 3);
  const lua_Integer place = luaL_checkinteger(lua, 4);
  const int target = lua_isnoneornil(lua, 5) ? 1 : 5;
  luaL_checktype(lua, 1, LUA_TTABLE);
  luaL_checktype(lua, target, LUA_TTABLE);
  if (first <= last) {
    luaL_argcheck(lua, first > 0 || last < LLONG_MAX + first, 3, "too many elements to move");
    const lua_Integer count = last - first + 1;
    luaL_argcheck(lua, place <= LLONG_MAX - count + 1, 4, "destination wraps around");
    charge_elements(lua, count);
    const bool is_upward = place > last || place <= first || lua_rawequal(lua, 1, target) == 0;
    for (lua_Integer i = 0; i < count; ++i) {
      const lua_Integer offset = is_upward ? i : count - 1 - i;
      lua_rawgeti(lua, 1, first + offset);
      lua_seti(lua, target, place + offset);
    }
  }
  lua_pushvalue(lua, target);
  return 1;
}

// ------------------------------------------------------------------------------------------- sort

// Arguments of `sort`: the list, its order (or nil), and a table of the same size.
constexpr int kSortList = 1;
constexpr int kSortOrder = 2;
constexpr int kSortScratch = 3;

bool is_less(lua_State* lua, int table, lua_Integer left, lua_Integer right) {
  if (lua_isnil(lua, kSortOrder)) {
    lua_rawgeti(lua, table, left);
    lua_rawgeti(lua, table, right);
    const bool less = lua_compare(lua, -2, -1, LUA_OPLT) != 0;
    lua_pop(lua, 2);
    return less;
  }
  lua_pushvalue(lua, kSortOrder);
  lua_rawgeti(lua, table, left);
  lua_rawgeti(lua, table, right);
  lua_call(lua, 2, 1);
  const bool less = lua_toboolean(lua, -1) != 0;
  lua_pop(lua, 1);
  return less;
}

// Merges the sorted [low, middle) and [middle, high) of `from` into `to`.
void merge_runs(lua_State* lua, int from, int to, lua_Integer low, lua_Integer middle,
                lua_Integer high) {
  lua_Integer left = low;
  lua_Integer right = middle;
  for (lua_Integer out = low; out < high; ++out) {
    // The left one goes first when they are equal: that makes it stable.
    const bool takes_right = left == middle || (right < high && is_less(lua, from, right, left));
    lua_rawgeti(lua, from, takes_right ? right++ : left++);
    lua_rawseti(lua, to, out);
  }
}

int list_sort(lua_State* lua) {
  luaL_checktype(lua, kSortList, LUA_TTABLE);
  if (!lua_isnoneornil(lua, kSortOrder)) luaL_checktype(lua, kSortOrder, LUA_TFUNCTION);
  lua_settop(lua, kSortOrder);
  const lua_Integer length = list_length(lua, kSortList);
  luaL_argcheck(lua, length < 1'000'000, 1, "more than a million elements to sort");
  lua_createtable(lua, static_cast<int>(length), 0);
  int from = kSortList;
  int to = kSortScratch;
  for (lua_Integer width = 1; width < length; width *= 2) {
    charge_elements(lua, length);
    for (lua_Integer low = 1; low <= length; low += 2 * width) {
      merge_runs(lua, from, to, low, std::min(low + width, length + 1),
                 std::min(low + 2 * width, length + 1));
    }
    std::swap(from, to);
  }
  if (from == kSortScratch) {
    for (lua_Integer i = 1; i <= length; ++i) {
      lua_rawgeti(lua, kSortScratch, i);
      lua_rawseti(lua, kSortList, i);
    }
  }
  return 0;
}

// ------------------------------------------------------------------------------------------ pairs

// Points into a key that its table keeps.
struct SortedKey {
  bool is_text;
  bool is_integer;
  lua_Integer integer;
  lua_Number number;
  const char* text;
  std::size_t bytes;
};

bool goes_before(const SortedKey& left, const SortedKey& right) {
  if (left.is_text != right.is_text) return right.is_text;
  if (left.is_text) {
    return std::string_view(left.text, left.bytes) < std::string_view(right.text, right.bytes);
  }
  if (left.is_integer && right.is_integer) return left.integer < right.integer;
  // Long doubles hold every integer and every number of Lua.
  const auto value = [](const SortedKey& key) {
    return key.is_integer ? static_cast<long double>(key.integer)
                          : static_cast<long double>(key.number);
  };
  return value(left) < value(right);
}

SortedKey sorted_key_at(lua_State* lua, int index) {
  SortedKey key = {};
  if (lua_type(lua, index) == LUA_TSTRING) {
    key.is_text = true;
    key.text = lua_tolstring(lua, index, &key.bytes);
  } else if (lua_isinteger(lua, index)) {
    key.is_integer = true;
    key.integer = lua_tointeger(lua, index);
  } else if (lua_type(lua, index) == LUA_TNUMBER) {
    key.number = lua_tonumber(lua, index);
  } else {
    luaL_error(lua, "pairs goes by the order of keys, and a %s has none; use numbers or text",
               luaL_typename(lua, index));
  }
  return key;
}

void push_sorted_key(lua_State* lua, const SortedKey& key) {
  if (key.is_text) {
    lua_pushlstring(lua, key.text, key.bytes);
  } else if (key.is_integer) {
    lua_pushinteger(lua, key.integer);
  } else {
    lua_pushnumber(lua, key.number);
  }
}

// Pushes the list of the keys of the table at 1.
void push_sorted_keys(lua_State* lua) {
  std::size_t count = 0;
  lua_pushnil(lua);
  while (lua_next(lua, 1) != 0) {
    lua_pop(lua, 1);
    ++count;
  }
  LuaSandbox::charge(lua, count);
  auto* const keys =
      static_cast<SortedKey*>(lua_newuserdatauv(lua, (count + 1) * sizeof(SortedKey), 0));
  std::size_t filled = 0;
  lua_pushnil(lua);
  while (lua_next(lua, 1) != 0) {
    lua_pop(lua, 1);
    keys[filled++] = sorted_key_at(lua, -1);
  }
  std::sort(keys, keys + filled, goes_before);
  lua_createtable(lua, static_cast<int>(std::min<std::size_t>(filled, INT_MAX)), 0);
  for (std::size_t i = 0; i < filled; ++i) {
    push_sorted_key(lua, keys[i]);
    lua_rawseti(lua, -2, static_cast<lua_Integer>(i) + 1);
  }
  lua_remove(lua, -2);
}

// Upvalues: the table, its keys, and the place among them (where the fingerprint of a script sees
// it).
int next_sorted_pair(lua_State* lua) {
  lua_Integer place = lua_tointeger(lua, lua_upvalueindex(3));
  while (lua_rawgeti(lua, lua_upvalueindex(2), ++place) != LUA_TNIL) {
    lua_pushvalue(lua, -1);
    if (lua_rawget(lua, lua_upvalueindex(1)) != LUA_TNIL) {
      lua_pushinteger(lua, place);
      lua_replace(lua, lua_upvalueindex(3));
      return 2;
    }
    lua_pop(lua, 2);  // removed since
  }
  return 1;
}

}  // namespace

int lua_sorted_pairs(lua_State* lua) {
  luaL_checktype(lua, 1, LUA_TTABLE);
  lua_settop(lua, 1);
  if (luaL_getmetafield(lua, 1, "__fill") != LUA_TNIL) {
    lua_pushvalue(lua, 1);
    lua_call(lua, 1, 0);
  }
  lua_pushvalue(lua, 1);
  push_sorted_keys(lua);
  lua_pushinteger(lua, 0);
  lua_pushcclosure(lua, next_sorted_pair, 3);
  lua_pushvalue(lua, 1);
  lua_pushnil(lua);
  return 3;
}

int lua_length_operator(lua_State* lua) {
  switch (lua_type(lua, 2)) {
    case LUA_TSTRING:
      lua_pushinteger(lua, static_cast<lua_Integer>(lua_rawlen(lua, 2)));
      break;
    case LUA_TTABLE:
      lua_pushinteger(lua, list_length(lua, 2));
      break;
    default:
      return luaL_error(lua, "attempt to get length of a %s value", luaL_typename(lua, 2));
  }
  return 1;
}

void push_lua_table_library(lua_State* lua) {
  const luaL_Reg functions[] = {{"concat", list_concat}, {"insert", list_insert},
                                {"move", list_move},     {"pack", list_pack},
                                {"remove", list_remove}, {"sort", list_sort},
                                {"unpack", list_unpack}, {nullptr, nullptr}};
  lua_createtable(lua, 0, 7);
  luaL_setfuncs(lua, functions, 0);
}

}  // namespace tidegate
