#include "gateway/net/websocket.h"

#include <algorithm>
#include <optional>
#include <unistd.h>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/websocket/stream.hpp>

#include "eventstore/base/log.h"
#include "gateway/delivery/delivery_loop.h"
#include "gateway/delivery/session.h"
#include "gateway/net/io_loop.h"
#include "gateway/net/scanned_socket.h"

namespace tidegate {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace ws = boost::beast::websocket;
using boost::system::error_code;
using Tcp = asio::ip::tcp;
using Socket = ScannedSocket::Socket;

// What Beast asks of a stream that is not one of Asio's; found by the argument's namespace.
void teardown(beast::role_type role, ScannedSocket& stream, error_code& error) {
  ws::teardown(role, stream.socket(), error);
}
template <typename Handler>
void async_teardown(beast::role_type role, ScannedSocket& stream, Handler&& handler) {
  ws::async_teardown(role, stream.socket(), std::forward<Handler>(handler));
}
void beast_close_socket(ScannedSocket& stream) {
  error_code ignored;
  stream.socket().close(ignored);
}

namespace {

// A close frame cannot pass a stuck write, and a peer need not answer it.
constexpr std::int64_t kCloseMs = 5'000;
// A message up to this size is copied into one buffer: Asio's composed write gathers only 16
// buffers per system call, further calls cost more than the copy, and a slow peer then holds no
// segment of the log. Beyond it is a large event alone, whose bytes all its receivers share.
constexpr std::size_t kCopyBytesMax = 72 << 10;
constexpr std::size_t kCloseTextBytes = 123;
// An idle connection keeps no more than this of its largest message.
constexpr std::size_t kIdleBufferBytes = 4 << 10;

using Stream = ws::stream<ScannedSocket, false>;

// The pieces of a message as Asio's buffers. Beast copies a buffer sequence several times per
// write; this one is two pointers.
class BufferSpan {
 public:
  using value_type = asio::const_buffer;
  using const_iterator = const asio::const_buffer*;

  explicit BufferSpan(const std::vector<asio::const_buffer>& buffers)
      : begin_(buffers.data()), end_(buffers.data() + buffers.size()) {}
  const_iterator begin() const { return begin_; }
  const_iterator end() const { return end_; }

 private:
  const_iterator begin_;
  const_iterator end_;
};

std::string_view reason_of(error_code error) {
  if (error == ws::error::closed) return "peer";
  if (error == ws::error::message_too_big || error == ws::error::buffer_overflow) return "too_big";
  return error.category() == make_error_code(ws::error::closed).category() ? "protocol" : "lost";
}

class Websocket final : public Connection, public std::enable_shared_from_this<Websocket> {
 public:
  Websocket(IoLoop& loop, UpgradedSocket socket)
      : loop_(loop),
        stream_(loop.context(), loop.clock()),
        upgrade_(std::move(socket.upgrade)),
        principal_(std::move(socket.principal)),
        name_(loop.next_connection_name()),
        began_ms_(loop.clock().steady_ms()),
        state_since_ms_(began_ms_) {}

  // Separate from the constructor: callbacks need the shared_ptr.
  void start(int fd, bool is_v6);

  void send(OutgoingMessage message) override;
  void release_pins() override;
  void close(CloseCode code, std::string_view reason) override;
  void set_reading(bool reading) override;
  void tick(std::int64_t now_ms) override;
  void abandon() override;

 private:
  enum class State : std::uint8_t { kAccepting, kOpen, kClosing, kGone };

  std::int64_t now_ms() const { return loop_.clock().steady_ms(); }
  Socket& socket() { return stream_.next_layer().socket(); }

  void configure_stream();
  void on_accepted(error_code error);
  void read();
  void on_read(error_code error);
  void on_message();
  void on_control(ws::frame_type kind);
  void on_written(error_code error);
  void close_stream();
  void close_as(CloseCode code, std::string_view text, std::string_view reason);
  void begin_close(std::string_view reason);
  void end_session();
  void ping(std::int64_t now_ms);
  void check_pong(std::int64_t now_ms);
  bool peer_takes_bytes();
  void cut();
  void end();

  IoLoop& loop_;
  Stream stream_;
  const Upgrade upgrade_;
  Principal principal_;
  const std::string name_;
  const std::int64_t began_ms_;
  std::unique_ptr<Session> session_;

  State state_ = State::kAccepting;
  std::int64_t state_since_ms_;
  std::string_view end_reason_ = "lost";
  // Of the close frame that waits for the write in flight.
  std::optional<ws::close_reason> close_frame_;

  beast::flat_buffer incoming_;
  bool is_reading_ = false;   // a read is under way
  bool should_read_ = true;   // what the session wants
  OutgoingMessage outgoing_;  // of the write in flight
  std::string outgoing_joined_;
  std::vector<asio::const_buffer> outgoing_buffers_;
  bool is_writing_ = false;

  bool is_pinging_ = false;  // the ping frame is not yet written
  bool has_pong_ = false;    // since the last ping
  std::int64_t pinged_ms_ = 0;
  std::int64_t awaiting_pong_ms_ = 0;  // since when; 0: no ping is unanswered
  std::uint64_t confirmed_bytes_ = 0;  // by the peer's kernel, at the last look
};

void Websocket::start(int fd, bool is_v6) {
  error_code error;
  socket().assign(is_v6 ? Tcp::v6() : Tcp::v4(), fd, error);
  if (error) {
    ::close(fd);
    end();
    return;
  }
  socket().set_option(Tcp::no_delay(true), error);
  socket().non_blocking(true, error);
  configure_stream();
  // The request was checked and its socket read to the end of the head; Beast needs what its answer
  // depends on.
  beast::http::request<beast::http::empty_body> request{beast::http::verb::get, "/v1/ws", 11};
  request.set(beast::http::field::host, "localhost");
  request.set(beast::http::field::upgrade, "websocket");
  request.set(beast::http::field::connection, "Upgrade");
  request.set(beast::http::field::sec_websocket_version, "13");
  request.set(beast::http::field::sec_websocket_key, upgrade_.key);
  stream_.async_accept(
      request, [self = shared_from_this()](error_code result) { self->on_accepted(result); });
}

void Websocket::configure_stream() {
  stream_.auto_fragment(false);
  stream_.binary(upgrade_.form == WireForm::kProto);
  stream_.read_message_max(principal_.may_publish ? loop_.limits().message_bytes_publisher
                                                  : loop_.limits().message_bytes);
  stream_.set_option(
      ws::stream_base::decorator([protocol = upgrade_.protocol](ws::response_type& response) {
        response.set(beast::http::field::server, "tidegate");
        if (!protocol.empty()) response.set(beast::http::field::sec_websocket_protocol, protocol);
      }));
  // Called inside Beast's read, which the connection outlives.
  stream_.control_callback([this](ws::frame_type kind, boost::string_view) { on_control(kind); });
}

void Websocket::on_accepted(error_code error) {
  if (state_ != State::kAccepting) return;
  if (error) {
    end();
    return;
  }
  state_ = State::kOpen;
  state_since_ms_ = pinged_ms_ = now_ms();
  loop_.probe().connection_opened("websocket");
  log(LogLevel::kDebug, "a WebSocket connection begins", {{"connection", name_}});
  session_ = loop_.delivery().open(*this, upgrade_.form, std::move(principal_), name_);
  if (should_read_) read();
}

void Websocket::read() {
  if (is_reading_ || state_ != State::kOpen) return;
  is_reading_ = true;
  stream_.async_read(incoming_, [self = shared_from_this()](error_code error, std::size_t) {
    self->on_read(error);
  });
}

void Websocket::on_read(error_code error) {
  is_reading_ = false;
  if (state_ == State::kGone) return;
  if (error) {
    if (state_ == State::kOpen) end_reason_ = reason_of(error);
    // A flood's close frame is still to be written, or its five seconds run.
    if (!stream_.next_layer().is_flooded()) end();
    return;
  }
  if (state_ != State::kOpen) return;
  on_message();
  incoming_.consume(incoming_.size());
  if (incoming_.capacity() > kIdleBufferBytes) incoming_.shrink_to_fit();
  if (should_read_) read();
}

void Websocket::on_message() {
  const bool is_binary = upgrade_.form == WireForm::kProto;
  if (stream_.got_binary() != is_binary) {
    close(CloseCode::kUnsupportedData, is_binary ? "tidegate.v1.proto takes binary messages only"
                                                 : "tidegate.v1.json takes text messages only");
    return;
  }
  const auto bytes = incoming_.data();
  if (session_) session_->on_message({static_cast<const char*>(bytes.data()), bytes.size()});
}

void Websocket::on_control(ws::frame_type kind) {
  if (kind == ws::frame_type::pong) {
    has_pong_ = true;
    awaiting_pong_ms_ = 0;
  }
  if (kind == ws::frame_type::close) end_session();
}

void Websocket::send(OutgoingMessage message) {
  if (state_ != State::kOpen || is_writing_) return;
  is_writing_ = true;
  outgoing_buffers_.clear();
  if (message.bytes <= kCopyBytesMax) {
    outgoing_joined_ = message.joined();
    outgoing_buffers_.emplace_back(outgoing_joined_.data(), outgoing_joined_.size());
  } else {
    outgoing_ = std::move(message);
    for (const std::string_view piece : outgoing_.pieces)
      outgoing_buffers_.emplace_back(piece.data(), piece.size());
  }
  stream_.async_write(
      BufferSpan(outgoing_buffers_),
      [self = shared_from_this()](error_code error, std::size_t) { self->on_written(error); });
}

void Websocket::release_pins() {
  if (!is_writing_ || outgoing_.pieces.empty()) return;
  outgoing_joined_ = outgoing_.joined();
  const char* to = outgoing_joined_.data();
  // Beast's write reads `outgoing_buffers_` anew for each system call, except for the one that
  // waits for room.
  for (std::size_t i = 0; i < outgoing_.pieces.size(); ++i) {
    const std::string_view piece = outgoing_.pieces[i];
    stream_.next_layer().move_bytes(piece, to);
    outgoing_buffers_[i] = {to, piece.size()};
    to += piece.size();
  }
  outgoing_ = {};
}

void Websocket::on_written(error_code error) {
  is_writing_ = false;
  stream_.next_layer().forget_moves();
  outgoing_ = {};
  outgoing_joined_ = {};
  if (state_ == State::kGone) return;
  if (close_frame_) {
    close_stream();
    return;
  }
  // An error is told by the read as well; when nothing is read, only here.
  if (error && state_ == State::kOpen && !is_reading_) {
    end();
    return;
  }
  if (!error && session_) session_->on_written();
}

void Websocket::close(CloseCode code, std::string_view reason) {
  if (code == CloseCode::kNoProgress && state_ == State::kOpen) {
    loop_.probe().heartbeat_failed(HeartbeatFailure::kNoProgress);
  }
  close_as(code, reason, close_reason(code));
}

void Websocket::close_as(CloseCode code, std::string_view text, std::string_view reason) {
  if (state_ != State::kOpen) return;
  // RFC 6455: 123 bytes of text fit into a close frame.
  close_frame_ =
      ws::close_reason(static_cast<ws::close_code>(code),
                       boost::string_view(text.data(), std::min(text.size(), kCloseTextBytes)));
  begin_close(reason);
  if (!is_writing_) close_stream();
}

void Websocket::begin_close(std::string_view reason) {
  state_ = State::kClosing;
  state_since_ms_ = now_ms();
  end_reason_ = reason;
  end_session();
}

// Later, because the session may be the caller.
void Websocket::end_session() {
  asio::post(loop_.context(), [self = shared_from_this()] { self->session_.reset(); });
}

void Websocket::close_stream() {
  const ws::close_reason frame = *std::exchange(close_frame_, std::nullopt);
  stream_.async_close(frame, [self = shared_from_this()](error_code) {
    // The peer has answered and gone. A flooding one is not listened to, so its time runs out
    // instead.
    if (self->state_ != State::kGone && !self->stream_.next_layer().is_flooded()) self->end();
  });
}

void Websocket::set_reading(bool reading) {
  should_read_ = reading;
  if (!reading) return;
  // The pong may have waited unread.
  if (awaiting_pong_ms_ != 0) awaiting_pong_ms_ = now_ms();
  // Later: the session that calls this must not get its next message inside the call.
  asio::post(loop_.context(), [self = shared_from_this()] {
    if (self->should_read_) self->read();
  });
}

void Websocket::tick(std::int64_t now_ms) {
  switch (state_) {
    case State::kAccepting:
    case State::kClosing:
      if (now_ms - state_since_ms_ >= kCloseMs) cut();
      return;
    case State::kOpen:
      break;
    case State::kGone:
      return;
  }
  if (!stream_.is_open()) {
    // Beast answers a close frame or a protocol error by itself, and waits for the peer without an
    // end.
    begin_close("protocol");
    return;
  }
  if (stream_.next_layer().is_flooded()) {
    close(CloseCode::kPolicy, "too many fragments or control frames");
    return;
  }
  if (awaiting_pong_ms_ != 0) {
    check_pong(now_ms);
  } else if (!is_pinging_ && now_ms - pinged_ms_ >= loop_.limits().heartbeat_ms) {
    ping(now_ms);
  }
}

void Websocket::ping(std::int64_t now_ms) {
  is_pinging_ = true;
  has_pong_ = false;
  pinged_ms_ = now_ms;
  stream_.async_ping({}, [self = shared_from_this()](error_code error) {
    self->is_pinging_ = false;
    // The answer may be read before this callback runs.
    if (error || self->has_pong_) return;
    self->awaiting_pong_ms_ = self->now_ms();
    self->confirmed_bytes_ = self->stream_.next_layer().confirmed_bytes();
  });
}

void Websocket::check_pong(std::int64_t now_ms) {
  if (now_ms - awaiting_pong_ms_ < loop_.limits().pong_ms) return;
  if (!should_read_ || peer_takes_bytes()) {
    awaiting_pong_ms_ = now_ms;
    return;
  }
  loop_.probe().heartbeat_failed(HeartbeatFailure::kNoPong);
  close_as(CloseCode::kNoProgress, "no answer to a ping", "no_pong");
}

// Whether bytes lie before the ping in the socket and some of them have moved since the last look:
// a slow peer, not a dead one.
bool Websocket::peer_takes_bytes() {
  const std::uint64_t confirmed = stream_.next_layer().confirmed_bytes();
  const std::uint64_t before = std::exchange(confirmed_bytes_, confirmed);
  return confirmed < stream_.next_layer().written_bytes() && confirmed > before;
}

void Websocket::abandon() {
  session_.reset();
  if (state_ == State::kGone) return;
  if (state_ != State::kAccepting) {
    loop_.probe().connection_closed("websocket", "shutdown", now_ms() - began_ms_);
  }
  state_ = State::kGone;
  error_code ignored;
  socket().set_option(asio::socket_base::linger(true, 0), ignored);
  socket().close(ignored);
}

// Resets the connection: what it still has to send would not arrive.
void Websocket::cut() {
  error_code ignored;
  socket().set_option(asio::socket_base::linger(true, 0), ignored);
  end();
}

void Websocket::end() {
  if (state_ == State::kGone) return;
  const bool was_open = state_ != State::kAccepting;
  state_ = State::kGone;
  error_code ignored;
  socket().close(ignored);
  if (was_open) {
    const std::int64_t lasted_ms = now_ms() - began_ms_;
    loop_.probe().connection_closed("websocket", end_reason_, lasted_ms);
    log(LogLevel::kDebug, "a WebSocket connection ends",
        {{"connection", name_}, {"reason", end_reason_}, {"lasted_ms", lasted_ms}});
  }
  asio::post(loop_.context(), [self = shared_from_this()] {
    self->session_.reset();
    self->loop_.forget(*self);
  });
}

}  // namespace

void accept_websocket(IoLoop& loop, UpgradedSocket socket) {
  const int fd = socket.fd;
  const bool is_v6 = socket.is_v6;
  const auto connection = std::make_shared<Websocket>(loop, std::move(socket));
  loop.adopt(connection);
  connection->start(fd, is_v6);
}

}  // namespace tidegate
