#include "gateway/net/proxy_header.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace tidegate {
namespace {

constexpr std::string_view kSignature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t kFixedBytes = 16;  // signature, version and command, family, length
constexpr std::size_t kCommandAt = 12;
constexpr std::size_t kFamilyAt = 13;
constexpr std::size_t kLengthAt = 14;

constexpr std::uint8_t kLocal = 0x20;  // version 2
constexpr std::uint8_t kProxy = 0x21;
constexpr std::uint8_t kTcp4 = 0x11;
constexpr std::uint8_t kTcp6 = 0x21;
// Two addresses and two ports.
constexpr std::size_t kTcp4Bytes = 12;
constexpr std::size_t kTcp6Bytes = 36;

std::uint8_t byte_at(const std::string& bytes, std::size_t at) {
  return static_cast<std::uint8_t>(bytes[at]);
}

// Of what follows the fixed part.
std::size_t length_of(const std::string& bytes) {
  return std::size_t{byte_at(bytes, kLengthAt)} << 8 | byte_at(bytes, kLengthAt + 1);
}

template <std::size_t Count>
std::array<std::uint8_t, Count> copy_of(const std::string& bytes) {
  std::array<std::uint8_t, Count> copy;
  std::memcpy(copy.data(), bytes.data() + kFixedBytes, Count);
  return copy;
}

}  // namespace

std::size_t ProxyHeader::wanted() const {
  if (bytes_.size() < kFixedBytes) return kFixedBytes - bytes_.size();
  return kFixedBytes + length_of(bytes_) - bytes_.size();
}

ProxyHeader::State ProxyHeader::take(std::string_view bytes) {
  bytes_ += bytes;
  const std::size_t known = std::min(bytes_.size(), kSignature.size());
  if (kSignature.substr(0, known) != std::string_view(bytes_).substr(0, known))
    return State::kRefused;
  if (bytes_.size() < kFixedBytes) return State::kIncomplete;
  if (kFixedBytes + length_of(bytes_) > kBytesMax) return State::kRefused;
  return wanted() > 0 ? State::kIncomplete : parse();
}

ProxyHeader::State ProxyHeader::parse() {
  const std::uint8_t command = byte_at(bytes_, kCommandAt);
  if (command == kLocal) return State::kComplete;
  if (command != kProxy) return State::kRefused;
  const std::uint8_t family = byte_at(bytes_, kFamilyAt);
  const std::size_t length = length_of(bytes_);
  if (family == kTcp4) {
    if (length < kTcp4Bytes) return State::kRefused;
    client_ = IpAddress::v4(copy_of<4>(bytes_));
  } else if (family == kTcp6) {
    if (length < kTcp6Bytes) return State::kRefused;
    client_ = IpAddress(copy_of<IpAddress::kBytes>(bytes_));
  }
  return State::kComplete;
}

bool is_trusted(const IpAddress& address, std::span<const IpRange> trusted) {
  return std::any_of(trusted.begin(), trusted.end(),
                     [&address](const IpRange& range) { return range.contains(address); });
}

IpAddress forwarded_client(const HttpRequest& request, const IpAddress& peer,
                           std::span<const IpRange> trusted) {
  if (!is_trusted(peer, trusted)) return peer;
  IpAddress client = peer;
  const std::vector<std::string_view> chain = request.list("X-Forwarded-For");
  for (auto hop = chain.rbegin(); hop != chain.rend(); ++hop) {
    const auto address = IpAddress::parse(*hop);
    if (!address) break;
    client = *address;
    if (!is_trusted(client, trusted)) break;
  }
  return client;
}

}  // namespace tidegate
