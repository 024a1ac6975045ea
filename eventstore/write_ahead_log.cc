#include "eventstore/write_ahead_log.h"

#include <algorithm>

#include <boost/crc.hpp>

namespace tidegate {
namespace {

std::uint32_t little_endian(std::string_view bytes) {
  std::uint32_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;)
    value = value << 8 | static_cast<std::uint8_t>(bytes[i]);
  return value;
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
  crc.process_bytes(bytes.data(), bytes.size());
  return crc.checksum();
}

LogPiece claimed_piece(std::string_view block) {
  return {static_cast<std::uint8_t>(block[6]),
          kPieceHeaderBytes + little_endian(block.substr(4, 2))};
}

std::optional<LogPiece> sound_piece(std::string_view block) {
  if (block.size() < kPieceHeaderBytes) return std::nullopt;
  const LogPiece piece = claimed_piece(block);
  if (piece.type < kFullPiece || piece.type > kLastPiece || piece.bytes > block.size())
    return std::nullopt;
  const std::uint32_t sum = crc32c(block.substr(6, piece.bytes - 6));
  // Masked, because a checksum over checksums is weak (LevelDB's util/crc32c.h).
  const std::uint32_t masked = (sum >> 15 | sum << 17) + 0xA282EAD8;
  if (little_endian(block.substr(0, 4)) != masked) return std::nullopt;
  return piece;
}

std::vector<ByteRange> damaged_parts(std::string_view log) {
  constexpr std::size_t kNone = std::string_view::npos;
  std::vector<ByteRange> parts;
  std::size_t torn = kNone;  // where the record begins whose end has not come yet
  std::size_t at = 0;
  while (at < log.size()) {
    const std::size_t block_end = std::min(log.size(), at - at % kLogBlockBytes + kLogBlockBytes);
    const bool is_trailer = block_end % kLogBlockBytes == 0 && block_end - at < kPieceHeaderBytes;
    if (is_trailer) {
      at = block_end;
      continue;
    }
    const auto piece = sound_piece(log.substr(at, block_end - at));
    if (!piece) {
      parts.push_back({std::min(torn, at), block_end});
      torn = kNone;
      at = block_end;
      continue;
    }
    const bool begins = piece->type == kFullPiece || piece->type == kFirstPiece;
    if (begins && torn != kNone) parts.push_back({torn, at});
    if (begins || piece->type == kLastPiece) torn = kNone;
    if (piece->type == kFirstPiece) torn = at;
    at += piece->bytes;
  }
  return parts;
}

}  // namespace tidegate
