#pragma once

#include <functional>

#include "eventstore/event_store.h"

namespace tidegate {

class Storage;

// Reads the whole log and compares: sequences without a gap from the floor to the head, revisions
// without a gap in every stream, the chain, the index (up to its checkpoint), and cursors within
// the log. `progress` is called now and then; false stops. Holds the last revision of every stream
// in memory. Thread: any (internally synchronised); may run while the log grows.
Result<VerifyReport> verify_log(const Storage& storage, const History& history, const Head& head,
                                const std::function<bool(const VerifyProgress&)>& progress);

}  // namespace tidegate
