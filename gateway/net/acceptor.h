#pragma once

#include <functional>
#include <memory>

#include "gateway/net/ip_address.h"
#include "gateway/net/listen_socket.h"

namespace boost::asio {
class io_context;
}

namespace tidegate {

// Takes connections from a listening socket and hands their descriptors on. When descriptors run
// out it pauses for 100 ms at a time: the waiting connection stays readable, so that waiting for it
// would spin. Thread: the io_context's only.
class Acceptor {
 public:
  virtual ~Acceptor() = default;
  virtual void start(ListenSocket listener) = 0;
  virtual void stop() = 0;
};

// `accepted` is called for each connection and owns the descriptor, which does not block.
std::shared_ptr<Acceptor> make_acceptor(boost::asio::io_context& context,
                                        std::function<void(int fd, IpAddress peer)> accepted);

}  // namespace tidegate
