#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "eventstore/base/result.h"

namespace tidegate {

// Thread: any (pure functions of this file).

// A field of a list request that holds a name, or the beginning of one.
struct NameField {
  std::string_view field;
  std::string_view text;
};

// How many a page of a list holds, from the request's `page_size`: 0 is 100. kBadArgument above
// 1,000, and for a text that is longer than any name.
Result<std::size_t> to_page_size(std::uint32_t page_size, std::initializer_list<NameField> names);

}  // namespace tidegate
