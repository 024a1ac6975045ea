#include "projections/lua_event.h"

#include <cstdint>

#include <lua5.4/lua.hpp>

#include "eventstore/filter.h"
#include "projections/lua_sandbox.h"

namespace tidegate {
namespace {

constexpr std::string_view kLuaEventFields[] = {"append_time", "attributes", "data",   "id",
                                                "revision",    "sequence",   "source", "stream",
                                                "subject",     "time",       "tokens", "type"};

void push_lua_view(lua_State* lua, std::string_view text) {
  lua_pushlstring(lua, text.data(), text.size());
}

}  // namespace

void LuaEvent::attach(lua_State* lua) {
  lua_createtable(lua, 0, 2);
  lua_pushlightuserdata(lua, this);
  lua_pushcclosure(lua, &LuaEvent::index, 1);
  lua_setfield(lua, -2, "__index");
  lua_pushlightuserdata(lua, this);
  lua_pushcclosure(lua, &LuaEvent::fill, 1);
  lua_setfield(lua, -2, "__fill");
  metatable_ = luaL_ref(lua, LUA_REGISTRYINDEX);
}

void LuaEvent::push(lua_State* lua) {
  lua_createtable(lua, 0, 2);
  lua_rawgeti(lua, LUA_REGISTRYINDEX, metatable_);
  lua_setmetatable(lua, -2);
}

LuaEvent& LuaEvent::of_upvalue(lua_State* lua) {
  return *static_cast<LuaEvent*>(lua_touserdata(lua, lua_upvalueindex(1)));
}

// The table keeps what it was asked for once.
int LuaEvent::index(lua_State* lua) {
  if (lua_type(lua, 2) != LUA_TSTRING) return 0;
  std::size_t bytes = 0;
  const char* const name = lua_tolstring(lua, 2, &bytes);
  of_upvalue(lua).push_field(lua, {name, bytes});
  lua_pushvalue(lua, 2);
  lua_pushvalue(lua, -2);
  lua_rawset(lua, 1);
  return 1;
}

// For `pairs`: all fields that the script has not set itself.
int LuaEvent::fill(lua_State* lua) {
  for (const std::string_view name : kLuaEventFields) {
    push_lua_view(lua, name);
    lua_pushvalue(lua, -1);
    if (lua_rawget(lua, 1) == LUA_TNIL) {
      lua_pop(lua, 1);
      of_upvalue(lua).push_field(lua, name);
      lua_rawset(lua, 1);
    } else {
      lua_pop(lua, 2);
    }
  }
  return 0;
}

void LuaEvent::push_field(lua_State* lua, std::string_view name) {
  luaL_checkstack(lua, 8, "an event's fields");
  if (name == "data") {
    push_data(lua);
  } else if (name == "tokens") {
    push_tokens(lua);
  } else if (name == "type") {
    push_lua_view(lua, record().type);
  } else if (name == "stream") {
    push_lua_view(lua, record().stream);
  } else if (name == "id") {
    push_lua_view(lua, view_.id());
  } else if (name == "source") {
    push_lua_view(lua, view_.source());
  } else if (name == "subject" && !view_.subject().empty()) {
    push_lua_view(lua, view_.subject());
  } else if (name == "attributes") {
    push_attributes(lua);
  } else if (!push_number_field(lua, name)) {
    lua_pushnil(lua);
  }
}

bool LuaEvent::push_number_field(lua_State* lua, std::string_view name) {
  if (name == "time") {
    lua_pushinteger(lua, view_.time_us());
  } else if (name == "append_time") {
    lua_pushinteger(lua, record().append_time_us);
  } else if (name == "sequence") {
    lua_pushinteger(lua, static_cast<lua_Integer>(record().sequence));
  } else if (name == "revision") {
    lua_pushinteger(lua, static_cast<lua_Integer>(record().revision));
  } else {
    return false;
  }
  return true;
}

void LuaEvent::push_tokens(lua_State* lua) {
  lua_createtable(lua, 4, 0);
  lua_Integer place = 0;
  for (std::string_view rest = record().stream; !rest.empty();) {
    push_lua_view(lua, next_token(rest));
    lua_rawseti(lua, -2, ++place);
  }
}

void LuaEvent::push_data(lua_State* lua) {
  if (!view_.has_data()) {
    lua_pushnil(lua);
  } else if (view_.has_json()) {
    json_.push(lua, view_.data());
    LuaSandbox::of(lua).meter().note_text(json_.longest_text());
  } else {
    push_lua_view(lua, view_.data());
  }
}

void LuaEvent::push_attributes(lua_State* lua) {
  lua_newtable(lua);
  for (const EventAttribute& attribute : view_.attributes()) {
    push_lua_view(lua, attribute.name);
    switch (attribute.kind) {
      case EventAttribute::Kind::kBool:
        lua_pushboolean(lua, attribute.number != 0 ? 1 : 0);
        break;
      case EventAttribute::Kind::kInteger:
      case EventAttribute::Kind::kTime:
        lua_pushinteger(lua, attribute.number);
        break;
      case EventAttribute::Kind::kText:
      case EventAttribute::Kind::kBytes:
        push_lua_view(lua, attribute.text);
        break;
    }
    lua_rawset(lua, -3);
  }
}

}  // namespace tidegate
