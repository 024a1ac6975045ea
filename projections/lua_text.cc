// `string` for scripts. Searching uses patterns with counted steps (lua_pattern.h); what takes time
// in proportion to a text's length is Lua's own, for the meter counts long texts.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include <lua5.4/lua.hpp>

#include "projections/lua_library.h"
#include "projections/lua_pattern.h"
#include "projections/lua_sandbox.h"

namespace tidegate {
namespace {

std::string_view text_argument(lua_State* lua, int index) {
  std::size_t bytes = 0;
  const char* const text = luaL_checklstring(lua, index, &bytes);
  return {text, bytes};
}

// A place in a text as scripts count (from 1, or from the end by negative numbers), counted from 0.
std::size_t start_argument(lua_State* lua, int index, std::size_t bytes) {
  const lua_Integer start = luaL_optinteger(lua, index, 1);
  if (start > 0) return static_cast<std::size_t>(start) - 1;
  const std::uint64_t from_end = std::uint64_t{0} - static_cast<std::uint64_t>(start);
  return start == 0 || from_end > bytes ? 0 : bytes - static_cast<std::size_t>(from_end);
}

bool take_anchor(std::string_view& pattern) {
  if (!pattern.starts_with('^')) return false;
  pattern.remove_prefix(1);
  return true;
}

// As LuaPattern::search. Raises what is wrong, and when the budget is used up.
bool search_pattern(lua_State* lua, LuaPattern& pattern, std::size_t from, bool is_anchored,
                    std::size_t not_at = LuaPattern::kNone) {
  const std::uint64_t before = pattern.steps();
  const bool found = pattern.search(from, is_anchored, not_at);
  LuaSandbox::charge(lua, pattern.steps() - before);
  if (pattern.problem() != nullptr) luaL_error(lua, "%s", pattern.problem());
  return found;
}

LuaPattern make_pattern(lua_State* lua, std::string_view text, std::string_view pattern) {
  return {text, pattern, LuaSandbox::of(lua).meter().instructions_left()};
}

// Capture `index`, from 0; of a pattern without captures the first one is the whole match.
void push_capture(lua_State* lua, std::string_view text, const LuaPattern& pattern,
                  std::size_t index) {
  if (index >= pattern.capture_count()) {
    if (index != 0) {
      luaL_error(lua, "invalid capture index %%%d", static_cast<int>(index) + 1);
    }
    const std::string_view whole = text.substr(pattern.begin(), pattern.end() - pattern.begin());
    lua_pushlstring(lua, whole.data(), whole.size());
    return;
  }
  const LuaPattern::Capture& capture = pattern.capture(index);
  switch (capture.kind) {
    case LuaPattern::Capture::Kind::kText:
      lua_pushlstring(lua, text.data() + capture.begin, capture.size);
      break;
    case LuaPattern::Capture::Kind::kPosition:
      lua_pushinteger(lua, static_cast<lua_Integer>(capture.begin) + 1);
      break;
    case LuaPattern::Capture::Kind::kOpen:
      luaL_error(lua, "unfinished capture");
  }
}

int push_captures(lua_State* lua, std::string_view text, const LuaPattern& pattern,
                  bool whole_if_none) {
  const std::size_t count =
      pattern.capture_count() == 0 && whole_if_none ? 1 : pattern.capture_count();
  luaL_checkstack(lua, static_cast<int>(count) + 1, "too many captures");
  for (std::size_t i = 0; i < count; ++i) push_capture(lua, text, pattern, i);
  return static_cast<int>(count);
}

// memmem takes time in proportion to the text that it passes, whatever it looks for.
int find_plain(lua_State* lua, std::string_view text, std::string_view wanted, std::size_t start) {
  const void* const found =
      memmem(text.data() + start, text.size() - start, wanted.data(), wanted.size());
  const char* const end =
      found == nullptr ? text.data() + text.size() : static_cast<const char*>(found);
  LuaSandbox::charge_text(lua, static_cast<std::size_t>(end - text.data()) - start);
  if (found == nullptr) {
    lua_pushnil(lua);
    return 1;
  }
  const auto at = static_cast<lua_Integer>(static_cast<const char*>(found) - text.data());
  lua_pushinteger(lua, at + 1);
  lua_pushinteger(lua, at + static_cast<lua_Integer>(wanted.size()));
  return 2;
}

int find_or_match(lua_State* lua, bool is_find) {
  const std::string_view text = text_argument(lua, 1);
  std::string_view wanted = text_argument(lua, 2);
  const std::size_t start = start_argument(lua, 3, text.size());
  if (start > text.size()) {
    lua_pushnil(lua);
    return 1;
  }
  const bool is_plain =
      lua_toboolean(lua, 4) != 0 || wanted.find_first_of("^$*+?.([%-") == std::string_view::npos;
  if (is_find && is_plain) return find_plain(lua, text, wanted, start);
  const bool is_anchored = take_anchor(wanted);
  LuaPattern pattern = make_pattern(lua, text, wanted);
  if (!search_pattern(lua, pattern, start, is_anchored)) {
    lua_pushnil(lua);
    return 1;
  }
  if (!is_find) return push_captures(lua, text, pattern, true);
  lua_pushinteger(lua, static_cast<lua_Integer>(pattern.begin()) + 1);
  lua_pushinteger(lua, static_cast<lua_Integer>(pattern.end()));
  return 2 + push_captures(lua, text, pattern, false);
}

int text_find(lua_State* lua) {
  return find_or_match(lua, true);
}

int text_match(lua_State* lua) {
  return find_or_match(lua, false);
}

// Upvalues: the text, the pattern, where to go on, and where the last match ended (-1: none yet).
// They are where the fingerprint of a script sees them.
int next_match(lua_State* lua) {
  std::size_t text_bytes = 0;
  const char* const text_data = lua_tolstring(lua, lua_upvalueindex(1), &text_bytes);
  std::size_t pattern_bytes = 0;
  const char* const pattern_data = lua_tolstring(lua, lua_upvalueindex(2), &pattern_bytes);
  const std::string_view text(text_data, text_bytes);
  const auto start = static_cast<std::size_t>(lua_tointeger(lua, lua_upvalueindex(3)));
  const lua_Integer last = lua_tointeger(lua, lua_upvalueindex(4));
  LuaPattern pattern = make_pattern(lua, text, {pattern_data, pattern_bytes});
  const std::size_t not_at = last < 0 ? LuaPattern::kNone : static_cast<std::size_t>(last);
  if (start > text.size() || !search_pattern(lua, pattern, start, false, not_at)) return 0;
  for (const int upvalue : {3, 4}) {
    lua_pushinteger(lua, static_cast<lua_Integer>(pattern.end()));
    lua_replace(lua, lua_upvalueindex(upvalue));
  }
  return push_captures(lua, text, pattern, true);
}

int text_gmatch(lua_State* lua) {
  const std::string_view text = text_argument(lua, 1);
  text_argument(lua, 2);
  const std::size_t start = start_argument(lua, 3, text.size());
  lua_settop(lua, 2);
  lua_pushinteger(lua, static_cast<lua_Integer>(start));
  lua_pushinteger(lua, -1);
  lua_pushcclosure(lua, next_match, 4);
  return 1;
}

// ------------------------------------------------------------------------------------------- gsub

// Appends the replacement text at 3, in which %1 is a capture.
void add_template(lua_State* lua, luaL_Buffer* out, std::string_view text,
                  const LuaPattern& pattern) {
  const std::string_view replacement = text_argument(lua, 3);
  for (std::size_t i = 0; i < replacement.size(); ++i) {
    if (replacement[i] != '%') {
      luaL_addchar(out, replacement[i]);
      continue;
    }
    ++i;
    const char kind = i < replacement.size() ? replacement[i] : '\0';
    if (kind == '%') {
      luaL_addchar(out, '%');
    } else if (kind == '0') {
      luaL_addlstring(out, text.data() + pattern.begin(), pattern.end() - pattern.begin());
    } else if (kind >= '1' && kind <= '9') {
      push_capture(lua, text, pattern, static_cast<std::size_t>(kind - '1'));
      luaL_addvalue(out);
    } else {
      luaL_error(lua, "invalid use of '%%' in replacement string");
    }
  }
}

// Appends what takes the place of a match.
void add_replacement(lua_State* lua, luaL_Buffer* out, std::string_view text,
                     const LuaPattern& pattern) {
  switch (lua_type(lua, 3)) {
    case LUA_TFUNCTION:
      lua_pushvalue(lua, 3);
      lua_call(lua, push_captures(lua, text, pattern, true), 1);
      break;
    case LUA_TTABLE:
      push_capture(lua, text, pattern, 0);
      lua_gettable(lua, 3);
      break;
    default:
      add_template(lua, out, text, pattern);
      return;
  }
  if (lua_toboolean(lua, -1) == 0) {
    lua_pop(lua, 1);
    luaL_addlstring(out, text.data() + pattern.begin(), pattern.end() - pattern.begin());
  } else if (lua_isstring(lua, -1) == 0) {
    luaL_error(lua, "invalid replacement value (a %s)", luaL_typename(lua, -1));
  } else {
    luaL_addvalue(out);
  }
}

int text_gsub(lua_State* lua) {
  const std::string_view text = text_argument(lua, 1);
  std::string_view wanted = text_argument(lua, 2);
  const int kind = lua_type(lua, 3);
  luaL_argcheck(
      lua,
      kind == LUA_TSTRING || kind == LUA_TNUMBER || kind == LUA_TTABLE || kind == LUA_TFUNCTION, 3,
      "string, number, table or function expected");
  const auto count_max = luaL_optinteger(lua, 4, static_cast<lua_Integer>(text.size()) + 1);
  const bool is_anchored = take_anchor(wanted);
  LuaPattern pattern = make_pattern(lua, text, wanted);
  luaL_Buffer out;
  luaL_buffinit(lua, &out);
  lua_Integer count = 0;
  std::size_t from = 0;
  std::size_t last_end = LuaPattern::kNone;
  while (count < count_max && search_pattern(lua, pattern, from, is_anchored, last_end)) {
    ++count;
    luaL_addlstring(&out, text.data() + from, pattern.begin() - from);
    add_replacement(lua, &out, text, pattern);
    from = pattern.end();
    last_end = from;
    if (is_anchored) break;
  }
  luaL_addlstring(&out, text.data() + from, text.size() - from);
  luaL_pushresult(&out);
  lua_pushinteger(lua, count);
  return 2;
}

// --------------------------------------------------------------------------------------- rep,
// format

int text_rep(lua_State* lua) {
  const std::string_view text = text_argument(lua, 1);
  const lua_Integer count = luaL_checkinteger(lua, 2);
  std::size_t separator_bytes = 0;
  const char* const separator = luaL_optlstring(lua, 3, "", &separator_bytes);
  const std::size_t piece = text.size() + separator_bytes;
  // Without the second question a text of nothing could be repeated for ever.
  if (count <= 0 || piece == 0) {
    lua_pushstring(lua, "");
    return 1;
  }
  if (static_cast<std::uint64_t>(count) > LuaMeter::kTextBytesMax / piece) {
    return luaL_error(lua, "string.rep would make a text of more than 1 MiB");
  }
  LuaSandbox::charge(lua, static_cast<std::uint64_t>(count) / 8);
  luaL_Buffer out;
  luaL_buffinit(lua, &out);
  for (lua_Integer i = 0; i < count; ++i) {
    if (i > 0) luaL_addlstring(&out, separator, separator_bytes);
    luaL_addlstring(&out, text.data(), text.size());
  }
  luaL_pushresult(&out);
  return 1;
}

// Refuses the conversion that shows an address.
void check_format(lua_State* lua, std::string_view format) {
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') continue;
    i = format.find_first_not_of("-+ #0123456789.", i + 1);
    if (i == std::string_view::npos) return;  // Lua says what is wrong
    if (format[i] == 'p') {
      luaL_error(lua, "string.format has no %%p: addresses differ from run to run");
    }
  }
}

// Upvalue: Lua's own `format`.
int text_format(lua_State* lua) {
  check_format(lua, text_argument(lua, 1));
  const int arguments = lua_gettop(lua);
  for (int i = 2; i <= arguments; ++i) {
    if (is_lua_constant(lua, i, LuaConstant::kNull)) {
      lua_pushstring(lua, "null");
      lua_replace(lua, i);
    }
    const int type = lua_type(lua, i);
    if (type != LUA_TNIL && type != LUA_TBOOLEAN && type != LUA_TNUMBER && type != LUA_TSTRING) {
      return luaL_error(lua,
                        "string.format takes no %s (argument %d); give it a field, or tostring",
                        lua_typename(lua, type), i);
    }
  }
  lua_pushvalue(lua, lua_upvalueindex(1));
  lua_insert(lua, 1);
  lua_call(lua, arguments, 1);
  return 1;
}

}  // namespace

void push_lua_string_library(lua_State* lua) {
  static constexpr const char* kKept[] = {"byte", "char",    "len",  "lower",
                                          "sub",  "reverse", "upper"};
  const luaL_Reg own[] = {{"find", text_find},   {"gmatch", text_gmatch}, {"gsub", text_gsub},
                          {"match", text_match}, {"rep", text_rep},       {nullptr, nullptr}};
  lua_pushcfunction(lua, luaopen_string);
  lua_call(lua, 0, 1);
  lua_createtable(lua, 0, 16);
  for (const char* const name : kKept) {
    lua_getfield(lua, -2, name);
    lua_setfield(lua, -2, name);
  }
  luaL_setfuncs(lua, own, 0);
  lua_getfield(lua, -2, "format");
  lua_pushcclosure(lua, text_format, 1);
  lua_setfield(lua, -2, "format");
  lua_remove(lua, -2);
}

}  // namespace tidegate
