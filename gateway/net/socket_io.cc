#include "gateway/net/socket_io.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <sys/socket.h>

namespace tidegate {
namespace {

constexpr int kFlags = MSG_DONTWAIT | MSG_NOSIGNAL;
// What a peer may make TLS answer (alerts, new keys) without reading it.
constexpr std::size_t kUnsentMax = 64 << 10;

// As sendmsg. Few bytes are copied together first: the kernel needs longer for a list than that
// takes.
ssize_t send_plain(int fd, std::span<iovec> pieces) {
  constexpr std::size_t kJoinedMax = 2048;
  std::array<char, kJoinedMax> joined;
  std::size_t size = 0;
  for (const iovec& piece : pieces) {
    if (piece.iov_len > joined.size() - size) {
      msghdr message{};
      message.msg_iov = pieces.data();
      message.msg_iovlen = pieces.size();
      return ::sendmsg(fd, &message, kFlags);
    }
    std::memcpy(joined.data() + size, piece.iov_base, piece.iov_len);
    size += piece.iov_len;
  }
  return ::send(fd, joined.data(), size, kFlags);
}

// The first bytes of the pieces, as many as a record holds.
std::string_view first_record(std::span<iovec> pieces, std::span<char> record) {
  std::size_t size = 0;
  for (const iovec& piece : pieces) {
    const std::size_t count = std::min(piece.iov_len, record.size() - size);
    std::memcpy(record.data() + size, piece.iov_base, count);
    size += count;
  }
  return {record.data(), size};
}

ssize_t fail(int error) {
  errno = error;
  return -1;
}

}  // namespace

SocketIo SocketIo::server(const ServerIdentity* identity) {
  SocketIo io;
  if (identity != nullptr) io.tls_ = std::make_unique<TlsChannel>(*identity->current());
  return io;
}

ssize_t SocketIo::receive(int fd, std::span<char> buffer) {
  if (!tls_) return ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
  TlsChannel::Read read = tls_->read(buffer);
  if (read.bytes == 0 && read.state == TlsChannel::State::kOpen) {
    std::array<char, TlsChannel::kRecordBytes> cipher;
    const ssize_t count = ::recv(fd, cipher.data(), cipher.size(), MSG_DONTWAIT);
    if (count <= 0) return count;
    tls_->received({cipher.data(), static_cast<std::size_t>(count)});
    read = tls_->read(buffer);
  }
  if (flush(fd) != 0 && errno != EAGAIN) return -1;
  if (tls_->output().size() > kUnsentMax) return fail(EPROTO);
  if (read.bytes > 0) return static_cast<ssize_t>(read.bytes);
  if (read.state == TlsChannel::State::kEnded) return 0;
  if (read.state == TlsChannel::State::kFailed) return fail(EPROTO);
  return fail(EAGAIN);
}

ssize_t SocketIo::send(int fd, std::span<iovec> pieces) {
  if (!tls_) return send_plain(fd, pieces);
  if (flush(fd) != 0) return -1;
  std::array<char, TlsChannel::kRecordBytes> record;
  const std::string_view plain = first_record(pieces, record);
  if (!tls_->encrypt(plain)) return fail(EPROTO);
  if (flush(fd) != 0 && errno != EAGAIN) return -1;
  return static_cast<ssize_t>(plain.size());
}

int SocketIo::flush(int fd) {
  if (!tls_) return 0;
  std::string& output = tls_->output();
  std::size_t sent = 0;
  while (sent < output.size()) {
    const ssize_t count = ::send(fd, output.data() + sent, output.size() - sent, kFlags);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const int error = errno;
      output.erase(0, sent);
      errno = error;
      return -1;
    }
    sent += static_cast<std::size_t>(count);
  }
  output = {};  // an idle connection keeps no buffer
  return 0;
}

void SocketIo::finish(int fd) {
  if (tls_) {
    tls_->finish();
    flush(fd);
  }
  ::shutdown(fd, SHUT_WR);
}

}  // namespace tidegate
