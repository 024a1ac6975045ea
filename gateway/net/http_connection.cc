#include "gateway/net/http_connection.h"

#include <array>
#include <chrono>
#include <memory>
#include <unistd.h>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>

#include "eventstore/base/log.h"

namespace tidegate {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Tcp = asio::ip::tcp;
// The executor's concrete type spares the type-erased one, which allocates and calls virtually.
using Socket = asio::basic_stream_socket<Tcp, asio::io_context::executor_type>;

constexpr std::chrono::seconds kHeadTime{5};
constexpr std::chrono::seconds kLingerTime{1};
// What a peer may still send after it was refused, before it is cut.
constexpr std::size_t kLingerBytes = 64 << 10;

class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(asio::io_context& context, HttpHandler handler)
      : socket_(context.get_executor()), timer_(context), handler_(std::move(handler)) {}
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  void start(int fd, bool is_v6) {
    error_code error;
    socket_.assign(is_v6 ? Tcp::v6() : Tcp::v4(), fd, error);
    if (error) {
      log(LogLevel::kWarn, "a new connection could not be watched", {{"error", error.message()}});
      ::close(fd);
      handler_.done();
      return;
    }
    expire_after(kHeadTime);
    read();
  }

 private:
  enum class State { kReading, kAnswering, kLingering };

  void expire_after(std::chrono::seconds time) {
    timer_.expires_after(time);
    timer_.async_wait([self = shared_from_this()](error_code error) {
      if (!error) self->on_timer();
    });
  }

  void on_timer() {
    // A wait that ended just before it was set anew.
    if (timer_.expiry() > asio::steady_timer::clock_type::now() || !socket_.is_open()) return;
    if (state_ == State::kReading) {
      refuse({408, "the request's head did not come within 5 seconds"});
      return;
    }
    finish();
  }

  void read() {
    is_reading_ = true;
    socket_.async_read_some(asio::buffer(bytes_),
                            [self = shared_from_this()](error_code error, std::size_t count) {
                              self->on_read(error, count);
                            });
  }

  void on_read(error_code error, std::size_t count) {
    is_reading_ = false;
    if (!socket_.is_open()) return;
    if (error) {
      finish();
      return;
    }
    if (state_ != State::kReading) {
      lingered_ += count;
      lingered_ > kLingerBytes ? finish() : read();
      return;
    }
    switch (head_.take({bytes_.data(), count})) {
      case HttpHead::State::kIncomplete:
        read();
        return;
      case HttpHead::State::kRefused:
        refuse(head_.refusal());
        return;
      case HttpHead::State::kComplete:
        decide();
        return;
    }
  }

  void refuse(const HttpRefusal& refusal) {
    if (handler_.refused) handler_.refused(refusal.status);
    answer(http_answer(refusal));
  }

  void decide() {
    if (HttpDecision decision = handler_.decide(head_.request())) {
      // The length in its head tells what GET would have got (RFC 9110 section 9.3.2).
      if (head_.request().method == "HEAD") decision->resize(decision->find("\r\n\r\n") + 4);
      answer(*std::move(decision));
      return;
    }
    timer_.cancel();
    error_code error;
    const int fd = socket_.release(error);
    if (!error) handler_.hand_on(fd);
    end();
  }

  void answer(std::string text) {
    state_ = State::kAnswering;
    answer_ = std::move(text);
    expire_after(kHeadTime);
    asio::async_write(
        socket_, asio::buffer(answer_),
        [self = shared_from_this()](error_code error, std::size_t) { self->on_answered(error); });
  }

  void on_answered(error_code error) {
    if (!socket_.is_open()) return;
    if (error) {
      finish();
      return;
    }
    error_code ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
    expire_after(kLingerTime);
    state_ = State::kLingering;
    // After a time-out the first read is still under way, and goes on as the lingering one.
    if (!is_reading_) read();
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
  asio::steady_timer timer_;
  HttpHandler handler_;
  HttpHead head_;
  State state_ = State::kReading;
  bool is_reading_ = false;
  std::array<char, 2048> bytes_;
  std::size_t lingered_ = 0;
  std::string answer_;
};

}  // namespace

void serve_http(asio::io_context& context, int fd, bool is_v6, HttpHandler handler) {
  std::make_shared<HttpConnection>(context, std::move(handler))->start(fd, is_v6);
}

}  // namespace tidegate
