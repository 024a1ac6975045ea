#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tidegate {

// The protobuf wire format by hand, for the few places where generated code would copy: canonical
// events, and `events` messages that are put together from shared bytes. Thread: any (pure
// functions; WireReader: caller serialises).

enum class WireType : std::uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

constexpr std::size_t varint_size(std::uint64_t value) {
  std::size_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}

inline void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

inline void append_tag(std::string& out, std::uint32_t field, WireType type) {
  append_varint(out, field << 3 | static_cast<std::uint32_t>(type));
}

inline void append_varint_field(std::string& out, std::uint32_t field, std::uint64_t value) {
  append_tag(out, field, WireType::kVarint);
  append_varint(out, value);
}

inline void append_bytes_field(std::string& out, std::uint32_t field, std::string_view bytes) {
  append_tag(out, field, WireType::kBytes);
  append_varint(out, bytes.size());
  out.append(bytes);
}

// Sizes of whole fields, for field numbers below 16 (one byte of tag).
constexpr std::size_t varint_field_size(std::uint64_t value) {
  return 1 + varint_size(value);
}
constexpr std::size_t bytes_field_size(std::size_t bytes) {
  return 1 + varint_size(bytes) + bytes;
}

// Walks the fields of a serialised message. Stops at the first malformed byte, as if the message
// ended there.
class WireReader {
 public:
  explicit WireReader(std::string_view message) : rest_(message) {}

  bool next() {
    std::uint64_t tag = 0;
    if (rest_.empty() || !read_varint(tag) || tag >> 3 == 0) return false;
    field_ = static_cast<std::uint32_t>(tag >> 3);
    type_ = static_cast<WireType>(tag & 7);
    switch (type_) {
      case WireType::kVarint:
        return read_varint(varint_);
      case WireType::kFixed64:
        return take(8);
      case WireType::kBytes:
        return read_varint(varint_) && take(varint_);
      case WireType::kFixed32:
        return take(4);
      default:
        return false;
    }
  }

  std::uint32_t field() const { return field_; }
  bool is(std::uint32_t field, WireType type) const { return field_ == field && type_ == type; }
  std::uint64_t varint() const { return varint_; }
  std::string_view bytes() const { return bytes_; }

 private:
  bool read_varint(std::uint64_t& value) {
    value = 0;
    for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }

  bool take(std::uint64_t size) {
    if (size > rest_.size()) return false;
    bytes_ = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }

  std::string_view rest_;
  std::uint32_t field_ = 0;
  WireType type_ = WireType::kVarint;
  std::uint64_t varint_ = 0;
  std::string_view bytes_;
};

}  // namespace tidegate
