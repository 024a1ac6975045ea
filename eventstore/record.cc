#include "eventstore/record.h"

#include <bit>
#include <cstring>
#include <optional>
#include <xxhash.h>

#include <fmt/format.h>

namespace tidegate {
namespace {

static_assert(std::endian::native == std::endian::little, "the formats below are little-endian");

constexpr std::size_t kChainBytes = 8;

// Wire types of Protocol Buffers.
constexpr std::uint64_t kVarint = 0;
constexpr std::uint64_t kLengthDelimited = 2;

void append_varint(std::string& out, std::uint64_t value) {
  while (value >= 0x80) {
    out += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  out += static_cast<char>(value);
}

void append_bytes(std::string& out, std::uint64_t field, std::string_view bytes) {
  append_varint(out, field << 3 | kLengthDelimited);
  append_varint(out, bytes.size());
  out.append(bytes);
}

void append_number(std::string& out, std::uint64_t field, std::uint64_t value) {
  append_varint(out, field << 3 | kVarint);
  append_varint(out, value);
}

bool take_varint(std::string_view& in, std::uint64_t& value) {
  value = 0;
  for (unsigned shift = 0; shift < 64 && !in.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(in.front());
    in.remove_prefix(1);
    value |= std::uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

// One field of a message: its number and either a number or bytes.
struct Field {
  std::uint64_t number = 0;
  std::uint64_t value = 0;
  std::string_view bytes;
};

std::optional<Field> take_field(std::string_view& in) {
  Field field;
  std::uint64_t tag = 0;
  if (!take_varint(in, tag)) return std::nullopt;
  field.number = tag >> 3;
  if ((tag & 7) == kVarint) {
    if (!take_varint(in, field.value)) return std::nullopt;
    return field;
  }
  if ((tag & 7) != kLengthDelimited) return std::nullopt;
  std::uint64_t size = 0;
  if (!take_varint(in, size) || size > in.size()) return std::nullopt;
  field.bytes = in.substr(0, size);
  in.remove_prefix(size);
  return field;
}

}  // namespace

Chain chain_of(const LogId& log) {
  return XXH3_64bits(log.text().data(), log.text().size());
}

Chain chain_after(Chain before, std::string_view value) {
  TG_CHECK(value.size() >= kChainBytes, value.size());
  std::string input(value);
  std::memcpy(input.data(), &before, kChainBytes);
  return XXH3_64bits(input.data(), input.size());
}

Chain append_record(std::string& out, Chain before, std::string_view stream, Revision revision,
                    std::int64_t append_time_us, std::string_view event) {
  // The chain before stands where the new one will, so that hash input and value are one buffer.
  const std::size_t start = out.size();
  out.append(reinterpret_cast<const char*>(&before), kChainBytes);
  append_bytes(out, 1, stream);
  append_number(out, 2, revision);
  // proto3 leaves a zero out; the other fields have no empty value.
  if (append_time_us != 0) append_number(out, 3, static_cast<std::uint64_t>(append_time_us));
  append_bytes(out, 4, event);
  const Chain chain = XXH3_64bits(out.data() + start, out.size() - start);
  std::memcpy(out.data() + start, &chain, kChainBytes);
  return chain;
}

Result<RecordView> decode_record(Sequence sequence, std::string_view value) {
  const auto damaged = [&] {
    return Error{Code::kDataLoss,
                 fmt::format("the record of sequence {} is damaged; `tidegate log verify` "
                             "tells how far the damage goes",
                             sequence)};
  };
  if (value.size() < kChainBytes) return damaged();
  RecordView record;
  record.sequence = sequence;
  std::memcpy(&record.chain, value.data(), kChainBytes);
  value.remove_prefix(kChainBytes);
  while (!value.empty()) {
    const auto field = take_field(value);
    if (!field) return damaged();
    switch (field->number) {
      case 1:
        record.stream = field->bytes;
        break;
      case 2:
        record.revision = field->value;
        break;
      case 3:
        record.append_time_us = static_cast<std::int64_t>(field->value);
        break;
      case 4:
        record.event = field->bytes;
        break;
      default:
        break;  // of a newer minor format
    }
  }
  if (record.stream.empty() || record.revision == 0 || record.event.empty()) return damaged();
  record.type = scan_event(record.event).type;
  return record;
}

EventHead scan_event(std::string_view event) {
  EventHead head;
  while (!event.empty()) {
    const auto field = take_field(event);
    if (!field) return head;
    if (field->number == 1) head.id = field->bytes;
    if (field->number == 2) head.source = field->bytes;
    if (field->number == 4) head.type = field->bytes;
    if (field->number >= 4) return head;
  }
  return head;
}

}  // namespace tidegate
