#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "eventstore/base/result.h"
#include "eventstore/segment.h"
#include "eventstore/types.h"

namespace tidegate {

// A value of the `log` column family:
//
//   chain (8 bytes, little-endian) | tidegate.storage.v1.Record in field order
//
// chain(0) = XXH3-64(log id), of the oldest history of the lineage;
// chain(n) = XXH3-64(chain(n-1) as 8 bytes little-endian, then the record's bytes without its
// chain).
//
// The record is read and written by hand on the wire format of record.proto: reading needs no copy,
// and writing is a single pass. A test holds it against the generated class.
//
// Thread: any (pure functions of this file).

// The chain before the first event.
Chain chain_of(const LogId& log);
// What the chain in a record's value should be when `before` precedes it (for verification; copies
// the value).
Chain chain_after(Chain before, std::string_view value);

// Appends a record's value to `out`, with the chain after `before`, and returns that chain.
Chain append_record(std::string& out, Chain before, std::string_view stream, Revision revision,
                    std::int64_t append_time_us, std::string_view event);

// Views into `value`. kDataLoss when it is malformed.
Result<RecordView> decode_record(Sequence sequence, std::string_view value);

// What the store itself reads of an event.
struct EventHead {
  std::string_view id;
  std::string_view source;
  std::string_view type;
};
// Views into canonical event bytes. Stops at the first field it does not need; absent fields are
// empty.
EventHead scan_event(std::string_view event);

}  // namespace tidegate
