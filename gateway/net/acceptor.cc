#include "gateway/net/acceptor.h"

#include <cerrno>
#include <chrono>
#include <sys/socket.h>
#include <system_error>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include "eventstore/base/log.h"

namespace tidegate {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

// Per turn of the loop, so that a storm of connections does not hold up the deliveries.
constexpr int kAcceptsPerTurn = 64;
constexpr std::chrono::milliseconds kPause{100};

class SocketAcceptor final : public Acceptor, public std::enable_shared_from_this<SocketAcceptor> {
 public:
  SocketAcceptor(asio::io_context& context, std::function<void(int fd, IpAddress peer)> accepted)
      : socket_(context.get_executor()), timer_(context), accepted_(std::move(accepted)) {}

  void start(ListenSocket listener) override {
    error_code error;
    socket_.assign(listener.address().is_v6 ? asio::ip::tcp::v6() : asio::ip::tcp::v4(),
                   listener.fd(), error);
    if (error) {
      log(LogLevel::kError, "the listener could not be watched", {{"error", error.message()}});
      return;
    }
    listener.release();
    wait();
  }

  void stop() override {
    timer_.cancel();
    error_code ignored;
    socket_.close(ignored);
  }

 private:
  using Socket = asio::basic_socket_acceptor<asio::ip::tcp, asio::io_context::executor_type>;

  void wait() {
    socket_.async_wait(Socket::wait_read, [self = shared_from_this()](error_code error) {
      if (!error && self->socket_.is_open()) self->accept_some();
    });
  }

  void accept_some() {
    for (int i = 0; i < kAcceptsPerTurn; ++i) {
      sockaddr_storage place = {};
      auto* const address = reinterpret_cast<sockaddr*>(&place);
      socklen_t size = sizeof place;
      const int fd =
          ::accept4(socket_.native_handle(), address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) {
        accepted_(fd, IpAddress::of(*address));
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        break;
      } else if (errno != EINTR && errno != ECONNABORTED) {
        pause(errno);
        return;
      }
    }
    wait();
  }

  void pause(int error) {
    if (!std::exchange(is_pause_told_, true)) {
      log(LogLevel::kWarn,
          "cannot accept connections for now: raise the limit of open files or lower "
          "max_connections",
          {{"error", std::generic_category().message(error)}});
    }
    timer_.expires_after(kPause);
    timer_.async_wait([self = shared_from_this()](error_code result) {
      if (!result && self->socket_.is_open()) self->accept_some();
    });
  }

  Socket socket_;
  asio::steady_timer timer_;
  const std::function<void(int fd, IpAddress peer)> accepted_;
  bool is_pause_told_ = false;
};

}  // namespace

std::shared_ptr<Acceptor> make_acceptor(asio::io_context& context,
                                        std::function<void(int fd, IpAddress peer)> accepted) {
  return std::make_shared<SocketAcceptor>(context, std::move(accepted));
}

}  // namespace tidegate
