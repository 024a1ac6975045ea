#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

struct lua_State;
struct luaL_Buffer;

namespace tidegate {

// Reads JSON into Lua values directly: a tree in between would cost more than the reading. What it
// makes is described at LuaJson. It has no destructor, so that Lua's errors may pass over it.
// Thread: caller serialises.
class LuaJsonReader {
 public:
  // The text must outlive it. `array_mark` is the reference of the metatable that arrays get.
  LuaJsonReader(lua_State* lua, std::string_view text, int array_mark)
      : lua_(lua),
        begin_(text.data()),
        at_(text.data()),
        end_(text.data() + text.size()),
        array_mark_(array_mark) {}

  // Raises. Pushes the value that the whole text is.
  void push_document();
  // Of the texts in it.
  std::size_t longest_text() const { return longest_text_; }

 private:
  void fail(const char* what);
  void skip_blanks();
  bool take(char c);
  bool take_word(std::string_view word);
  void push_value(int depth);
  void push_object(int depth);
  void push_array(int depth);
  void push_text();
  void push_escaped_text();
  void add_escaped(luaL_Buffer* text);
  std::uint32_t take_hex();
  void push_number();

  lua_State* const lua_;
  const char* const begin_;
  const char* at_;
  const char* const end_;
  const int array_mark_;
  std::size_t longest_text_ = 0;
};

}  // namespace tidegate
