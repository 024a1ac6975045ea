#pragma once

#include <string_view>

#include <toml++/toml.h>

#include "eventstore/base/result.h"
#include "eventstore/filter.h"
#include "projections/declarative.h"

namespace tidegate {

// Reading a definition's TOML: what definition.cc and declarative.cc share, apart so that who uses
// a definition need not know TOML. Thread: any (pure functions of this file).

// kBadArgument "line 12: ...".
Error definition_error(const toml::source_region& place, std::string_view what);

// Of a table that begins or holds `name`; an error names the line.
Result<Declarative> read_declarative(const toml::table& definition, const Filter& filter);

}  // namespace tidegate
