#include "eventstore/write_ahead_log.h"

#include <algorithm>
#include <cstdint>
#include <optional>

#include <boost/crc.hpp>

namespace tidegate {
namespace {

constexpr std::size_t kBlockBytes = 32 << 10;
// Masked CRC-32C of the type and the payload, 2 bytes of payload size, the type.
constexpr std::size_t kHeaderBytes = 7;
enum PieceType : std::uint8_t { kFull = 1, kFirst = 2, kMiddle = 3, kLast = 4 };

using Crc32c = boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true>;

std::uint32_t little_endian(std::string_view bytes) {
  std::uint32_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;)
    value = value << 8 | static_cast<std::uint8_t>(bytes[i]);
  return value;
}

struct Piece {
  std::uint8_t type = 0;
  std::size_t bytes = 0;
};

// The piece that the rest of a block begins with; nothing when it is not a sound one.
std::optional<Piece> piece_of(std::string_view block) {
  if (block.size() < kHeaderBytes) return std::nullopt;
  const Piece piece{static_cast<std::uint8_t>(block[6]),
                    kHeaderBytes + little_endian(block.substr(4, 2))};
  if (piece.type < kFull || piece.type > kLast || piece.bytes > block.size()) return std::nullopt;
  Crc32c crc;
  crc.process_bytes(block.data() + 6, piece.bytes - 6);
  const std::uint32_t sum = crc.checksum();
  // Masked, because a checksum over checksums is weak (LevelDB's util/crc32c.h).
  const std::uint32_t masked = (sum >> 15 | sum << 17) + 0xA282EAD8;
  if (little_endian(block.substr(0, 4)) != masked) return std::nullopt;
  return piece;
}

}  // namespace

std::vector<ByteRange> damaged_parts(std::string_view log) {
  constexpr std::size_t kNone = std::string_view::npos;
  std::vector<ByteRange> parts;
  std::size_t torn = kNone;  // where the record begins whose end has not come yet
  std::size_t at = 0;
  while (at < log.size()) {
    const std::size_t block_end = std::min(log.size(), at - at % kBlockBytes + kBlockBytes);
    // A block that has no room for another header ends with zeros.
    const bool is_trailer = block_end % kBlockBytes == 0 && block_end - at < kHeaderBytes;
    if (is_trailer) {
      at = block_end;
      continue;
    }
    const auto piece = piece_of(log.substr(at, block_end - at));
    if (!piece) {
      parts.push_back({std::min(torn, at), block_end});
      torn = kNone;
      at = block_end;
      continue;
    }
    const bool begins = piece->type == kFull || piece->type == kFirst;
    if (begins && torn != kNone) parts.push_back({torn, at});
    if (begins || piece->type == kLast) torn = kNone;
    if (piece->type == kFirst) torn = at;
    at += piece->bytes;
  }
  return parts;
}

}  // namespace tidegate
