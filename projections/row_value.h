#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "eventstore/base/result.h"
#include "eventstore/types.h"
#include "projections/row_store.h"

namespace tidegate {

// The values of a RowStore, between bytes and fields.
// Thread: any (pure functions of this file).

// A row: the sequence of its last change and the size of its document, 8 bytes each, big-endian;
// the document; the state. A mark has neither document nor state.
struct RowValue {
  Sequence sequence = 0;
  std::string_view document = {};
  std::string_view state = {};
};

std::string encode_row(const RowValue& row);
// Views into `value`; nothing when it is malformed.
std::optional<RowValue> decode_row(std::string_view value);

std::string encode_checkpoint(const Checkpoint& checkpoint);
// kDataLoss when it is malformed.
Result<Checkpoint> decode_checkpoint(std::string_view value);

// kDataLoss, with what to do about it.
Error damaged_rows();

}  // namespace tidegate
