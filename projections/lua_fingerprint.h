#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_set>
#include <vector>

struct lua_State;

namespace tidegate {

// Everything that a script can reach besides the state of a row, as it was after loading: tables by
// their entries, functions by their upvalues (the iterators of the library keep their place in
// upvalues, too). What changed since then is a memory that no row tells of: after a restart the
// same events would make other rows.
//
// Every object is pinned, so that its address stays its own; then a flat comparison of all of them
// is as good as a walk.
// Thread: caller serialises.
class LuaFingerprint {
 public:
  // Checking takes time in proportion.
  static constexpr std::size_t kObjectsMax = 10'000;

  // Raises. Remembers what can be reached from the table on the top of the stack, whose names are
  // those of globals.
  void take(lua_State* lua);

  // What changed, for a message ("upvalue 'n' of on.order"); empty: nothing. The text lives until
  // the next call. Raises only when the stack cannot grow.
  const std::string& changed(lua_State* lua);

  // Whether the table is one of those that were there after loading.
  bool contains(const void* table) const { return addresses_.contains(table); }

 private:
  struct Object {
    std::string path;
    // Of a table one hash, of a function one per upvalue.
    std::vector<std::uint64_t> hashes;
  };

  void visit(lua_State* lua, std::size_t index);
  void visit_table(lua_State* lua, const std::string& path, bool is_globals);
  void visit_upvalues(lua_State* lua, const std::string& path);
  void add_value(lua_State* lua);
  void hash(lua_State* lua, std::vector<std::uint64_t>& hashes) const;

  std::vector<Object> objects_;
  std::unordered_set<const void*> addresses_;
  int pins_ = 0;  // reference in Lua's registry to the list of the objects
  std::string found_;
  std::vector<std::uint64_t> scratch_;
};

}  // namespace tidegate
