#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "projections/row.h"
#include "tidegate/v1/projection.pb.h"

namespace tidegate {

// Rows on their way into messages. Thread: any (pure functions of this file).

inline std::size_t bytes_of(const RowSelection& selection) {
  std::size_t bytes = selection.prefix.size();
  for (const std::string& key : selection.keys) bytes += key.size();
  return bytes;
}

inline std::size_t bytes_of(const Row& row) {
  return row.key.size() + row.document.size() + sizeof(row.sequence);
}

inline std::size_t bytes_of(const std::vector<Row>& rows) {
  std::size_t bytes = 0;
  for (const Row& row : rows) bytes += bytes_of(row);
  return bytes;
}

// Moves the row out.
inline void put_row(v1::ProjectionRow& out, Row& row) {
  out.set_key(std::move(row.key));
  out.set_document(std::move(row.document));
  out.set_sequence(row.sequence);
}

}  // namespace tidegate
