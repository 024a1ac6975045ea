#include "gateway/net/websocket.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <linux/sockios.h>
#include <optional>
#include <span>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>

#include "eventstore/base/log.h"
#include "gateway/delivery/delivery_loop.h"
#include "gateway/delivery/session.h"
#include "gateway/net/frame_reader.h"
#include "gateway/net/frame_writer.h"
#include "gateway/net/frames.h"
#include "gateway/net/io_loop.h"

namespace tidegate {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Tcp = asio::ip::tcp;
// The executor's concrete type spares the type-erased one, which allocates and calls virtually.
using Socket = asio::basic_stream_socket<Tcp, asio::io_context::executor_type>;

// A close frame cannot pass a stuck write, and a peer need not answer it.
constexpr std::int64_t kCloseMs = 5'000;
// What a peer may still send after its end was decided: enough for messages that were on their way.
constexpr std::size_t kLingerBytes = 4 << 20;

class Websocket final : public Connection, public std::enable_shared_from_this<Websocket> {
 public:
  Websocket(IoLoop& loop, const UpgradedSocket& socket)
      : loop_(loop),
        socket_(loop.context().get_executor()),
        form_(socket.admitted.upgrade.form),
        name_(loop.next_connection_name()),
        places_(socket.admitted.places),
        began_ms_(loop.clock().steady_ms()),
        reader_(form_ == WireForm::kProto,
                loop.limits().message_bytes_of(socket.admitted.principal->may_publish())) {}

  // Separate from the constructor: callbacks need the shared_ptr.
  void start(UpgradedSocket socket);

  std::string_view surface() const override { return "websocket"; }
  void put(OutgoingMessage&& message) override;
  Sent write() override;
  void release_pins() override { writer_.release_pins(); }
  void close(CloseCode code, std::string_view reason) override;
  void set_reading(bool reading) override;
  std::int64_t tick(std::int64_t now_ms) override;
  void abandon() override;

 private:
  enum class State : std::uint8_t { kOpen, kClosing, kGone };

  std::int64_t now_ms() const { return loop_.clock().steady_ms(); }

  void wait_readable();
  void on_readable();
  void take(std::span<char> bytes);
  void on_incoming(const Incoming& incoming);
  void on_close_frame(const Incoming& close);
  void go_on_reading();

  void flush();
  void wait_writable();
  void write_control(std::string_view frame);
  void close_as(CloseCode code, std::string_view text, std::string_view reason);
  void begin_close(std::string_view frame, std::string_view reason);
  void end_session();

  bool is_ping_due(std::int64_t now_ms, std::int64_t interval_ms) const;
  void ping(std::int64_t now_ms);
  void check_pong(std::int64_t now_ms);
  bool peer_takes_bytes();
  std::uint64_t confirmed_bytes();
  void cut();
  void end();

  IoLoop& loop_;
  Socket socket_;
  SocketIo io_;
  const WireForm form_;
  const std::string name_;
  const HeldPlaces places_;
  const std::int64_t began_ms_;
  std::unique_ptr<Session> session_;

  State state_ = State::kOpen;
  std::int64_t closing_since_ms_ = 0;
  std::string_view end_reason_ = "lost";
  bool is_over_ = false;      // nothing more is to be said: both close frames, or a violation
  bool is_shut_ = false;      // our half of the connection has ended
  std::size_t lingered_ = 0;  // bytes that came since

  FrameReader reader_;
  bool should_read_ = true;  // what the session wants
  bool is_waiting_readable_ = false;
  std::string unread_;  // what had come when reading stopped

  FrameWriter writer_;
  bool is_waiting_writable_ = false;
  bool owes_written_ = false;  // the session waits for its write

  std::int64_t pinged_ms_ = 0;
  std::int64_t awaiting_pong_ms_ = 0;  // since when; 0: no ping is unanswered
  std::uint64_t confirmed_bytes_ = 0;  // by the peer's kernel, at the last look
};

void Websocket::start(UpgradedSocket socket) {
  error_code error;
  socket_.assign(socket.is_v6 ? Tcp::v6() : Tcp::v4(), socket.fd, error);
  if (error) {
    log(LogLevel::kWarn, "a new connection could not be watched", {{"error", error.message()}});
    ::close(socket.fd);
    loop_.forget(*this);
    return;
  }
  socket_.set_option(Tcp::no_delay(true), error);
  socket_.non_blocking(true, error);
  io_ = std::move(socket.io);
  pinged_ms_ = began_ms_;
  writer_.add_control(upgrade_answer(socket.admitted.upgrade));
  loop_.probe().connection_opened("websocket");
  log(LogLevel::kDebug, "a WebSocket connection begins",
      {{"connection", name_}, {"client", socket.admitted.client.text()}});
  session_ = loop_.delivery().open(*this, form_, std::move(socket.admitted.principal), name_);
  wait_readable();
}

// ---------------------------------------------------------------------------------------- reading

void Websocket::wait_readable() {
  if (is_waiting_readable_ || state_ == State::kGone) return;
  is_waiting_readable_ = true;
  if (io_.has_unread()) {
    asio::post(loop_.context(), [self = shared_from_this()] {
      self->is_waiting_readable_ = false;
      if (self->state_ != State::kGone) self->on_readable();
    });
    return;
  }
  socket_.async_wait(Socket::wait_read, [self = shared_from_this()](error_code error) {
    self->is_waiting_readable_ = false;
    if (self->state_ == State::kGone) return;
    error ? self->end() : self->on_readable();
  });
}

// One piece at a time, so that a peer who sends much leaves the others their turns.
void Websocket::on_readable() {
  if (state_ == State::kOpen && !should_read_) return;
  const std::span<char> buffer = loop_.receive_buffer();
  const ssize_t count = io_.receive(socket_.native_handle(), buffer);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
    flush();  // what TLS answers
    return wait_readable();
  }
  if (count <= 0) return end();
  if (state_ == State::kClosing) lingered_ += static_cast<std::size_t>(count);
  take(buffer.first(static_cast<std::size_t>(count)));
}

void Websocket::take(std::span<char> bytes) {
  while (state_ != State::kGone && !is_over_) {
    if (state_ == State::kOpen && !should_read_) {
      unread_.assign(bytes.data(), bytes.size());
      return;
    }
    const auto incoming = reader_.read(bytes, now_ms());
    if (incoming) {
      on_incoming(*incoming);
      continue;
    }
    if (const auto& violation = reader_.violation()) {
      is_over_ = true;
      close_as(violation->code, violation->text, close_reason(violation->code));
    }
    break;
  }
  flush();
  // Beyond the limit nothing more is read, and the peer is cut when its time is over.
  if (state_ == State::kOpen || lingered_ < kLingerBytes) wait_readable();
}

void Websocket::on_incoming(const Incoming& incoming) {
  switch (incoming.kind) {
    case Incoming::Kind::kMessage:
      if (state_ == State::kOpen && session_) session_->on_message(incoming.payload);
      return;
    case Incoming::Kind::kPing:
      // Also after our own close frame: only the peer's ends the duty (RFC 6455 section 5.5.2).
      writer_.set_pong(incoming.payload);
      // Written before the next frame is looked at, so that each ping gets its own pong as long as
      // the peer reads.
      return flush();
    case Incoming::Kind::kPong:
      awaiting_pong_ms_ = 0;
      return;
    case Incoming::Kind::kClose:
      return on_close_frame(incoming);
  }
}

void Websocket::on_close_frame(const Incoming& close) {
  is_over_ = true;
  if (state_ == State::kOpen) begin_close(close_frame(close.close_code, {}), "peer");
}

void Websocket::set_reading(bool reading) {
  should_read_ = reading;
  if (!reading) return;
  // The pong may have waited unread.
  if (awaiting_pong_ms_ != 0) awaiting_pong_ms_ = now_ms();
  // Later: the session that calls this must not get its next message inside the call.
  asio::post(loop_.context(), [self = shared_from_this()] { self->go_on_reading(); });
}

void Websocket::go_on_reading() {
  if (state_ != State::kOpen || !should_read_) return;
  std::string bytes = std::exchange(unread_, {});
  take(bytes);
}

// ---------------------------------------------------------------------------------------- writing

void Websocket::put(OutgoingMessage&& message) {
  if (state_ != State::kOpen) return;
  writer_.set_message(form_ == WireForm::kProto ? Opcode::kBinary : Opcode::kText,
                      std::move(message));
}

Transport::Sent Websocket::write() {
  if (state_ != State::kOpen) return Sent::kUnderWay;
  if (!writer_.has_message()) return Sent::kDone;  // goes with the one that follows it
  // A ping that is due soon goes along for nothing.
  const std::int64_t tick_ms = loop_.tick_ms();
  if (is_ping_due(tick_ms, loop_.limits().heartbeat_ms / 2)) ping(tick_ms);
  flush();
  owes_written_ = writer_.has_message();
  return owes_written_ ? Sent::kUnderWay : Sent::kDone;
}

// Writes what the socket takes now, and waits for room for the rest.
void Websocket::flush() {
  if (is_waiting_writable_ || state_ == State::kGone) return;
  const int fd = socket_.native_handle();
  while (!writer_.is_empty() || io_.has_unsent()) {
    std::array<iovec, FrameWriter::kPiecesMax> pieces;
    const std::size_t gathered = writer_.gather(pieces);
    const ssize_t count =
        gathered > 0 ? io_.send(fd, std::span(pieces).first(gathered)) : io_.flush(fd);
    if (count < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN ? wait_writable() : end();
    }
    writer_.advance(static_cast<std::size_t>(count));
  }
  if (!is_over_ || is_shut_) return;
  is_shut_ = true;
  io_.finish(fd);
}

void Websocket::wait_writable() {
  is_waiting_writable_ = true;
  socket_.async_wait(Socket::wait_write, [self = shared_from_this()](error_code error) {
    self->is_waiting_writable_ = false;
    if (self->state_ == State::kGone) return;
    if (error) return self->end();
    self->flush();
    if (self->state_ != State::kOpen || self->writer_.has_message()) return;
    if (std::exchange(self->owes_written_, false) && self->session_) self->session_->on_written();
  });
}

void Websocket::write_control(std::string_view frame) {
  writer_.add_control(frame);
  flush();
}

// ---------------------------------------------------------------------------------------- closing

void Websocket::close(CloseCode code, std::string_view reason) {
  if (code == CloseCode::kNoProgress && state_ == State::kOpen) {
    loop_.probe().heartbeat_failed(HeartbeatFailure::kNoProgress);
  }
  close_as(code, reason, close_reason(code));
}

void Websocket::close_as(CloseCode code, std::string_view text, std::string_view reason) {
  if (state_ != State::kOpen) return;
  begin_close(close_frame(static_cast<std::uint16_t>(code), text), reason);
  // Reading may have been stopped; the peer's close frame is still to be found.
  asio::post(loop_.context(), [self = shared_from_this()] {
    if (self->state_ != State::kClosing) return;
    std::string bytes = std::exchange(self->unread_, {});
    self->take(bytes);
  });
}

void Websocket::begin_close(std::string_view frame, std::string_view reason) {
  state_ = State::kClosing;
  closing_since_ms_ = now_ms();
  loop_.tick_no_later(*this, closing_since_ms_ + kCloseMs);
  end_reason_ = reason;
  end_session();
  write_control(frame);
}

// Later, because the session may be the caller.
void Websocket::end_session() {
  asio::post(loop_.context(), [self = shared_from_this()] { self->session_.reset(); });
}

void Websocket::abandon() {
  session_.reset();
  if (state_ == State::kGone) return;
  state_ = State::kGone;
  loop_.probe().connection_closed("websocket", "shutdown", now_ms() - began_ms_);
  error_code ignored;
  socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  socket_.close(ignored);
}

// Resets the connection: what it still has to send would not arrive.
void Websocket::cut() {
  error_code ignored;
  socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  end();
}

void Websocket::end() {
  if (state_ == State::kGone) return;
  state_ = State::kGone;
  error_code ignored;
  socket_.close(ignored);
  const std::int64_t lasted_ms = now_ms() - began_ms_;
  loop_.probe().connection_closed("websocket", end_reason_, lasted_ms);
  log(LogLevel::kDebug, "a WebSocket connection ends",
      {{"connection", name_}, {"reason", end_reason_}, {"lasted_ms", lasted_ms}});
  asio::post(loop_.context(), [self = shared_from_this()] {
    self->session_.reset();
    self->loop_.forget(*self);
  });
}

// ------------------------------------------------------------------------------------------- time

std::int64_t Websocket::tick(std::int64_t now_ms) {
  const std::int64_t heartbeat_ms = loop_.limits().heartbeat_ms;
  if (state_ == State::kGone) return now_ms + heartbeat_ms;
  if (state_ == State::kClosing) {
    if (now_ms - closing_since_ms_ >= kCloseMs) cut();
    return closing_since_ms_ + kCloseMs;
  }
  if (awaiting_pong_ms_ != 0) {
    check_pong(now_ms);
  } else if (is_ping_due(now_ms, heartbeat_ms)) {
    ping(now_ms);
  }
  if (awaiting_pong_ms_ != 0) return awaiting_pong_ms_ + loop_.limits().pong_ms;
  return pinged_ms_ + heartbeat_ms;
}

// While a message is stuck there is nothing to learn from a ping, and the time for progress runs.
bool Websocket::is_ping_due(std::int64_t now_ms, std::int64_t interval_ms) const {
  return awaiting_pong_ms_ == 0 && !owes_written_ && now_ms - pinged_ms_ >= interval_ms;
}

void Websocket::ping(std::int64_t now_ms) {
  pinged_ms_ = awaiting_pong_ms_ = now_ms;
  write_control(control_frame(Opcode::kPing, {}));
  confirmed_bytes_ = confirmed_bytes();
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
  const std::uint64_t confirmed = confirmed_bytes();
  const std::uint64_t before = std::exchange(confirmed_bytes_, confirmed);
  return confirmed < writer_.written_bytes() && confirmed > before;
}

std::uint64_t Websocket::confirmed_bytes() {
  int queued = 0;
  if (::ioctl(socket_.native_handle(), SIOCOUTQ, &queued) != 0) return 0;
  // Under TLS more bytes are queued than were written.
  const std::uint64_t written = writer_.written_bytes();
  return written - std::min(written, static_cast<std::uint64_t>(queued));
}

}  // namespace

void accept_websocket(IoLoop& loop, UpgradedSocket socket) {
  const auto connection = std::make_shared<Websocket>(loop, socket);
  loop.adopt(connection);
  connection->start(std::move(socket));
}

}  // namespace tidegate
