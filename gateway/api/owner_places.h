#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "eventstore/base/result.h"
#include "gateway/delivery/places.h"
#include "gateway/delivery/principal.h"

namespace tidegate {

// How many calls of a kind each owner may have under way over gRPC, over all of its connections.
// Thread: any (internally synchronised).
class OwnerPlaces {
 public:
  // `kind`: for the message, "queries" for example; a literal.
  OwnerPlaces(std::size_t max, std::string_view kind) : max_(max), kind_(kind), places_(max) {}

  // Held for as long as anything of the call is; it may outlive this object. kOverloaded.
  Result<std::shared_ptr<const void>> take(const Principal& principal);

 private:
  const std::size_t max_;
  const std::string_view kind_;
  Places<std::string> places_;
};

}  // namespace tidegate
