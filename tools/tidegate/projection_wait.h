#pragma once

#include <cstdint>
#include <string>

#include "eventstore/base/result.h"
#include "tidegate/v1/projection.pb.h"

namespace tidegate {

class Client;
struct Context;

// Commands that change a projection, and wait for what becomes of it.

// Where a version is on its way to the front. Thread: immutable.
enum class Arrival : std::uint8_t { kUnderWay, kArrived, kFailed, kPaused, kRetired, kReplaced };

// It arrived when it is live and everything up to `head` is folded in: a projection's first version
// is live from its birth, when it has no rows. Thread: any (pure function).
Arrival arrival_of(const v1::Projection& projection, std::uint32_t number, std::uint64_t head);

// Waits until this version has arrived, with a bar on stderr. The exit code is kExitInterrupted
// after Ctrl-C, and kExitFailure, said on stderr, when it stopped at an event. kCheckFailed when it
// went away for another one or the projection is paused.
Result<int> wait_for_arrival(Context& context, Client& client, const std::string& name,
                             std::uint32_t number, std::uint64_t head);

// After `projection retry`: a second at most, in which the event that stopped it is tried. `before`
// is the projection as it was then. The exit code is kExitFailure, with the reason on stderr, when
// it stopped again.
Result<int> wait_for_retry(Context& context, Client& client, const v1::Projection& before);

}  // namespace tidegate
