#pragma once

#include <string>
#include <vector>

#include "eventstore/event_store.h"

namespace tidegate::test {

// What must hold for every store at rest: the sequence is gapless from floor to head, revisions per
// stream are gapless, append times never decrease, the chain recomputes (by the documented formula,
// with the generated record class rather than the store's own code), the stream index says what the
// log says, `verify` is clean, and the cursors of `owners` stand at or below the head (below the
// floor is allowed: their owners are told of the gap).
//
// Returns one sentence per violation, at most 20.
std::vector<std::string> check_invariants(EventStore& store,
                                          const std::vector<std::string>& owners = {});

}  // namespace tidegate::test
