#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

struct lua_State;

namespace tidegate {

class LuaFingerprint;

// JSON <-> Lua values, and the rule by which a state is what its document says.
//
// A table with the keys 1..n is an array, one with text keys an object. An empty one is an array
// only when it was one before: then it has a metatable of ours that does nothing else. Every array
// gets that mark when it is read and, as part of a state, after each event; an object loses it. So
// the mark follows from the values of the last event and not from when rows were written or read.
//
// null is the constant of lua_library.h. Integers beyond 64 bits come as floats; of repeated names
// in an object the first counts.
// Thread: caller serialises. All raise.
class LuaJson {
 public:
  static constexpr int kDepthMax = 64;

  // Prepares the state. `constants` (must outlive it) are the script's own tables.
  void attach(lua_State* lua, const LuaFingerprint& constants);

  // Pushes the value.
  void push(lua_State* lua, std::string_view text);
  // Of the texts that the last call pushed or settled, the longest.
  std::size_t longest_text() const { return longest_text_; }

  // Makes the table at `index` a tree that JSON can say: raises at what it cannot, and copies
  // tables that are there twice or are constants of the script.
  void settle(lua_State* lua, int index);

  // Appends the settled value at `index`.
  void append(lua_State* lua, int index, std::string& out);

 private:
  // An entry on the way from the state to a value.
  struct Step {
    std::string_view name;  // of a field
    long long place = 0;    // in an array
  };
  // What kinds of keys a table has.
  struct Keys {
    std::uint64_t texts = 0;
    std::uint64_t places = 0;
    long long place_max = 0;
  };

  bool is_array(lua_State* lua, int table) const;
  void mark_array(lua_State* lua, int table) const;
  void settle_table(lua_State* lua, int table, int depth);
  void settle_key(lua_State* lua, int key, int depth, Keys& keys);
  void settle_value(lua_State* lua, int table, int value, int depth);
  void settle_mark(lua_State* lua, int table, int depth, const Keys& keys);
  void settle_text(lua_State* lua, int index, int depth);
  void make_own(lua_State* lua, int table);
  bool is_own(const void* table);
  void count_bytes(lua_State* lua, std::size_t bytes);
  int refuse(lua_State* lua, int depth, const char* what);

  void append_value(lua_State* lua, int index, std::string& out);
  void append_table(lua_State* lua, int index, std::string& out);

  const LuaFingerprint* constants_ = nullptr;
  int array_mark_ = 0;  // reference in Lua's registry
  std::size_t longest_text_ = 0;
  std::size_t bytes_ = 0;
  std::unordered_set<const void*> seen_;
  std::vector<Step> steps_;
  std::string place_;
  std::vector<std::string_view> names_;
};

}  // namespace tidegate
