#include "tools/tidegate/load_socket.h"

#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <fmt/format.h>

namespace tidegate {
namespace {

Error system_error(const std::string& what) {
  return {Code::kUnavailable, fmt::format("{}: {}", what, std::strerror(errno))};
}

}  // namespace

Result<LoadAddress> LoadAddress::resolve(const std::string& http, const std::string& token) {
  const std::size_t colon = http.rfind(':');
  std::string host = http.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int failed = colon == std::string::npos
                         ? EAI_NONAME
                         : getaddrinfo(host.c_str(), http.c_str() + colon + 1, &hints, &list);
  if (failed != 0) {
    return Error{Code::kBadArgument,
                 fmt::format("'{}' is not HOST:PORT of a gateway: {}", http, gai_strerror(failed))};
  }
  LoadAddress address;
  address.token_ = token;
  address.http_ = http;
  address.length_ = list->ai_addrlen;
  std::memcpy(&address.address_, list->ai_addr, list->ai_addrlen);
  freeaddrinfo(list);
  return address;
}

Result<int> LoadAddress::connect() const {
  const int fd = socket(address_.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return system_error("cannot open a socket");
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address_), length_) != 0) {
    Error error = system_error("cannot connect to " + http_);
    close(fd);
    return error;
  }
  return fd;
}

LoadSocket::~LoadSocket() {
  if (fd_ >= 0) close(fd_);
}

Status LoadSocket::open() {
  const Result<int> fd = address_.connect();
  if (!fd) return fd.error();
  fd_ = *fd;
  return send(upgrade_request(address_.text(), form_, address_.token()));
}

void LoadSocket::cut() {
  if (fd_ < 0) return;
  const linger at_once{1, 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  close(fd_);
  fd_ = -1;
  left_.clear();
  connection_.break_off();
}

Status LoadSocket::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return system_error("a subscriber cannot send");
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return {};
}

Status LoadSocket::subscribe(const v1::SubscribeOp& subscription) {
  return send(subscribe_frame(subscription, form_));
}

Result<std::size_t> LoadSocket::receive(ReceiveBuffer& buffer, LoadConnection::Found& found) {
  const std::size_t before = left_.size();
  if (before + ReceiveBuffer::kReceiveBytes > buffer.size()) {
    return Error{Code::kInternal, "the gateway sent a message of more than 3 MiB"};
  }
  std::memcpy(buffer.data(), left_.data(), before);
  const ssize_t got = recv(fd_, buffer.data() + before, ReceiveBuffer::kReceiveBytes, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return std::size_t{0};
  if (got < 0) return system_error("a subscriber's connection failed");
  if (got == 0) return Error{Code::kUnavailable, "the gateway ended a subscriber's connection"};
  const std::size_t size = before + static_cast<std::size_t>(got);
  const Result<std::size_t> rest = connection_.take(buffer.data(), size, found);
  if (!rest) return rest;
  left_.assign(buffer.data() + *rest, size - *rest);
  if (!found.answers.empty()) {
    const Status sent = send(found.answers);
    found.answers.clear();
    if (!sent) return sent.error();
  }
  return static_cast<std::size_t>(got);
}

}  // namespace tidegate
