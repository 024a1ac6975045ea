#include "tools/bench/load/subscribers.h"

namespace tidegate::load {
namespace {

// Connections that are being opened at a time: below any listener's backlog.
constexpr std::uint64_t kOpeningMax = 64;
// All of a storm come at once; peers are started with a backlog of 4,096.
constexpr std::uint64_t kReopeningMax = 2048;

// More than two events with everything that a peer puts around them.
constexpr std::size_t kTailBytes = 1024;

}  // namespace

Subscribers::Subscribers(const Peer& peer, Start start, std::uint16_t port, std::uint64_t count,
                         Loop& loop)
    : peer_(peer), start_(start), port_(port), count_(count), loop_(loop), waiting_({count}) {
  all_.resize(static_cast<std::size_t>(count));
}

std::vector<Step> Subscribers::steps_of(std::uint64_t number, const One& one) const {
  if (!was_cut_) return peer_.subscribe(number, start_);
  return peer_.resume(number, {one.next, one.connection->answer(), one.tail});
}

void Subscribers::cut() {
  for (const One& one : all_) one.connection->cut();
  was_cut_ = true;
  opened_ = 0;
  ready_ = 0;
}

Status Subscribers::open_more() {
  const std::uint64_t opening_max = was_cut_ ? kReopeningMax : kOpeningMax;
  while (opened_ < count_ && opened_ - ready_ < opening_max) {
    const std::uint64_t number = opened_++;
    One& one = all_[static_cast<std::size_t>(number)];
    one.connection = std::make_unique<Connection>(steps_of(number, one));
    if (Status opened = one.connection->open(port_, loop_.fd(), number); !opened) return opened;
  }
  return {};
}

Status Subscribers::receive(std::uint64_t mark) {
  One& one = all_[static_cast<std::size_t>(mark)];
  Connection& connection = *one.connection;
  if (Status sent = connection.flush(); !sent) return sent;
  const bool was_ready = connection.is_ready();
  const Result<std::string_view> bytes = connection.receive(buffer_);
  if (!bytes) return bytes.error();
  if (!was_ready && connection.is_ready()) ++ready_;
  if (bytes->empty()) return {};
  if (remembers_) {
    one.tail += *bytes;
    if (one.tail.size() > kTailBytes) one.tail.erase(0, one.tail.size() - kTailBytes);
  }
  // Once per read: the deliveries of one read came at the same time.
  const std::int64_t received_us = now_us();
  const std::uint64_t before = one.next;
  const std::size_t rest =
      find_events(*bytes, [&](const EventHead& event) { take(one, event, received_us); });
  connection.keep(*bytes, rest);
  if (one.next != before) move(before, one.next);
  return {};
}

void Subscribers::take(One& one, EventHead event, std::int64_t received_us) {
  if (event.number < one.next) {
    ++duplicated_;
    return;
  }
  skipped_ += event.number - one.next;
  one.next = event.number + 1;
  ++deliveries_;
  last_us_ = received_us;
  latency_us_.record(received_us - event.time_us);
}

void Subscribers::move(std::uint64_t from, std::uint64_t to) {
  if (to - passed_ >= waiting_.size()) waiting_.resize(to - passed_ + 1);
  --waiting_[from - passed_];
  ++waiting_[to - passed_];
  while (waiting_.front() == 0) {
    waiting_.pop_front();
    ++passed_;
  }
}

std::uint64_t Subscribers::bytes() const {
  std::uint64_t bytes = 0;
  for (const One& one : all_) {
    if (one.connection != nullptr) bytes += one.connection->bytes_received();
  }
  return bytes;
}

std::uint64_t Subscribers::lost(std::uint64_t events) const {
  std::uint64_t lost = skipped_;
  for (const One& one : all_) lost += events > one.next ? events - one.next : 0;
  return lost;
}

}  // namespace tidegate::load
