#include "gateway/api/paging.h"

#include <string>

#include <fmt/format.h>

#include "eventstore/filter.h"
#include "gateway/api/start_place.h"

namespace tidegate {
namespace {

constexpr std::uint32_t kPageSizeDefault = 100;
constexpr std::uint32_t kPageSizeMax = 1000;

}  // namespace

Result<std::size_t> to_page_size(std::uint32_t page_size, std::initializer_list<NameField> names) {
  if (page_size > kPageSizeMax) {
    return field_error("page_size", fmt::format("must be 1-{}, is {}", kPageSizeMax, page_size));
  }
  for (const NameField& name : names) {
    if (name.text.size() <= kStreamNameBytesMax) continue;
    return field_error(
        name.field, fmt::format("at most {} bytes, are {}", kStreamNameBytesMax, name.text.size()));
  }
  return std::size_t{page_size == 0 ? kPageSizeDefault : page_size};
}

}  // namespace tidegate
