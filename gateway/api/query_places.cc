#include "gateway/api/query_places.h"

#include <string>
#include <utility>

#include <fmt/format.h>

namespace tidegate {

Result<std::shared_ptr<void>> QueryPlaces::take(const Principal& principal) {
  // In development mode everybody is the same owner, and on this machine.
  if (principal.is_unrestricted) return std::shared_ptr<void>();
  const bool is_taken = counts_->with([&](StringMap<std::size_t>& counts) {
    std::size_t& count = counts[principal.owner];
    if (count == kPerOwnerMax) return false;
    ++count;
    return true;
  });
  if (!is_taken) {
    return Error{
        Code::kOverloaded,
        fmt::format("the subject has {} queries under way already: take their answers first",
                    kPerOwnerMax),
        {},
        1000};
  }
  const auto leave = [counts = counts_, owner = principal.owner](void*) {
    counts->with([&](StringMap<std::size_t>& all) {
      const auto found = all.find(owner);
      if (--found->second == 0) all.erase(found);
    });
  };
  return std::shared_ptr<void>(counts_.get(), leave);
}

}  // namespace tidegate
