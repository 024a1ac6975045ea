#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "eventstore/base/result.h"
#include "projections/fold.h"

namespace tidegate {

struct Definition;

// What one script may use. Thread: immutable.
struct LuaLimits {
  // Per event (`key`, `init` and the handler together), and once for loading. Work of library
  // functions counts too, and an instruction counts several times while texts of more than 4 KiB
  // are about.
  std::uint64_t instructions = 1'000'000;
  // Per event beyond the rows that are held already (Fold::bytes says how much those take), and for
  // loading.
  std::size_t memory_bytes = std::size_t{64} << 20;
};

// A fold written in Lua 5.4:
//
//   function init() return { flights = 0 } end        -- optional; the state of a new row, or {}
//   function key(event) return event.tokens[1] end    -- optional; text, nil leaves the event out;
//                                                      -- without it there is one row, "all"
//   on = {}                                           -- handlers by type, "*" for all other types
//   on["flight.departed"] = function(state, event)
//     state.flights = state.flights + 1
//     return state                                    -- the new state; nothing: the same table;
//   end                                               -- `delete`: the row goes
//
// `event` has `stream`, `tokens` (from 1), `type`, `source`, `id`, `subject`, `time` (event time in
// microseconds, or else append time), `append_time`, `sequence`, `revision`, `data` and
// `attributes` (by name). `data` is the JSON as Lua values, or text when it is not JSON; JSON's
// null is the constant `null`. What the event has not is nil.
//
// The state is a table, and the row's document is that table as JSON: keys 1..n make an array, text
// keys an object, with its fields sorted by name; nested at most 64 deep. An empty table is {},
// unless it was an array before. Integers have 64 bits and stay integers, 2.0 stays a float. Holes,
// mixed keys, functions, NaN and infinities are errors. After each event the state is what its
// document says: a table that it holds twice, or shares with a constant of the script, is copied.
//
// There are `string` (without dump, pack, unpack, packsize), `table`, `math` (without random),
// `utf8` (whole), `assert`, `error`, `ipairs`, `pairs`, `select`, `tonumber`, `tostring` and
// `type`. What differs from Lua: `pairs` goes in the order of the keys, numbers before text; `#`
// and `table` count up to the first nil; `table.sort` is stable; text is not taken for a number in
// arithmetic; a text has at most 1 MiB; `table.unpack`, `byte` and `codepoint` give out at most 250
// values; `tostring` of a table or function says only that. Lines end with LF or CR LF. The names
// `_ENV` and `__length` are taken.
//
// A script may keep constants, and nothing else, outside of the state: a global, upvalue or table
// of its own that changed since loading is an error before any row of these events is committed.
//
// kBadArgument, with the script's line, when it cannot be loaded. The definition must hold a
// Script.
Result<std::unique_ptr<Fold>> make_lua_fold(const Definition& definition,
                                            const LuaLimits& limits = {});

}  // namespace tidegate
