#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "eventstore/keys.h"
#include "eventstore/types.h"

namespace tidegate {

// Every key of the `projections` column family. Numbers are big-endian, so that the order of keys
// is the order of numbers. docs/storage-format.md shows them with their values. Thread: any (pure
// functions of this file).

// Written durably, since no log tells them: 'd' name -> ProjectionRecord, 'n' -> ProjectionCatalog.
inline constexpr char kDefinitionKind = 'd';
inline constexpr char kCatalogKind = 'n';
inline std::string definition_key(std::string_view name) {
  std::string key(1, kDefinitionKind);
  key.append(name);
  return key;
}
// All definitions lie in [definitions_begin(), definitions_end()).
inline std::string definitions_begin() {
  return {kDefinitionKind};
}
inline std::string definitions_end() {
  return {static_cast<char>(kDefinitionKind + 1)};
}
inline std::string_view definition_name(std::string_view key) {
  return key.substr(1);
}
inline std::string catalog_key() {
  return {kCatalogKind};
}

// Derived from the log: kDerivedKind ('f'), a fold number, and then one of the kinds of its rows.
// Everything of a fold number lies in [fold_prefix(number), fold_prefix(number + 1)).
inline constexpr std::size_t kFoldPrefixBytes = 9;
inline std::string fold_prefix(std::uint64_t fold_number) {
  std::string key(1, kDerivedKind);
  append_big_endian(key, fold_number);
  return key;
}
// Everything of all fold numbers lies in [folds_begin(), folds_end()): for who looks for rows that
// no definition names any more.
inline std::string folds_begin() {
  return {kDerivedKind};
}
inline std::string folds_end() {
  return {static_cast<char>(kDerivedKind + 1)};
}
// Of a key in that range; 0 when it is too short to be one.
inline std::uint64_t fold_number_of(std::string_view key) {
  return key.size() < kFoldPrefixBytes ? 0 : read_big_endian(key.substr(1));
}

// The kinds, after the prefix. The checkpoint comes first.
inline constexpr char kFoldCheckpointKind = 'a';  // -> ProjectionCheckpoint
inline constexpr char kChangeKind = 'c';          // sequence, row key -> kChanged or kRemoved
inline constexpr char kMarkKind = 'm';            // sequence, row key -> empty
inline constexpr char kRowKind = 'r';             // row key -> row value (row_value.h)
inline constexpr std::string_view kChanged("\0", 1);
inline constexpr std::string_view kRemoved("\1", 1);

inline std::string fold_checkpoint_key(std::string_view prefix) {
  std::string key(prefix);
  key += kFoldCheckpointKind;
  return key;
}
inline std::string row_key(std::string_view prefix, std::string_view row) {
  std::string key(prefix);
  key += kRowKind;
  key.append(row);
  return key;
}
inline std::string change_key(std::string_view prefix, Sequence sequence, std::string_view row) {
  std::string key(prefix);
  key += kChangeKind;
  append_big_endian(key, sequence);
  key.append(row);
  return key;
}
inline std::string mark_key(std::string_view prefix, Sequence sequence, std::string_view row) {
  std::string key(prefix);
  key += kMarkKind;
  append_big_endian(key, sequence);
  key.append(row);
  return key;
}

// Behind all keys of a kind.
inline std::string end_of_kind(std::string_view prefix, char kind) {
  std::string key(prefix);
  key += static_cast<char>(kind + 1);
  return key;
}

// What lies behind the kind: of a row's key, and of a change's or mark's.
inline std::string_view row_of_row_key(std::string_view key) {
  return key.substr(kFoldPrefixBytes + 1);
}
inline constexpr std::size_t kChangePrefixBytes = kFoldPrefixBytes + 1 + 8;
inline Sequence sequence_of_change_key(std::string_view key) {
  return read_big_endian(key.substr(kFoldPrefixBytes + 1));
}
inline std::string_view row_of_change_key(std::string_view key) {
  return key.substr(kChangePrefixBytes);
}

}  // namespace tidegate
