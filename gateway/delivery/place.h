#pragma once

#include <cstdint>

#include "eventstore/segment.h"
#include "eventstore/types.h"

namespace tidegate {

// A place in the log of this loop, with the part of the chain that positions show.
// Thread: immutable.
struct Place {
  Sequence sequence = 0;
  std::uint32_t check = 0;

  friend bool operator==(const Place&, const Place&) = default;
};

inline Place place_of(const RecordView& record) {
  return {record.sequence, static_cast<std::uint32_t>(record.chain >> 32)};
}

inline const Place& later_of(const Place& a, const Place& b) {
  return a.sequence >= b.sequence ? a : b;
}

}  // namespace tidegate
