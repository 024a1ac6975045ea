#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace tidegate {

// The bytes of a write-ahead log of RocksDB, by the format of its wiki ("Write Ahead Log File
// Format"): blocks of 32 KiB, and in them pieces of records with a checksum each. A MANIFEST has
// the same format. Pure, all of it.

inline constexpr std::size_t kLogBlockBytes = 32 << 10;
// Masked CRC-32C of the type and the payload, 2 bytes of payload size, the type. A block that has
// no room for another header ends with zeros.
inline constexpr std::size_t kPieceHeaderBytes = 7;
enum PieceType : std::uint8_t { kFullPiece = 1, kFirstPiece, kMiddlePiece, kLastPiece };

struct LogPiece {
  std::uint8_t type = 0;
  std::size_t bytes = 0;  // with the header
};

std::uint32_t crc32c(std::string_view bytes);
// What the header at the beginning of `block`, the rest of a block, says. It must be there.
LogPiece claimed_piece(std::string_view block);
// The same, if the piece is there and its checksum is right.
std::optional<LogPiece> sound_piece(std::string_view block);

struct ByteRange {
  std::size_t begin = 0;
  std::size_t end = 0;
};

// What keeps RocksDB from replaying all that is sound: damaged pieces up to the end of their block,
// together with the pieces before them that they leave without an end.
//
// Once these are zero, RocksDB passes over them. Left as they are, its reader (7.8.3) gives up a
// sound record after a torn one ("Write batch content corrupted": it goes on with the checksum of
// the torn one), or turns for ever on a piece that looks like one of a recycled log.
std::vector<ByteRange> damaged_parts(std::string_view log);

}  // namespace tidegate
