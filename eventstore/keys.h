#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "eventstore/types.h"

namespace tidegate {

// Every key in RocksDB. Numbers are big-endian, so that the order of keys is the order of numbers.
// docs/storage-format.md shows them with their values.
// Thread: any (pure functions of this file).

inline void append_big_endian(std::string& out, std::uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xFF);
}
inline std::uint64_t read_big_endian(std::string_view eight_bytes) {
  std::uint64_t value = 0;
  for (const char c : eight_bytes.substr(0, 8)) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

// `log`: the sequence.
inline constexpr std::size_t kLogKeyBytes = 8;
inline std::string log_key(Sequence sequence) {
  std::string key;
  append_big_endian(key, sequence);
  return key;
}

// `index`: the first byte is the kind.
inline constexpr char kCheckpointKind = 'c';
inline constexpr char kRunKind = 'r';
inline constexpr char kStreamKind = 's';
inline std::string checkpoint_key() {
  return {kCheckpointKind};
}
inline std::string stream_key(std::string_view name) {
  std::string key(1, kStreamKind);
  key.append(name);
  return key;
}
inline constexpr std::size_t kRunKeyBytes = 17;
inline std::string run_key(std::uint64_t stream_number, Sequence last) {
  std::string key(1, kRunKind);
  append_big_endian(key, stream_number);
  append_big_endian(key, last);
  return key;
}
inline std::uint64_t run_stream_number(std::string_view key) {
  return read_big_endian(key.substr(1));
}
inline Sequence run_last_sequence(std::string_view key) {
  return read_big_endian(key.substr(9));
}

// `cursors`: the owner has no NUL byte, so that owners do not mix.
inline std::string cursor_key(std::string_view owner, std::string_view name) {
  std::string key(owner);
  key += '\0';
  key.append(name);
  return key;
}
inline std::string_view cursor_owner(std::string_view key) {
  return key.substr(0, key.find('\0'));
}
inline std::string_view cursor_name(std::string_view key) {
  return key.substr(key.find('\0') + 1);
}

// `projections`: what begins with this byte is derived from the log, and made again when it is
// lost. The rest is definitions, which nothing else tells. projections/row_keys.h has the keys
// themselves.
inline constexpr char kDerivedKind = 'f';

// `meta`.
inline constexpr std::string_view kLineageKey = "lineage";
inline constexpr std::string_view kFloorKey = "floor";

}  // namespace tidegate
