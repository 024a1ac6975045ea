#include "gateway/net/ip_address.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cstring>
#include <netinet/in.h>
#include <sys/socket.h>

#include "eventstore/base/text.h"

namespace tidegate {
namespace {

constexpr std::array<std::uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr unsigned kMappedBits = kMapped.size() * 8;
constexpr unsigned kBitsMax = IpAddress::kBytes * 8;

// The first `bits` of an address; the others are 0.
IpAddress first_bits(const IpAddress& address, unsigned bits) {
  auto bytes = address.bytes();
  for (unsigned i = 0; i < IpAddress::kBytes; ++i) {
    const unsigned kept = std::min(8U, bits - std::min(bits, i * 8));
    bytes[i] = static_cast<std::uint8_t>(bytes[i] & (0xff00U >> kept));
  }
  return IpAddress(bytes);
}

}  // namespace

IpAddress IpAddress::v4(const std::array<std::uint8_t, 4>& bytes) {
  IpAddress address;
  std::copy(kMapped.begin(), kMapped.end(), address.bytes_.begin());
  std::copy(bytes.begin(), bytes.end(), address.bytes_.begin() + kMapped.size());
  return address;
}

IpAddress IpAddress::of(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    std::array<std::uint8_t, 4> bytes;
    std::memcpy(bytes.data(), &reinterpret_cast<const sockaddr_in&>(address).sin_addr,
                bytes.size());
    return v4(bytes);
  }
  IpAddress result;
  if (address.sa_family == AF_INET6) {
    std::memcpy(result.bytes_.data(), &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr,
                kBytes);
  }
  return result;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  if (text.size() > 2 && text.front() == '[' && text.back() == ']')
    return text.find(':') == std::string_view::npos ? std::nullopt
                                                    : parse(text.substr(1, text.size() - 2));
  const std::string terminated(text);
  if (terminated.size() != std::strlen(terminated.c_str())) return std::nullopt;
  std::array<std::uint8_t, 4> four;
  if (::inet_pton(AF_INET, terminated.c_str(), four.data()) == 1) return v4(four);
  IpAddress six;
  if (::inet_pton(AF_INET6, terminated.c_str(), six.bytes_.data()) == 1) return six;
  return std::nullopt;
}

bool IpAddress::is_v4() const {
  return std::equal(kMapped.begin(), kMapped.end(), bytes_.begin());
}

bool IpAddress::is_loopback() const {
  if (is_v4()) return bytes_[kMapped.size()] == 127;
  return std::all_of(bytes_.begin(), bytes_.end() - 1, [](std::uint8_t b) { return b == 0; }) &&
         bytes_.back() == 1;
}

std::string IpAddress::text() const {
  char buffer[INET6_ADDRSTRLEN] = {};
  const bool four = is_v4();
  ::inet_ntop(four ? AF_INET : AF_INET6, bytes_.data() + (four ? kMapped.size() : 0), buffer,
              sizeof buffer);
  return buffer;
}

IpAddress IpAddress::site() const {
  constexpr unsigned kSiteBits = 64;
  return is_v4() ? *this : first_bits(*this, kSiteBits);
}

std::optional<IpRange> IpRange::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto first = IpAddress::parse(text.substr(0, slash));
  if (!first) return std::nullopt;
  const unsigned before = first->is_v4() ? kMappedBits : 0;
  unsigned bits = kBitsMax;
  if (slash != std::string_view::npos) {
    const auto given = parse_u64(text.substr(slash + 1));
    if (!given || *given > kBitsMax - before) return std::nullopt;
    bits = before + static_cast<unsigned>(*given);
  }
  if (first_bits(*first, bits) != *first) return std::nullopt;
  return IpRange(*first, bits);
}

bool IpRange::contains(const IpAddress& address) const {
  return first_bits(address, bits_) == first_;
}

}  // namespace tidegate
