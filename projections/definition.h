#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "eventstore/base/result.h"
#include "eventstore/filter.h"
#include "projections/declarative.h"

namespace tidegate {

// A fold written in Lua (lua_fold.h says what a script may do).
struct Script {
  std::string source;
};

// What a projection is, as its owner wrote it in TOML:
//
//   name = "departures"                  # grammar of a stream name, at most 128 bytes
//   description = "Departures per airport"
//   streams = ["flights.>"]              # 1-32 patterns
//   types = ["flight.departed"]          # up to 32; absent: all
//
// then either the tables of a declarative fold (declarative.h) or `script = '''...'''`. Unknown
// keys are errors that name the line. Thread: immutable.
struct Definition {
  static constexpr std::size_t kTextBytesMax = std::size_t{256} << 10;
  static constexpr std::size_t kDescriptionBytesMax = 1024;

  std::string name;
  std::string description;
  std::string text;  // as it was given
  Filter filter;
  std::variant<Declarative, Script> fold;

  // kBadArgument with the line and what is wrong. Does not load a script: `make_fold` does. Takes
  // the names of built-in projections, which begin with '_': that they are not the users' to
  // define, the engine says.
  static Result<Definition> parse(std::string_view source);
};

// At most 128 bytes in the grammar of a stream name that anybody may publish to.
Status check_projection_name(std::string_view name);

}  // namespace tidegate
