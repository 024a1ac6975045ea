#include "tests/support/tcp_client.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include <gtest/gtest.h>

#include "tests/support/tls_client.h"

namespace tidegate::test {
namespace {

bool wait_for(int fd, short events, const Deadline& deadline) {
  pollfd item = {fd, events, 0};
  int ready = 0;
  do {
    ready = ::poll(&item, 1, deadline.left_ms());
  } while (ready < 0 && errno == EINTR);
  return ready > 0;
}

}  // namespace

int Deadline::left_ms() const {
  const auto left =
      std::chrono::duration_cast<Milliseconds>(end_ - std::chrono::steady_clock::now());
  return static_cast<int>(std::max<Milliseconds::rep>(0, left.count()));
}

bool eventually(const std::function<bool()>& condition, Milliseconds time) {
  const Deadline deadline(time);
  while (!condition()) {
    if (deadline.is_over()) return false;
    // Gives way for a moment; the condition is what is waited for.
    ::poll(nullptr, 0, 5);
  }
  return true;
}

TcpClient::TcpClient(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  sockaddr_in place = {};
  place.sin_family = AF_INET;
  if (colon != std::string::npos) {
    place.sin_port = htons(static_cast<std::uint16_t>(std::atoi(address.c_str() + colon + 1)));
    inet_pton(AF_INET, address.substr(0, colon).c_str(), &place.sin_addr);
  }
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&place), sizeof place) != 0) {
    ADD_FAILURE() << "cannot connect to " << address << ": " << std::strerror(errno);
    close();
    return;
  }
  const int on = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

TcpClient::TcpClient(TcpClient&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      was_reset_(other.was_reset_),
      tls_(std::move(other.tls_)) {}

TcpClient& TcpClient::operator=(TcpClient&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(was_reset_, other.was_reset_);
  std::swap(tls_, other.tls_);
  return *this;
}

TcpClient::~TcpClient() {
  close();
}

bool TcpClient::start_tls(const std::string& ca_file) {
  tls_ = std::make_unique<TlsClient>(*this, TlsClient::Options{.ca_file = ca_file});
  return tls_->error().empty();
}

bool TcpClient::send(std::string_view bytes, Milliseconds time) {
  if (tls_) return tls_->send(bytes, time);
  const Deadline deadline(time);
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno != EAGAIN || !wait_for(fd_, POLLOUT, deadline)) {
      return false;
    }
  }
  return true;
}

std::optional<std::string> TcpClient::receive(Milliseconds time) {
  if (tls_) return tls_->receive(time);
  if (fd_ < 0 || !wait_for(fd_, POLLIN, Deadline(time))) return std::nullopt;
  std::string bytes(64 << 10, '\0');
  const ssize_t count = ::recv(fd_, bytes.data(), bytes.size(), 0);
  was_reset_ = was_reset_ || (count < 0 && errno == ECONNRESET);
  bytes.resize(static_cast<std::size_t>(std::max<ssize_t>(0, count)));
  return bytes;
}

std::optional<std::string> TcpClient::receive_all(Milliseconds time) {
  const Deadline deadline(time);
  std::string all;
  while (true) {
    const auto bytes = receive(Milliseconds(deadline.left_ms()));
    if (!bytes) return std::nullopt;
    if (bytes->empty()) return all;
    all += *bytes;
  }
}

void TcpClient::half_close() {
  ::shutdown(fd_, SHUT_WR);
}

void TcpClient::cut() {
  const linger now = {1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close();
}

void TcpClient::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

HttpReply HttpReply::parse(const std::string& bytes) {
  HttpReply reply;
  const std::size_t end = bytes.find("\r\n\r\n");
  if (end == std::string::npos || !bytes.starts_with("HTTP/1.1 ")) return reply;
  reply.status = std::atoi(bytes.c_str() + std::strlen("HTTP/1.1 "));
  reply.head = bytes.substr(0, end + 2);
  reply.body = bytes.substr(end + 4);
  return reply;
}

std::string HttpReply::field(std::string_view name) const {
  std::size_t begin = head.find("\r\n");
  while (begin != std::string::npos && begin + 2 < head.size()) {
    begin += 2;
    const std::size_t end = head.find("\r\n", begin);
    const std::string line = head.substr(begin, end - begin);
    if (line.size() > name.size() && line[name.size()] == ':' &&
        strncasecmp(line.c_str(), name.data(), name.size()) == 0) {
      const std::size_t value = line.find_first_not_of(' ', name.size() + 1);
      return value == std::string::npos ? "" : line.substr(value);
    }
    begin = end;
  }
  return "";
}

HttpReply http_get(const std::string& address, const std::string& path,
                   const std::string& ca_file) {
  TcpClient client(address);
  if (!client.is_open()) return {};
  if (!ca_file.empty() && !client.start_tls(ca_file)) return {};
  client.send("GET " + path + " HTTP/1.1\r\nHost: " + address + "\r\nConnection: close\r\n\r\n");
  return HttpReply::parse(client.receive_all().value_or(""));
}

}  // namespace tidegate::test
