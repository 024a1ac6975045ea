#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "eventstore/base/result.h"
#include "projections/lua_fold.h"

struct lua_State;

namespace tidegate {

// What a script uses of its limits: Lua's allocator, and a count of instructions.
// Thread: caller serialises.
class LuaMeter {
 public:
  // Of one text; the data of an event is no longer.
  static constexpr std::size_t kTextBytesMax = std::size_t{1} << 20;
  // Instructions that go uncounted at most.
  static constexpr std::uint64_t kSlice = 1000;

  explicit LuaMeter(const LuaLimits& limits);

  // Has Lua's signature of an allocator; refuses by returning null.
  static void* allocate(void* meter, void* block, std::size_t old_bytes, std::size_t bytes);

  // Everything is allowed anew, beyond what is held.
  void begin();
  // The script is loaded: its texts stay within reach for good.
  void end_loading();
  // Only while the script itself runs are allocations counted as work: what it costs to bring its
  // row into memory depends on what was in memory before.
  void set_running(bool is_running) { is_running_ = is_running; }

  // False: the budget is used up.
  bool spend(std::uint64_t instructions);
  bool spend_slice() { return spend(slice() * weight()); }
  std::uint64_t instructions_left() const;
  // The script can reach a text of this size.
  void note_text(std::size_t bytes);

  std::uint64_t slice() const;
  const LuaLimits& limits() const { return limits_; }
  std::size_t held() const { return held_; }
  bool refused_text() const { return refused_text_; }

 private:
  // Comparing, hashing and converting texts are single instructions of any length.
  std::uint64_t weight() const { return 1 + longest_text_ / 4096; }
  bool may_grow(bool is_text, std::size_t had, std::size_t bytes);

  const LuaLimits limits_;
  std::size_t held_ = 0;
  std::size_t held_max_ = 0;
  std::size_t longest_text_ = 0;
  std::size_t longest_loaded_text_ = 0;
  bool is_loading_ = true;
  std::uint64_t used_ = 0;
  bool is_running_ = false;
  bool refused_text_ = false;
};

// A Lua state in which a script can do no harm and find nothing out that differs from run to run:
// bounded work, bounded memory, no library that reaches outside, no order by address.
//
// Lua reports errors by longjmp, out of memory included. So everything that calls Lua runs inside
// of `run`, as a function whose frames hold nothing with a destructor. Such functions are marked
// "raises" here and in the other headers of lua_*.
// Thread: caller serialises.
class LuaSandbox {
 public:
  using Function = int (*)(lua_State*);

  // `name` stands before the line in messages.
  LuaSandbox(std::string_view name, const LuaLimits& limits);
  ~LuaSandbox();
  LuaSandbox(const LuaSandbox&) = delete;
  LuaSandbox& operator=(const LuaSandbox&) = delete;

  // Runs the script once; then its globals can no longer be set. kBadArgument.
  Status load(std::string_view source);

  // Calls `function` with `context` as its one argument (light userdata). An error has `code`.
  Status run(Function function, void* context, Code code);

  lua_State* lua() const { return lua_; }
  LuaMeter& meter() { return meter_; }
  const std::string& name() const { return name_; }

  static LuaSandbox& of(lua_State* lua);
  // Raises. Counts work of a library function.
  static void charge(lua_State* lua, std::uint64_t instructions);
  // Raises. The same for looking through a text.
  static void charge_text(lua_State* lua, std::size_t bytes) { charge(lua, bytes / 16); }
  // Raises. Calls a function of the script; as lua_call.
  static void call_script(lua_State* lua, int arguments, int results);
  // Raises. Pushes the table of all globals, which is not the table that the script sees.
  void push_globals();

 private:
  struct Loading;
  static int load_protected(lua_State* lua);
  Error error_of(int status, Code code);

  const std::string name_;
  LuaMeter meter_;
  lua_State* lua_ = nullptr;
};

}  // namespace tidegate
