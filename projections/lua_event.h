#pragma once

#include <string_view>

#include "projections/event_view.h"
#include "projections/lua_json.h"

struct lua_State;

namespace tidegate {

// The `event` of a script: a table that gets each field when the script asks for it, so that an
// event costs only what is used of it. Each event has a table of its own, which may stay in a row
// only by its fields (LuaJson refuses the table itself).
// Thread: caller serialises. Must not move once it is attached.
class LuaEvent {
 public:
  explicit LuaEvent(LuaJson& json) : json_(json) {}
  LuaEvent(const LuaEvent&) = delete;
  LuaEvent& operator=(const LuaEvent&) = delete;

  // Raises. Prepares the state.
  void attach(lua_State* lua);

  // Goes to the next event. The record must outlive the call of the script.
  void begin(const RecordView& record) { view_.begin(record); }
  const RecordView& record() const { return view_.record(); }
  // Raises. Pushes the table of this event.
  void push(lua_State* lua);

 private:
  static int index(lua_State* lua);
  static int fill(lua_State* lua);
  static LuaEvent& of_upvalue(lua_State* lua);

  // Push the value of a field; nil for one that the event has not, or that no event has.
  void push_field(lua_State* lua, std::string_view name);
  bool push_number_field(lua_State* lua, std::string_view name);
  void push_tokens(lua_State* lua);
  void push_data(lua_State* lua);
  void push_attributes(lua_State* lua);

  LuaJson& json_;
  EventView view_;
  int metatable_ = 0;  // reference in Lua's registry
};

}  // namespace tidegate
