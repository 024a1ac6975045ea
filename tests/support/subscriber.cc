#include "tests/support/subscriber.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <optional>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/support/publisher.h"
#include "tests/support/ws_client.h"
#include "tidegate/v1/session.pb.h"

namespace tidegate::test {
namespace {

using Kind = DeliveryRecord::Kind;

constexpr std::int64_t kMillisecond = 1'000'000;
constexpr std::int64_t kReconnectNs = 30 * kMillisecond;
constexpr std::int64_t kQuietCutNs = 500 * kMillisecond;
constexpr int kHandshakeMs = 10'000;
constexpr int kTurnMs = 50;

std::string quoted_list(const std::vector<std::string>& texts) {
  std::string list;
  for (const std::string& text : texts) list += (list.empty() ? "\"" : ",\"") + text + "\"";
  return "[" + list + "]";
}

// A connected socket, or -1: a gateway that is down is nothing to complain about here.
int connect_quietly(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos) return -1;
  sockaddr_in place = {};
  place.sin_family = AF_INET;
  place.sin_port = htons(static_cast<std::uint16_t>(std::atoi(address.c_str() + colon + 1)));
  inet_pton(AF_INET, address.substr(0, colon).c_str(), &place.sin_addr);
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  // Small, so that a pause is felt by the server soon.
  const int receive_bytes = 16 << 10;
  ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&place), sizeof place) != 0) {
    ::close(fd);
    return -1;
  }
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

// A frame's header is 2 to 10 bytes; nothing when it is not whole yet.
struct FrameHead {
  bool is_final;
  Opcode opcode;
  std::size_t begin;
  std::size_t size;
};
std::optional<FrameHead> frame_head(std::string_view bytes) {
  if (bytes.size() < 2) return std::nullopt;
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); };
  std::size_t size = byte(1) & 0x7f;
  const std::size_t more = size == 127 ? 8 : size == 126 ? 2 : 0;
  if (bytes.size() < 2 + more) return std::nullopt;
  if (more > 0) size = 0;
  for (std::size_t i = 0; i < more; ++i) size = size << 8 | byte(2 + i);
  return FrameHead{(byte(0) & 0x80) != 0, static_cast<Opcode>(byte(0) & 0x0f), 2 + more, size};
}

}  // namespace

// ------------------------------------------------------------------------------------- connections

Subscriber::Subscriber(Options options, std::function<std::string()> address)
    : options_(std::move(options)), address_(std::move(address)), random_(options_.seed) {
  history_.name = options_.name;
  history_.streams = options_.streams;
  history_.types = options_.types;
  history_.resume = options_.resume;
}

Subscriber::~Subscriber() {
  disconnect();
}

std::int64_t Subscriber::next_tick_ns() const {
  return fd_ < 0 ? connect_at_ns_ : std::min(drop_at_ns_, pause_at_ns_);
}

void Subscriber::tick(std::int64_t now) {
  if (fd_ < 0) {
    if (now >= connect_at_ns_) connect(now);
    return;
  }
  if (now >= drop_at_ns_) {
    if (bytes_before_cut_ > 0) return cut();
    // It ends somewhere in what comes next, or soon when nothing does.
    bytes_before_cut_ = static_cast<std::size_t>(1 + below(below(2) == 0 ? 200 : 32 << 10));
    drop_at_ns_ = now + kQuietCutNs;
    is_paused_ = false;
    pause_at_ns_ = INT64_MAX;
    return;
  }
  if (now < pause_at_ns_) return;
  is_paused_ = !is_paused_;
  pause_at_ns_ = now + (10 + below(options_.pause_max_ms)) * kMillisecond;
}

void Subscriber::settle() {
  is_settled_ = true;
  is_paused_ = false;
  drop_at_ns_ = pause_at_ns_ = INT64_MAX;
  bytes_before_cut_ = 0;
}

void Subscriber::connect(std::int64_t now) {
  const std::string address = address_();
  fd_ = connect_quietly(address);
  if (fd_ < 0 || !shake_hands(address)) {
    disconnect();
    return;
  }
  ++connections_;
  if (!is_settled_ && options_.life_max_ms > 0) {
    drop_at_ns_ =
        now +
        (options_.life_min_ms + below(options_.life_max_ms - options_.life_min_ms)) * kMillisecond;
  }
  if (!is_settled_ && options_.pause_max_ms > 0)
    pause_at_ns_ = now + below(options_.pause_max_ms) * kMillisecond;
  subscribe();
  take_frames();
}

bool Subscriber::shake_hands(const std::string& address) {
  const std::string authorization =
      options_.token.empty() ? "" : fmt::format("Authorization: Bearer {}\r\n", options_.token);
  const std::string request = fmt::format(
      "GET /v1/ws HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: "
      "Upgrade\r\nSec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\nSec-WebSocket-Protocol: {}\r\n{}\r\n",
      address, options_.is_binary ? "tidegate.v1.proto" : "tidegate.v1.json", authorization);
  if (::send(fd_, request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size()))
    return false;
  const Deadline deadline{Milliseconds(kHandshakeMs)};
  std::size_t end = std::string::npos;
  while ((end = bytes_.find("\r\n\r\n")) == std::string::npos) {
    pollfd item = {fd_, POLLIN, 0};
    char buffer[4096];
    if (::poll(&item, 1, deadline.left_ms()) <= 0) return false;
    const ssize_t count = ::recv(fd_, buffer, sizeof buffer, 0);
    if (count <= 0) return false;
    bytes_.append(buffer, static_cast<std::size_t>(count));
  }
  if (!bytes_.starts_with("HTTP/1.1 101 ")) return false;
  bytes_.erase(0, end + 4);
  return true;
}

void Subscriber::subscribe() {
  place_ = 0;
  messages_since_ack_ = 0;
  events_since_ack_ = 0;
  v1::ClientMessage message;
  v1::SubscribeOp& op = *message.mutable_subscribe();
  op.set_id("s");
  *op.mutable_streams() = {options_.streams.begin(), options_.streams.end()};
  *op.mutable_types() = {options_.types.begin(), options_.types.end()};
  op.set_window(options_.window);
  std::string start = R"("from":"start")";
  Sequence asked = 0;
  op.mutable_start()->set_edge(v1::EDGE_START);
  if (options_.resume == Resume::kCursor) {
    op.set_cursor(options_.name);
    start += fmt::format(R"(,"cursor":"{}")", options_.name);
  } else if (options_.resume == Resume::kInteger) {
    asked = last_event_;
    op.mutable_start()->set_after_sequence(asked);
    start = fmt::format(R"("after":{})", asked);
  } else if (!position_.empty()) {
    asked = Heard{"", position_, "", "", 0, {}}.sequence();
    op.mutable_start()->set_after(position_);
    start = fmt::format(R"("after":"{}")", position_);
  }
  note(Kind::kOpened, asked);
  if (options_.is_binary) return send(message.SerializeAsString());
  send(fmt::format(R"({{"op":"subscribe","id":"s","streams":{},"types":{},"window":{},{}}})",
                   quoted_list(options_.streams), quoted_list(options_.types), options_.window,
                   start));
}

// What a client says is small: when the socket does not take it at once, the connection is as good
// as gone.
void Subscriber::send(std::string_view payload) {
  const std::string frame =
      make_frame(options_.is_binary ? Opcode::kBinary : Opcode::kText, payload);
  const ssize_t sent = ::send(fd_, frame.data(), frame.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent != static_cast<ssize_t>(frame.size())) ::shutdown(fd_, SHUT_RDWR);
}

void Subscriber::acknowledge() {
  messages_since_ack_ = 0;
  events_since_ack_ = 0;
  v1::ClientMessage message;
  v1::AckOp& op = *message.mutable_ack();
  op.set_id("s");
  std::string place = fmt::format("\"{}\"", position_);
  if (random_() % 2 == 0) {
    op.set_position(position_);
  } else {
    op.set_sequence(place_);
    place = std::to_string(place_);
  }
  note(Kind::kAckSent, place_);
  if (options_.is_binary) return send(message.SerializeAsString());
  send(fmt::format(R"({{"op":"ack","id":"s","position":{}}})", place));
}

void Subscriber::cut() {
  if (!bytes_.empty() || !fragments_.empty()) ++cuts_within_message_;
  const linger now = {1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  disconnect();
}

void Subscriber::disconnect() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  bytes_.clear();
  fragments_.clear();
  place_ = 0;  // not anywhere until it is told on the next connection
  is_paused_ = false;
  drop_at_ns_ = pause_at_ns_ = INT64_MAX;
  bytes_before_cut_ = 0;
  connect_at_ns_ = now_ns() + kReconnectNs + below(kReconnectNs);
}

// --------------------------------------------------------------------------------------- receiving

void Subscriber::on_readable() {
  if (bytes_before_cut_ == 0) {
    receive(64 << 10);
  } else if (receive(bytes_before_cut_)) {
    cut();
  }
}

// False when there was nothing, or the connection has ended.
bool Subscriber::receive(std::size_t bytes_max) {
  char buffer[64 << 10];
  const ssize_t count = ::recv(fd_, buffer, std::min(bytes_max, sizeof buffer), MSG_DONTWAIT);
  if (count < 0 && errno == EAGAIN) return false;
  if (count <= 0) {
    disconnect();
    return false;
  }
  bytes_.append(buffer, static_cast<std::size_t>(count));
  take_frames();
  return fd_ >= 0;
}

void Subscriber::take_frames() {
  std::size_t done = 0;
  while (fd_ >= 0) {
    const std::string_view rest = std::string_view(bytes_).substr(done);
    const auto head = frame_head(rest);
    if (!head || rest.size() < head->begin + head->size) break;
    const std::string_view payload = rest.substr(head->begin, head->size);
    done += head->begin + head->size;
    if (head->opcode == Opcode::kPing) {
      const std::string pong = make_frame(Opcode::kPong, payload);
      static_cast<void>(::send(fd_, pong.data(), pong.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
    } else if (head->opcode == Opcode::kClose) {
      return disconnect();
    } else if (head->opcode != Opcode::kPong) {
      if (head->is_final && fragments_.empty()) {
        take_message(payload);
      } else {
        fragments_ += payload;
        if (head->is_final) take_message(std::exchange(fragments_, {}));
      }
    }
  }
  if (fd_ >= 0) bytes_.erase(0, done);
}

void Subscriber::take_message(std::string_view message) {
  const Heard heard = options_.is_binary ? Heard::from_proto(message) : Heard::from_json(message);
  EXPECT_NE(heard.op, "") << options_.name << " does not understand " << message.substr(0, 500);
  hear(heard);
}

void Subscriber::hear(const Heard& heard) {
  const auto reached = [&] {
    place_ = heard.sequence();
    position_ = heard.position;
  };
  if (heard.op == "events") {
    for (const Heard::Event& event : heard.events) note(Kind::kEvent, event.sequence, event.hash);
    reached();
    if (!heard.events.empty()) last_event_ = heard.events.back().sequence;
    events_since_ack_ += heard.events.size();
    note(Kind::kMark, place_);
    const bool is_window_half_full =
        options_.window > 0 && events_since_ack_ >= options_.window / 2;
    if (options_.resume != Resume::kCursor && options_.window == 0) return;
    if (++messages_since_ack_ >= options_.ack_every || is_window_half_full) acknowledge();
  } else if (heard.op == "subscribed") {
    reached();
    note(Kind::kBegun, place_);
  } else if (heard.op == "position" || heard.op == "caught_up" || heard.op == "fell_behind") {
    reached();
    note(Kind::kMark, place_);
  } else if (heard.op == "acked") {
    note(Kind::kAcked, heard.sequence());
  } else if (heard.op == "gap") {
    note(Kind::kGap, heard.floor);
  } else if (heard.op == "reset") {
    note(Kind::kReset, 0);
    position_.clear();
    last_event_ = 0;
  } else if (heard.code == "forbidden" && !options_.token.empty()) {
    is_forbidden_ = true;
    disconnect();
    connect_at_ns_ = INT64_MAX;
  } else if (heard.op == "error" || heard.op == "unsubscribed") {
    const bool is_passing =
        heard.code == "overloaded" || heard.code == "draining" || heard.code == "unavailable";
    EXPECT_TRUE(is_passing) << options_.name << " got " << heard.op << " " << heard.code << ": "
                            << heard.reason;
    disconnect();
  }
}

void Subscriber::note(DeliveryRecord::Kind kind, Sequence sequence, std::uint64_t hash) {
  history_.records.push_back({kind, sequence, hash});
}

// ------------------------------------------------------------------------------------------- fleet

SubscriberFleet::SubscriberFleet(std::vector<Subscriber::Options> options,
                                 std::function<std::string()> address, unsigned threads)
    : thread_count_(threads) {
  for (Subscriber::Options& one : options)
    subscribers_.push_back(std::make_unique<Subscriber>(std::move(one), address));
  for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this, i] { run(i); });
}

SubscriberFleet::~SubscriberFleet() {
  stop();
}

bool SubscriberFleet::drain(Sequence head, int patience_ms) {
  target_ = head;
  std::unique_lock lock(mutex_);
  return drained_.wait_for(lock, std::chrono::milliseconds(patience_ms),
                           [this] { return drained_threads_ == thread_count_; });
}

void SubscriberFleet::stop() {
  stopping_ = true;
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void SubscriberFleet::run(unsigned thread) {
  std::vector<Subscriber*> mine;
  for (std::size_t i = thread; i < subscribers_.size(); i += thread_count_)
    mine.push_back(subscribers_[i].get());
  std::vector<pollfd> items(mine.size());
  bool is_settled = false;
  bool is_drained = false;
  while (!stopping_) {
    std::int64_t next = now_ns() + kTurnMs * kMillisecond;
    for (std::size_t i = 0; i < mine.size(); ++i) {
      items[i] = {mine[i]->fd(), POLLIN, 0};
      next = std::min(next, mine[i]->next_tick_ns());
    }
    const std::int64_t wait_ms = (next - now_ns() + kMillisecond - 1) / kMillisecond;
    ::poll(items.data(), items.size(), static_cast<int>(std::max<std::int64_t>(0, wait_ms)));
    const Sequence target = target_;
    const bool settles = target != UINT64_MAX && !std::exchange(is_settled, target != UINT64_MAX);
    bool all_there = true;
    for (std::size_t i = 0; i < mine.size(); ++i) {
      if (settles) mine[i]->settle();
      // A turn of another one may not have touched this socket, so the answer of poll still holds.
      if (items[i].revents != 0 && mine[i]->fd() == items[i].fd) mine[i]->on_readable();
      mine[i]->tick(now_ns());
      all_there = all_there && mine[i]->place() >= target;
    }
    if (!all_there || is_drained) continue;
    is_drained = true;
    const std::lock_guard lock(mutex_);
    ++drained_threads_;
    drained_.notify_all();
  }
}

}  // namespace tidegate::test
