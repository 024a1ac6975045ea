#pragma once

#include <cstdint>
#include <set>

#include "eventstore/base/result.h"
#include "eventstore/event_store.h"
#include "projections/engine.h"
#include "projections/projection.h"
#include "projections/registry.h"

namespace tidegate {

// Makes the projections that are on disk, each version where its checkpoint says. A version whose
// checkpoint is not of this log's history begins anew under a new number, so that no place that was
// told of it is taken for one of its successor; a retired one is dropped.
//
// Then takes away the rows that no version names. Returns after everything is on disk; kDataLoss
// when definitions are damaged. Damaged rows are no error: they are folded anew. Thread: before any
// other has the engine.
Status load_projections(EventStore& store, Registry& registry, Projections& projections,
                        const EngineOptions& options);

}  // namespace tidegate
