#pragma once

#include <memory>
#include <span>
#include <sys/types.h>
#include <sys/uio.h>

#include "gateway/tls/tls_channel.h"

namespace tidegate {

// Reads and writes a connected socket that does not block, in plain or under TLS. The descriptor
// is the caller's, who also waits for it.
// Thread: caller serialises.
class SocketIo {
 public:
  // Plain.
  SocketIo() = default;
  // As `identity` says at the moment; plain without one.
  static SocketIo server(const ServerIdentity* identity);

  // As recv: 0 when the peer has ended, -1 with errno. After it, `has_unsent` may have become true.
  ssize_t receive(int fd, std::span<char> buffer);
  // Whether `receive` gives more although the socket may be quiet.
  bool has_unread() const { return tls_ && tls_->has_plain(); }

  // As sendmsg. Under TLS it takes a record at a time, and may keep what the socket does not take;
  // then EAGAIN until that has gone.
  ssize_t send(int fd, std::span<iovec> pieces);
  bool has_unsent() const { return tls_ && !tls_->output().empty(); }
  // Sends what is unsent: 0 when all of it has gone, -1 with errno.
  int flush(int fd);

  // Nothing more is sent: says so to the peer and ends our half.
  void finish(int fd);

 private:
  std::unique_ptr<TlsChannel> tls_;
};

}  // namespace tidegate
