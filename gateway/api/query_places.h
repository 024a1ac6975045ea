#pragma once

#include <cstddef>
#include <memory>

#include "eventstore/base/guarded.h"
#include "eventstore/base/result.h"
#include "eventstore/base/string_map.h"
#include "gateway/delivery/principal.h"

namespace tidegate {

// How many queries each owner may have under way over gRPC, over all of its connections: each may
// wait in the engine, whose places are everybody's, and then hold a page until its client takes it.
// Thread: any (internally synchronised).
class QueryPlaces {
 public:
  static constexpr std::size_t kPerOwnerMax = 64;

  // Held for as long as anything of the query is; it may outlive this object. kOverloaded.
  Result<std::shared_ptr<void>> take(const Principal& principal);

 private:
  using Counts = Guarded<StringMap<std::size_t>>;  // none is 0
  const std::shared_ptr<Counts> counts_ = std::make_shared<Counts>();
};

}  // namespace tidegate
