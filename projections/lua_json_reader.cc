#include "projections/lua_json_reader.h"

#include <algorithm>
#include <charconv>
#include <system_error>
#include <type_traits>

#include <lua5.4/lua.hpp>

#include "projections/lua_library.h"

namespace tidegate {
namespace {

// Publishing takes data that is nested 64 deep.
constexpr int kReadDepthMax = 100;

void add_character(luaL_Buffer* text, std::uint32_t code) {
  const auto tail = [code](int shift) {
    return static_cast<char>(0x80U | ((code >> shift) & 0x3FU));
  };
  if (code < 0x80) {
    luaL_addchar(text, static_cast<char>(code));
  } else if (code < 0x800) {
    luaL_addchar(text, static_cast<char>(0xC0U | (code >> 6)));
    luaL_addchar(text, tail(0));
  } else if (code < 0x10000) {
    luaL_addchar(text, static_cast<char>(0xE0U | (code >> 12)));
    luaL_addchar(text, tail(6));
    luaL_addchar(text, tail(0));
  } else {
    luaL_addchar(text, static_cast<char>(0xF0U | (code >> 18)));
    luaL_addchar(text, tail(12));
    luaL_addchar(text, tail(6));
    luaL_addchar(text, tail(0));
  }
}

}  // namespace

static_assert(std::is_trivially_destructible_v<LuaJsonReader>);

void LuaJsonReader::push_document() {
  push_value(1);
  skip_blanks();
  if (at_ != end_) fail("something follows the value");
}

void LuaJsonReader::fail(const char* what) {
  luaL_error(lua_, "JSON at byte %d: %s", static_cast<int>(at_ - begin_), what);
}

void LuaJsonReader::skip_blanks() {
  while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
}

bool LuaJsonReader::take(char c) {
  if (at_ == end_ || *at_ != c) return false;
  ++at_;
  return true;
}

bool LuaJsonReader::take_word(std::string_view word) {
  if (!std::string_view(at_, static_cast<std::size_t>(end_ - at_)).starts_with(word)) {
    return false;
  }
  at_ += word.size();
  return true;
}

void LuaJsonReader::push_value(int depth) {
  if (depth > kReadDepthMax) fail("nested too deep");
  skip_blanks();
  if (take('{')) {
    push_object(depth);
  } else if (take('[')) {
    push_array(depth);
  } else if (take('"')) {
    push_text();
  } else if (take_word("true")) {
    lua_pushboolean(lua_, 1);
  } else if (take_word("false")) {
    lua_pushboolean(lua_, 0);
  } else if (take_word("null")) {
    push_lua_constant(lua_, LuaConstant::kNull);
  } else {
    push_number();
  }
}

void LuaJsonReader::push_object(int depth) {
  luaL_checkstack(lua_, 6, "JSON is nested too deep");
  lua_createtable(lua_, 0, 4);
  const int table = lua_gettop(lua_);
  skip_blanks();
  if (take('}')) return;
  do {
    skip_blanks();
    if (!take('"')) fail("a name is expected");
    push_text();
    skip_blanks();
    if (!take(':')) fail("a colon is expected");
    push_value(depth + 1);
    lua_pushvalue(lua_, -2);
    const bool is_first = lua_rawget(lua_, table) == LUA_TNIL;
    lua_pop(lua_, 1);
    if (is_first) {
      lua_rawset(lua_, table);
    } else {
      lua_pop(lua_, 2);
    }
    skip_blanks();
  } while (take(','));
  if (!take('}')) fail("a comma or a closing brace is expected");
}

void LuaJsonReader::push_array(int depth) {
  luaL_checkstack(lua_, 6, "JSON is nested too deep");
  lua_newtable(lua_);
  lua_rawgeti(lua_, LUA_REGISTRYINDEX, array_mark_);
  lua_setmetatable(lua_, -2);
  skip_blanks();
  if (take(']')) return;
  lua_Integer place = 0;
  do {
    push_value(depth + 1);
    lua_rawseti(lua_, -2, ++place);
    skip_blanks();
  } while (take(','));
  if (!take(']')) fail("a comma or a closing bracket is expected");
}

// After the opening quote.
void LuaJsonReader::push_text() {
  const char* const first = at_;
  while (at_ != end_ && *at_ != '"' && *at_ != '\\') ++at_;
  if (at_ != end_ && *at_ == '"') {
    const auto bytes = static_cast<std::size_t>(at_ - first);
    lua_pushlstring(lua_, first, bytes);
    longest_text_ = std::max(longest_text_, bytes);
    ++at_;
    return;
  }
  at_ = first;
  push_escaped_text();
  longest_text_ = std::max(longest_text_, static_cast<std::size_t>(lua_rawlen(lua_, -1)));
}

void LuaJsonReader::push_escaped_text() {
  luaL_Buffer text;
  luaL_buffinit(lua_, &text);
  for (;;) {
    const char* const first = at_;
    while (at_ != end_ && *at_ != '"' && *at_ != '\\') ++at_;
    luaL_addlstring(&text, first, static_cast<std::size_t>(at_ - first));
    if (at_ == end_) fail("a text has no end");
    if (*at_++ == '"') break;
    add_escaped(&text);
  }
  luaL_pushresult(&text);
}

// After a backslash.
void LuaJsonReader::add_escaped(luaL_Buffer* text) {
  if (at_ == end_) fail("a text has no end");
  const char c = *at_++;
  static constexpr std::string_view kNames = "\"\\/bfnrt";
  static constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
  const std::size_t index = kNames.find(c);
  if (index != std::string_view::npos) {
    luaL_addchar(text, kMeanings[index]);
    return;
  }
  if (c != 'u') fail("unknown escape");
  std::uint32_t code = take_hex();
  if (code >= 0xD800 && code < 0xDC00 && take_word("\\u")) {
    const std::uint32_t low = take_hex();
    const bool is_pair = low >= 0xDC00 && low < 0xE000;
    code = is_pair ? 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00) : 0xFFFD;
  }
  // Half a surrogate pair is no character.
  if (code >= 0xD800 && code < 0xE000) code = 0xFFFD;
  add_character(text, code);
}

std::uint32_t LuaJsonReader::take_hex() {
  std::uint32_t code = 0;
  if (end_ - at_ < 4 || std::from_chars(at_, at_ + 4, code, 16).ptr != at_ + 4) {
    fail("four hex digits are expected");
  }
  at_ += 4;
  return code;
}

void LuaJsonReader::push_number() {
  const char* const first = at_;
  bool is_integer = true;
  if (at_ != end_ && *at_ == '-') ++at_;
  for (; at_ != end_; ++at_) {
    const bool is_digit = *at_ >= '0' && *at_ <= '9';
    if (!is_digit && std::string_view(".eE+-").find(*at_) == std::string_view::npos) break;
    is_integer = is_integer && is_digit;
  }
  if (is_integer) {
    lua_Integer integer = 0;
    const auto [stop, error] = std::from_chars(first, at_, integer);
    if (error == std::errc() && stop == at_) {
      lua_pushinteger(lua_, integer);
      return;
    }
  }
  double number = 0;
  const auto [stop, error] = std::from_chars(first, at_, number);
  const std::string_view shown(first, static_cast<std::size_t>(at_ - first));
  if (error == std::errc::result_out_of_range) {
    number = 0;
    const bool is_tiny =
        shown.find("e-") != std::string_view::npos || shown.find("E-") != std::string_view::npos;
    if (!is_tiny) fail("a number that no double holds");
  } else if (error != std::errc() || stop != at_) {
    at_ = first;
    fail("a value is expected");
  }
  lua_pushnumber(lua_, number);
}

}  // namespace tidegate
