#include "gateway/api/owner_places.h"

#include <fmt/format.h>

namespace tidegate {

Result<std::shared_ptr<const void>> OwnerPlaces::take(const Principal& principal) {
  // In development mode everybody is the same owner, and on this machine.
  if (principal.is_unrestricted) return std::shared_ptr<const void>();
  if (auto place = places_.take(principal.owner)) return place;
  return Error{Code::kOverloaded,
               fmt::format("the subject has {} {} under way, as many as it may have", max_, kind_),
               {},
               1000};
}

}  // namespace tidegate
