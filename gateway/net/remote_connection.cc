#include "gateway/net/remote_connection.h"

#include <atomic>
#include <utility>

#include <fmt/format.h>

#include "gateway/delivery/delivery_loop.h"
#include "gateway/delivery/session.h"
#include "gateway/net/connection.h"
#include "gateway/net/io_loop.h"

namespace tidegate {
namespace {

// What may wait for the loop before the peer is told to pause; one message more may be on its way,
// which gRPC bounds (grpc_server.cc).
constexpr std::size_t kPendingBytesMax = 4 << 20;
constexpr std::string_view kTransport = "grpc";

class RemoteConnection final : public Connection,
                               public std::enable_shared_from_this<RemoteConnection> {
 public:
  RemoteConnection(IoLoop& loop, std::weak_ptr<RemotePeer> peer, HeldPlaces places)
      : loop_(loop), peer_(std::move(peer)), places_(std::move(places)) {}

  // Any thread, before the message is posted. The peer is paused before the message is on its way,
  // so that the loop's `set_reading(true)` after that message cannot be overtaken.
  void announce(std::size_t bytes) {
    if (pending_bytes_.fetch_add(bytes) + bytes <= kPendingBytesMax) return;
    if (const auto peer = peer_.lock()) peer->set_reading(false);
    is_paused_ = true;
  }

  void start(PrincipalRef principal) {
    if (is_gone_) return;
    began_ms_ = loop_.clock().steady_ms();
    message_bytes_max_ = loop_.limits().message_bytes_of(principal->may_publish());
    loop_.probe().connection_opened(kTransport);
    loop_.adopt(shared_from_this());
    session_ = loop_.delivery().open(*this, WireForm::kProto, std::move(principal),
                                     loop_.next_connection_name());
  }

  void message(const std::string& bytes) {
    if (bytes.size() > message_bytes_max_) {
      close(CloseCode::kTooBig,
            fmt::format("a message of {} bytes; {} are allowed", bytes.size(), message_bytes_max_));
    } else if (session_ && !is_closing_) {
      session_->on_message(bytes);
    }
    const std::size_t left = pending_bytes_.fetch_sub(bytes.size()) - bytes.size();
    if (left > kPendingBytesMax / 2 || !is_paused_.exchange(false) || !should_read_) return;
    if (const auto peer = peer_.lock()) peer->set_reading(true);
  }

  void written() {
    if (session_ && !is_closing_) session_->on_written();
  }

  std::string_view surface() const override { return kTransport; }

  void put(OutgoingMessage&& message) override {
    const auto peer = peer_.lock();
    if (peer && !is_closing_) peer->send(message.joined());
  }
  Sent write() override { return Sent::kUnderWay; }

  // `put` has copied the message.
  void release_pins() override {}

  void close(CloseCode code, std::string_view reason) override {
    if (std::exchange(is_closing_, true)) return;
    if (code == CloseCode::kNoProgress)
      loop_.probe().heartbeat_failed(HeartbeatFailure::kNoProgress);
    if (const auto peer = peer_.lock()) peer->close(code, reason);
    // Later, because the session may be the caller.
    loop_.post([self = shared_from_this(), code] { self->end(close_reason(code)); });
  }

  void set_reading(bool reading) override {
    should_read_ = reading;
    if (reading && is_paused_) return;
    if (const auto peer = peer_.lock()) peer->set_reading(reading);
  }

  // gRPC's keepalive finds dead peers, the session measures progress.
  std::int64_t tick(std::int64_t now_ms) override { return now_ms + loop_.limits().heartbeat_ms; }

  void abandon() override {
    session_.reset();
    is_closing_ = true;
    if (std::exchange(is_gone_, true)) return;
    loop_.probe().connection_closed(kTransport, "shutdown", loop_.clock().steady_ms() - began_ms_);
    if (const auto peer = peer_.lock()) peer->close(CloseCode::kDrain, "the gateway ends");
  }

  // The handle was dropped, or the close was handed over. Not from inside the session.
  void end(std::string_view reason) {
    is_closing_ = true;
    session_.reset();
    if (std::exchange(is_gone_, true) || began_ms_ == 0) return;
    loop_.probe().connection_closed(kTransport, reason, loop_.clock().steady_ms() - began_ms_);
    loop_.forget(*this);
  }

 private:
  IoLoop& loop_;
  const std::weak_ptr<RemotePeer> peer_;
  const HeldPlaces places_;
  std::unique_ptr<Session> session_;
  std::int64_t began_ms_ = 0;
  std::size_t message_bytes_max_ = 0;
  bool is_closing_ = false;
  bool is_gone_ = false;
  bool should_read_ = true;             // what the session wants
  std::atomic<bool> is_paused_{false};  // told to by `announce`
  std::atomic<std::size_t> pending_bytes_{0};
};

class RemoteHandle final : public RemoteSession {
 public:
  RemoteHandle(IoLoop& loop, std::shared_ptr<RemoteConnection> connection)
      : loop_(loop), connection_(std::move(connection)) {}
  ~RemoteHandle() override {
    loop_.post([connection = connection_] { connection->end("peer"); });
  }
  RemoteHandle(const RemoteHandle&) = delete;
  RemoteHandle& operator=(const RemoteHandle&) = delete;

  void message(std::string bytes) override {
    connection_->announce(bytes.size());
    loop_.post(
        [connection = connection_, bytes = std::move(bytes)] { connection->message(bytes); });
  }
  void written() override {
    loop_.post([connection = connection_] { connection->written(); });
  }

 private:
  IoLoop& loop_;
  const std::shared_ptr<RemoteConnection> connection_;
};

}  // namespace

std::unique_ptr<RemoteSession> open_remote_session(IoLoop& loop, std::shared_ptr<RemotePeer> peer,
                                                   PrincipalRef principal, HeldPlaces places) {
  auto connection = std::make_shared<RemoteConnection>(loop, peer, std::move(places));
  loop.post([connection, principal = std::move(principal)] { connection->start(principal); });
  return std::make_unique<RemoteHandle>(loop, std::move(connection));
}

}  // namespace tidegate
