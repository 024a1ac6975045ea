#include "gateway/net/listen_socket.h"

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

#include "eventstore/base/text.h"

namespace tidegate {
namespace {

// The kernel cuts it to net.core.somaxconn.
constexpr int kBacklog = 4096;

struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t length = sizeof(sockaddr_storage);
  sockaddr* raw() { return reinterpret_cast<sockaddr*>(&storage); }
};

SocketAddress socket_address(const ListenAddress& address) {
  SocketAddress result;
  if (address.is_v6) {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&result.storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(address.port);
    inet_pton(AF_INET6, address.host.c_str(), &v6->sin6_addr);
    result.length = sizeof(sockaddr_in6);
  } else {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&result.storage);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(address.port);
    inet_pton(AF_INET, address.host.c_str(), &v4->sin_addr);
    result.length = sizeof(sockaddr_in);
  }
  return result;
}

// Both families have the port at the same place.
std::uint16_t bound_port(int fd) {
  SocketAddress bound;
  if (getsockname(fd, bound.raw(), &bound.length) != 0) return 0;
  return ntohs(reinterpret_cast<sockaddr_in*>(&bound.storage)->sin_port);
}

Error cannot_listen(const ListenAddress& address, int error) {
  return {Code::kUnavailable, fmt::format("cannot listen on {}: {}", address.text(),
                                          std::generic_category().message(error))};
}

}  // namespace

bool ListenAddress::is_loopback() const {
  if (is_v6) {
    in6_addr v6 = {};
    return inet_pton(AF_INET6, host.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
  }
  in_addr v4 = {};
  return inet_pton(AF_INET, host.c_str(), &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127;
}

std::string ListenAddress::text() const {
  return is_v6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

Result<ListenAddress> parse_listen_address(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    return Error{Code::kBadArgument,
                 fmt::format("\"{}\" has no port: write HOST:PORT, such as 127.0.0.1:7080", text)};
  }
  const auto port = parse_u64(text.substr(colon + 1));
  if (!port || *port > 65535) {
    return Error{Code::kBadArgument,
                 fmt::format("\"{}\" is not a port; it is a number from 0 to 65535",
                             text.substr(colon + 1))};
  }
  ListenAddress address;
  std::string_view host = text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
    address.is_v6 = true;
  } else if (host == "localhost") {
    host = "127.0.0.1";
  }
  address.host = std::string(host);
  address.port = static_cast<std::uint16_t>(*port);
  in6_addr parsed = {};
  if (inet_pton(address.is_v6 ? AF_INET6 : AF_INET, address.host.c_str(), &parsed) != 1) {
    return Error{
        Code::kBadArgument,
        fmt::format("\"{}\" is not an address: write 127.0.0.1, [::1], 0.0.0.0 or localhost",
                    host)};
  }
  return address;
}

Result<ListenSocket> ListenSocket::open(const ListenAddress& address) {
  const int fd = ::socket(address.is_v6 ? AF_INET6 : AF_INET,
                          SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
  if (fd < 0) return cannot_listen(address, errno);
  ListenSocket socket(fd, address);
  const int on = 1;
  // A restart must not wait for the connections of the process before.
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address.is_v6) ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  SocketAddress place = socket_address(address);
  if (::bind(fd, place.raw(), place.length) != 0) return cannot_listen(address, errno);
  if (::listen(fd, kBacklog) != 0) return cannot_listen(address, errno);
  socket.address_.port = bound_port(fd);
  return socket;
}

ListenSocket::ListenSocket(ListenSocket&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), address_(std::move(other.address_)) {}

ListenSocket& ListenSocket::operator=(ListenSocket&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(address_, other.address_);
  return *this;
}

ListenSocket::~ListenSocket() {
  if (fd_ >= 0) ::close(fd_);
}

int ListenSocket::release() {
  return std::exchange(fd_, -1);
}

}  // namespace tidegate
