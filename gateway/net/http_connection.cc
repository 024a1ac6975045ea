#include "gateway/net/http_connection.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <memory>
#include <optional>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>

#include "eventstore/base/log.h"
#include "gateway/net/proxy_header.h"

namespace tidegate {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Tcp = asio::ip::tcp;
// The executor's concrete type spares the type-erased one, which allocates and calls virtually.
using Socket = asio::basic_stream_socket<Tcp, asio::io_context::executor_type>;

constexpr std::chrono::seconds kAnswerTime{5};
constexpr std::chrono::seconds kLingerTime{1};
// What a peer may still send after it was refused, before it is cut.
constexpr std::size_t kLingerBytes = 64 << 10;

class HttpConnection final : public ServedHttp,
                             public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(asio::io_context& context, ServedSocket socket, const HttpHeadLimits& limits,
                 HttpHandler handler)
      : socket_(context.get_executor()),
        io_(std::move(socket.io)),
        peer_(socket.peer),
        timer_(context),
        handler_(std::move(handler)),
        head_time_(limits.time),
        head_(limits.bytes) {
    if (socket.has_proxy_header) proxy_header_.emplace();
  }
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  void start(int fd, bool is_v6) {
    error_code error;
    socket_.assign(is_v6 ? Tcp::v6() : Tcp::v4(), fd, error);
    if (error) {
      log(LogLevel::kWarn, "a new connection could not be watched", {{"error", error.message()}});
      ::close(fd);
      asio::post(socket_.get_executor(), [self = shared_from_this()] { self->end(); });
      return;
    }
    expire_after(head_time_);
    wait_readable();
  }

  bool cut_idle() override {
    if (!socket_.is_open()) return false;
    const bool is_silent = state_ == State::kReading && !is_heard_ && !has_bytes();
    if (!is_silent && state_ != State::kLingering) return false;
    finish();
    return true;
  }

 private:
  enum class State { kReading, kAnswering, kLingering };

  // Whether the peer has sent something that was not read yet.
  bool has_bytes() {
    char first = 0;
    return ::recv(socket_.native_handle(), &first, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
  }

  void expire_after(std::chrono::milliseconds time) {
    timer_.expires_after(time);
    timer_.async_wait([self = shared_from_this()](error_code error) {
      if (!error) self->on_timer();
    });
  }

  void on_timer() {
    // A wait that ended just before it was set anew.
    if (timer_.expiry() > asio::steady_timer::clock_type::now() || !socket_.is_open()) return;
    if (state_ == State::kReading) {
      refuse(
          {408, fmt::format("the request's head did not come within {} ms", head_time_.count())});
      return;
    }
    finish();
  }

  void wait_readable() {
    if (std::exchange(is_waiting_readable_, true)) return;
    socket_.async_wait(Socket::wait_read, [self = shared_from_this()](error_code error) {
      self->is_waiting_readable_ = false;
      if (!self->socket_.is_open()) return;
      self->is_heard_ = true;
      error ? self->finish() : self->on_readable();
    });
  }

  void on_readable() {
    if (proxy_header_) return on_proxy_header();
    do {
      std::array<char, 2048> bytes;
      const ssize_t count = io_.receive(socket_.native_handle(), bytes);
      if (count < 0 && (errno == EAGAIN || errno == EINTR)) break;
      if (count <= 0) return finish();
      if (!take({bytes.data(), static_cast<std::size_t>(count)})) return;
    } while (io_.has_unread());
    write();
    if (socket_.is_open()) wait_readable();
  }

  // It comes in the clear, before TLS begins.
  void on_proxy_header() {
    std::array<char, ProxyHeader::kBytesMax> bytes;
    const std::size_t wanted = std::min(proxy_header_->wanted(), bytes.size());
    const ssize_t count = ::recv(socket_.native_handle(), bytes.data(), wanted, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return wait_readable();
    if (count <= 0) return finish();
    switch (proxy_header_->take({bytes.data(), static_cast<std::size_t>(count)})) {
      case ProxyHeader::State::kIncomplete:
        return wait_readable();
      case ProxyHeader::State::kRefused:
        // Not under TLS, which the peer has not begun.
        io_ = SocketIo();
        return refuse({400, "the proxy's header (PROXY protocol, version 2) is missing or bad"});
      case ProxyHeader::State::kComplete:
        peer_ = proxy_header_->client().value_or(peer_);
        proxy_header_.reset();
        return wait_readable();
    }
  }

  // False when nothing more is to be read for now.
  bool take(std::string_view bytes) {
    if (state_ != State::kReading) {
      lingered_ += bytes.size();
      if (lingered_ > kLingerBytes) finish();
      return lingered_ <= kLingerBytes;
    }
    switch (head_.take(bytes)) {
      case HttpHead::State::kIncomplete:
        return true;
      case HttpHead::State::kRefused:
        refuse(head_.refusal());
        return false;
      case HttpHead::State::kComplete:
        decide();
        return false;
    }
    return false;
  }

  void refuse(const HttpRefusal& refusal) {
    if (handler_.refused) handler_.refused(refusal, peer_);
    answer(http_answer(refusal));
  }

  void decide() {
    if (HttpDecision decision = handler_.decide(head_.request(), peer_)) {
      // The length in its head tells what GET would have got (RFC 9110 section 9.3.2).
      if (head_.request().method == "HEAD") decision->resize(decision->find("\r\n\r\n") + 4);
      answer(*std::move(decision));
      return;
    }
    timer_.cancel();
    error_code error;
    const int fd = socket_.release(error);
    if (!error) handler_.hand_on(fd, std::move(io_));
    end();
  }

  void answer(std::string text) {
    state_ = State::kAnswering;
    answer_ = std::move(text);
    expire_after(kAnswerTime);
    write();
  }

  // What the socket takes of the answer, and of what TLS has to say.
  void write() {
    if (is_waiting_writable_ || !socket_.is_open()) return;
    const int fd = socket_.native_handle();
    while (answered_ < answer_.size() || io_.has_unsent()) {
      iovec left{answer_.data() + answered_, answer_.size() - answered_};
      const ssize_t count = left.iov_len > 0 ? io_.send(fd, {&left, 1}) : io_.flush(fd);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return errno == EAGAIN ? wait_writable() : finish();
      answered_ += static_cast<std::size_t>(count);
    }
    if (state_ == State::kAnswering) on_answered();
  }

  void wait_writable() {
    is_waiting_writable_ = true;
    socket_.async_wait(Socket::wait_write, [self = shared_from_this()](error_code error) {
      self->is_waiting_writable_ = false;
      if (!self->socket_.is_open()) return;
      error ? self->finish() : self->write();
    });
  }

  void on_answered() {
    state_ = State::kLingering;
    io_.finish(socket_.native_handle());
    expire_after(kLingerTime);
    wait_readable();
  }

  void finish() {
    timer_.cancel();
    error_code ignored;
    socket_.close(ignored);
    end();
  }

  // Callbacks that are still to come find the socket closed; the handler's own captures are let go
  // here.
  void end() {
    const HttpHandler handler = std::exchange(handler_, {});
    if (handler.done) handler.done();
  }

  Socket socket_;
  SocketIo io_;
  std::optional<ProxyHeader> proxy_header_;  // while it is still to come
  IpAddress peer_;
  asio::steady_timer timer_;
  HttpHandler handler_;
  const std::chrono::milliseconds head_time_;
  HttpHead head_;
  State state_ = State::kReading;
  bool is_heard_ = false;  // something was read, or the peer has gone
  bool is_waiting_readable_ = false;
  bool is_waiting_writable_ = false;
  std::size_t lingered_ = 0;
  std::string answer_;
  std::size_t answered_ = 0;
};

}  // namespace

std::weak_ptr<ServedHttp> serve_http(asio::io_context& context, ServedSocket socket,
                                     const HttpHeadLimits& limits, HttpHandler handler) {
  const int fd = socket.fd;
  const bool is_v6 = socket.is_v6;
  const auto connection =
      std::make_shared<HttpConnection>(context, std::move(socket), limits, std::move(handler));
  connection->start(fd, is_v6);
  return connection;
}

}  // namespace tidegate
