#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace tidegate {

// The bytes of a write-ahead log of RocksDB, by the format of its wiki ("Write Ahead Log File
// Format"): blocks of 32 KiB, and in them pieces of records with a checksum each.

struct ByteRange {
  std::size_t begin = 0;
  std::size_t end = 0;
};

// What keeps RocksDB from replaying all that is sound: damaged pieces up to the end of their block,
// together with the pieces before them that they leave without an end. Pure.
//
// Once these are zero, RocksDB passes over them. Left as they are, its reader (7.8.3) gives up a
// sound record after a torn one ("Write batch content corrupted": it goes on with the checksum of
// the torn one), or turns for ever on a piece that looks like one of a recycled log.
std::vector<ByteRange> damaged_parts(std::string_view log);

}  // namespace tidegate
