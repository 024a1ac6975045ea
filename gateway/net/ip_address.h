#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

struct sockaddr;

namespace tidegate {

// Where a peer comes from: an IPv6 address, or an IPv4 one as ::ffff:a.b.c.d (RFC 4291 section
// 2.5.5.2), so that one host has one form. The default, ::, is nobody's.
// Thread: immutable.
class IpAddress {
 public:
  static constexpr std::size_t kBytes = 16;

  IpAddress() = default;
  explicit IpAddress(const std::array<std::uint8_t, kBytes>& bytes) : bytes_(bytes) {}
  static IpAddress v4(const std::array<std::uint8_t, 4>& bytes);
  // Of AF_INET or AF_INET6; the default for any other.
  static IpAddress of(const sockaddr& address);
  // "192.0.2.1", "2001:db8::1" or "[2001:db8::1]"; nothing else, neither names nor ports.
  static std::optional<IpAddress> parse(std::string_view text);

  bool is_v4() const;
  bool is_loopback() const;
  std::string text() const;
  const std::array<std::uint8_t, kBytes>& bytes() const { return bytes_; }
  // What one customer of a provider has: the address itself for IPv4, its /64 for IPv6, where
  // everybody has 2^64 addresses to choose from.
  IpAddress site() const;

  friend bool operator==(const IpAddress&, const IpAddress&) = default;
  struct Hash {
    std::size_t operator()(const IpAddress& address) const {
      return std::hash<std::string_view>()(
          {reinterpret_cast<const char*>(address.bytes_.data()), kBytes});
    }
  };

 private:
  std::array<std::uint8_t, kBytes> bytes_ = {};
};

// All addresses that begin alike. Thread: immutable.
class IpRange {
 public:
  // "10.0.0.0/8", "2001:db8::/32", or a single address. The bits behind the prefix must be 0.
  static std::optional<IpRange> parse(std::string_view text);
  bool contains(const IpAddress& address) const;

  friend bool operator==(const IpRange&, const IpRange&) = default;

 private:
  IpRange(const IpAddress& first, unsigned bits) : first_(first), bits_(bits) {}
  IpAddress first_;
  unsigned bits_ = 0;  // 0 to 128, also of IPv4
};

}  // namespace tidegate
