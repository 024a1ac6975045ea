#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/base/result.h"
#include "eventstore/types.h"

namespace tidegate {

// Thread: immutable (value types of this file).

inline constexpr std::size_t kRowKeyBytesMax = 512;
inline constexpr std::size_t kRowDocumentBytesMax = std::size_t{256} << 10;

// A row of a read model: what users see.
struct Row {
  std::string key;
  std::string document;   // one JSON value, minified; empty: the row was removed
  Sequence sequence = 0;  // of the event that changed it last

  bool is_removed() const { return document.empty(); }
  friend bool operator==(const Row&, const Row&) = default;
};

// A row as a fold leaves it.
struct RowChange {
  Row row;
  // What the fold must know of the row beyond its document to go on (for example the sum and the
  // count behind an average); opaque to everybody else.
  std::string state;
};

// What a fold finds of a row.
struct StoredRow {
  std::string document;
  std::string state;
};

// Which rows. No keys and an empty prefix: all.
struct RowSelection {
  static constexpr std::size_t kKeysMax = 1000;
  std::vector<std::string> keys;  // sorted, without repetition
  std::string prefix;

  bool includes(std::string_view key) const;
  // Sorts and checks: kBadArgument for both keys and a prefix, too many keys or one too long.
  static Result<RowSelection> make(std::vector<std::string> keys, std::string prefix);
};

}  // namespace tidegate
