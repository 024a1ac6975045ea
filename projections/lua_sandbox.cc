#include "projections/lua_sandbox.h"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>
#include <lua5.4/lua.hpp>

#include "eventstore/base/text.h"
#include "projections/lua_library.h"
#include "projections/lua_source.h"

namespace tidegate {
namespace {

// Keys in Lua's registry: their addresses.
constexpr char kGlobalsKey = 0;
constexpr char kEnvironmentKey = 0;

// Pushes "name:line" of the script's innermost call; false, and nothing, when there is none.
bool push_lua_place(lua_State* lua) {
  lua_Debug call;
  for (int level = 0; lua_getstack(lua, level, &call) != 0; ++level) {
    lua_getinfo(lua, "Sl", &call);
    if (call.currentline > 0) {
      lua_pushfstring(lua, "%s:%d", call.short_src, call.currentline);
      return true;
    }
  }
  return false;
}

// Message handler: makes one line of whatever was raised, and says where.
int explain_lua_error(lua_State* lua) {
  if (lua_type(lua, 1) != LUA_TSTRING && lua_type(lua, 1) != LUA_TNUMBER) {
    lua_pushfstring(lua, "error was called with a %s; give it a text", luaL_typename(lua, 1));
    lua_replace(lua, 1);
  }
  const std::string_view text = lua_tostring(lua, 1);
  const std::string_view name = LuaSandbox::of(lua).name();
  // Lua shows so much of it.
  const std::string_view shown = name.substr(0, LUA_IDSIZE - 1);
  const bool has_place = text.starts_with("script ") ||
                         (text.starts_with(shown) && text.substr(shown.size()).starts_with(':'));
  if (has_place) {
    lua_settop(lua, 1);
    return 1;
  }
  if (!push_lua_place(lua)) lua_pushlstring(lua, shown.data(), shown.size());
  lua_pushstring(lua, ": ");
  lua_pushvalue(lua, 1);
  lua_concat(lua, 3);
  return 1;
}

int raise_over_budget(lua_State* lua) {
  if (!push_lua_place(lua)) lua_pushstring(lua, LuaSandbox::of(lua).name().c_str());
  const std::uint64_t limit = LuaSandbox::of(lua).meter().limits().instructions;
  lua_pushfstring(lua, "script used more than %I instructions at %s; let it do less per event",
                  static_cast<LUAI_UACINT>(limit), lua_tostring(lua, -1));
  return lua_error(lua);
}

void on_lua_slice(lua_State* lua, lua_Debug* /*call*/) {
  if (!LuaSandbox::of(lua).meter().spend_slice()) raise_over_budget(lua);
}

int refuse_lua_global(lua_State* lua) {
  const char* const name = lua_type(lua, 2) == LUA_TSTRING ? lua_tostring(lua, 2) : "?";
  return luaL_error(lua,
                    "global '%s' is set while an event is folded; what is to be remembered belongs "
                    "into the row's state",
                    name);
}

// Of a text that the script chose: what an operator can read, and the API can carry.
std::string readable_message(std::string_view text) {
  constexpr std::size_t kMessageBytesMax = 1000;
  std::size_t bytes = std::min(text.size(), kMessageBytesMax);
  while (bytes > 0 && bytes < text.size() && (text[bytes] & '\xc0') == '\x80') --bytes;
  std::string message(text.substr(0, bytes));
  const bool is_utf8 = is_valid_utf8(message);
  for (char& c : message) {
    const bool is_ascii = (c & '\x80') == 0;
    if (is_ascii ? c < ' ' : !is_utf8) c = '?';
  }
  return message;
}

// The script sees an empty table that falls back on the globals, so that setting one can be refused
// later.
int open_lua_libraries(lua_State* lua) {
  push_lua_globals(lua);
  lua_pushvalue(lua, -1);
  lua_rawsetp(lua, LUA_REGISTRYINDEX, &kGlobalsKey);
  lua_newtable(lua);
  lua_createtable(lua, 0, 2);
  lua_pushvalue(lua, -3);
  lua_setfield(lua, -2, "__index");
  lua_pushvalue(lua, -3);
  lua_setfield(lua, -2, "__newindex");
  lua_setmetatable(lua, -2);
  lua_pushvalue(lua, -1);
  lua_rawsetp(lua, LUA_REGISTRYINDEX, &kEnvironmentKey);
  lua_rawseti(lua, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  return 0;
}

}  // namespace

// -----------------------------------------------------------------------------------------
// LuaMeter

LuaMeter::LuaMeter(const LuaLimits& limits) : limits_(limits) {
  begin();
}

void LuaMeter::begin() {
  held_max_ = held_ + limits_.memory_bytes;
  used_ = 0;
  longest_text_ = longest_loaded_text_;
  refused_text_ = false;
  is_running_ = false;
}

void LuaMeter::end_loading() {
  longest_loaded_text_ = longest_text_;
  is_loading_ = false;
}

std::uint64_t LuaMeter::slice() const {
  return std::clamp<std::uint64_t>(limits_.instructions, 1, kSlice);
}

bool LuaMeter::spend(std::uint64_t instructions) {
  used_ += std::min(instructions, limits_.instructions + 1);
  return used_ <= limits_.instructions;
}

std::uint64_t LuaMeter::instructions_left() const {
  return used_ < limits_.instructions ? limits_.instructions - used_ : 0;
}

void LuaMeter::note_text(std::size_t bytes) {
  longest_text_ = std::max(longest_text_, bytes);
}

bool LuaMeter::may_grow(bool is_text, std::size_t had, std::size_t bytes) {
  // The object's header comes on top of the text.
  if (is_text && bytes > kTextBytesMax + 64) {
    refused_text_ = true;
    return false;
  }
  if (held_ - had + bytes > held_max_) {
    // Lua now collects everything and asks again; a script that lives at the limit would have that
    // done for every table that it makes.
    used_ += limits_.instructions / 10;
    return false;
  }
  // Loading makes the texts that stand in the script.
  if (is_text && (is_running_ || is_loading_)) note_text(bytes);
  // Joining texts is one instruction, however long they are.
  if (is_text && is_running_ && bytes >= 1024) used_ += bytes / 16;
  return true;
}

void* LuaMeter::allocate(void* meter, void* block, std::size_t old_bytes, std::size_t bytes) {
  auto& self = *static_cast<LuaMeter*>(meter);
  // For a new block Lua passes the kind of object in place of the old size.
  const std::size_t had = block == nullptr ? 0 : old_bytes;
  if (bytes == 0) {
    std::free(block);
    self.held_ -= had;
    return nullptr;
  }
  const bool is_text = block == nullptr && old_bytes == LUA_TSTRING;
  if (bytes > had && !self.may_grow(is_text, had, bytes)) return nullptr;
  void* const moved = std::realloc(block, bytes);
  // Lua takes for granted that a block can shrink.
  if (moved == nullptr) return bytes <= had ? block : nullptr;
  self.held_ += bytes - had;
  return moved;
}

// ---------------------------------------------------------------------------------------
// LuaSandbox

LuaSandbox::LuaSandbox(std::string_view name, const LuaLimits& limits)
    : name_(name), meter_(limits) {
  lua_ = lua_newstate(&LuaMeter::allocate, &meter_);
  if (lua_ == nullptr) return;  // `load` says so
  *static_cast<LuaSandbox**>(lua_getextraspace(lua_)) = this;
}

LuaSandbox::~LuaSandbox() {
  if (lua_ != nullptr) lua_close(lua_);
}

LuaSandbox& LuaSandbox::of(lua_State* lua) {
  return **static_cast<LuaSandbox**>(lua_getextraspace(lua));
}

void LuaSandbox::charge(lua_State* lua, std::uint64_t instructions) {
  if (!of(lua).meter_.spend(instructions)) raise_over_budget(lua);
}

void LuaSandbox::call_script(lua_State* lua, int arguments, int results) {
  LuaMeter& meter = of(lua).meter_;
  meter.set_running(true);
  lua_call(lua, arguments, results);
  meter.set_running(false);
}

void LuaSandbox::push_globals() {
  lua_rawgetp(lua_, LUA_REGISTRYINDEX, &kGlobalsKey);
}

struct LuaSandbox::Loading {
  std::string_view source;
  const char* chunk_name;
};

int LuaSandbox::load_protected(lua_State* lua) {
  const auto& loading = *static_cast<const Loading*>(lua_touserdata(lua, 1));
  open_lua_libraries(lua);
  // "t": text only; a damaged binary chunk crashes Lua.
  if (luaL_loadbufferx(lua, loading.source.data(), loading.source.size(), loading.chunk_name,
                       "t") != LUA_OK) {
    return lua_error(lua);
  }
  call_script(lua, 0, 0);
  lua_rawgetp(lua, LUA_REGISTRYINDEX, &kEnvironmentKey);
  lua_getmetatable(lua, -1);
  lua_pushcfunction(lua, refuse_lua_global);
  lua_setfield(lua, -2, "__newindex");
  return 0;
}

Status LuaSandbox::load(std::string_view source) {
  if (lua_ == nullptr) {
    return Error{Code::kBadArgument,
                 fmt::format("{}: {} bytes of memory are too few to start Lua; allow more", name_,
                             meter_.limits().memory_bytes)};
  }
  const Result<std::string> prepared = prepare_lua_source(name_, source);
  if (!prepared) return prepared.error();
  const std::string chunk_name = "=" + name_;
  Loading loading{*prepared, chunk_name.c_str()};
  auto loaded = run(&LuaSandbox::load_protected, &loading, Code::kBadArgument);
  meter_.end_loading();
  return loaded;
}

Status LuaSandbox::run(Function function, void* context, Code code) {
  meter_.begin();
  // The count of instructions begins anew, wherever the last event ended.
  lua_sethook(lua_, on_lua_slice, LUA_MASKCOUNT, static_cast<int>(meter_.slice()));
  lua_settop(lua_, 0);
  // None of these allocates: functions without upvalues and light userdata are plain values.
  lua_pushcfunction(lua_, explain_lua_error);
  lua_pushcfunction(lua_, function);
  lua_pushlightuserdata(lua_, context);
  const int status = lua_pcall(lua_, 1, 0, 1);
  meter_.set_running(false);
  if (status == LUA_OK) {
    lua_settop(lua_, 0);
    return {};
  }
  Error error = error_of(status, code);
  lua_settop(lua_, 0);
  return error;
}

Error LuaSandbox::error_of(int status, Code code) {
  if (status == LUA_ERRMEM && meter_.refused_text()) {
    return {code,
            fmt::format("{}: script makes a text of more than 1 MiB; keep texts short", name_)};
  }
  if (status == LUA_ERRMEM) {
    const std::size_t bytes = meter_.limits().memory_bytes;
    const std::string limit = bytes % (std::size_t{1} << 20) == 0
                                  ? fmt::format("{} MiB", bytes >> 20)
                                  : fmt::format("{} bytes", bytes);
    return {code, fmt::format("{}: script needs more than {}; let it hold less", name_, limit)};
  }
  std::size_t bytes = 0;
  const char* const text =
      lua_type(lua_, -1) == LUA_TSTRING ? lua_tolstring(lua_, -1, &bytes) : nullptr;
  if (text == nullptr) {
    return {code, fmt::format("{}: script failed, and so did saying why (Lua's status {})", name_,
                              status)};
  }
  return {code, readable_message({text, bytes})};
}

}  // namespace tidegate
