#include <memory>

#include "tools/bench/load/connection.h"
#include "tools/bench/load/event_text.h"
#include "tools/bench/load/loop.h"
#include "tools/bench/load/meter.h"
#include "tools/bench/load/peer.h"
#include "tools/bench/load/scenarios.h"
#include "tools/bench/load/subscribers.h"

namespace tidegate::load {
namespace {

constexpr std::int64_t kConnectingUs = 60'000'000;
// No delivery for so long: what is missing is lost.
constexpr std::int64_t kPatienceUs = 5'000'000;

std::int64_t microseconds(double seconds) {
  return static_cast<std::int64_t>(seconds * 1e6);
}

// Publishing follows a schedule from begin to end: with connections for `seconds`, without any for
// `down_seconds`, and for `seconds` again from when all have caught up.
class Storm {
 public:
  explicit Storm(const Options& options)
      : options_(options),
        peer_(make_peer(options.peer)),
        text_(static_cast<std::size_t>(options.size)),
        meter_(options.server_pids),
        publisher_(peer_->begin_publishing(0)),
        subscribers_(*peer_, Start::kResumable, options.subscribe_port, options.subscribers,
                     loop_) {
    subscribers_.remember();
  }

  Status run() {
    const Status open = publisher_.open(options_.publish_port, loop_.fd(), options_.subscribers);
    if (!open) return open;
    if (Status connected = connect(kConnectingUs); !connected) return connected;
    meter_.begin();
    begin_us_ = now_us();
    if (Status quiet = go_on(microseconds(options_.seconds)); !quiet) return quiet;
    subscribers_.cut();
    if (Status down = go_on(microseconds(options_.down_seconds)); !down) return down;
    if (Status back = come_back(); !back) return back;
    if (Status after = go_on(microseconds(options_.seconds)); !after) return after;
    is_over_ = true;
    if (Status rest = wait_for(published_, kPatienceUs); !rest) return rest;
    meter_.end();
    report();
    return {};
  }

 private:
  Status connect(std::int64_t patience_us) {
    const std::int64_t until_us = now_us() + patience_us;
    while (!subscribers_.all_ready() || !publisher_.is_ready()) {
      if (now_us() > until_us) {
        return Error{Code::kUnavailable, "the peer does not take all subscribers within a minute"};
      }
      if (Status opened = subscribers_.open_more(); !opened) return opened;
      if (Status stepped = step(until_us); !stepped) return stepped;
    }
    return {};
  }

  // Caught up is who has all that was published before the first one came back.
  Status come_back() {
    const std::uint64_t wanted = published_;
    const std::int64_t reconnect_us = now_us();
    if (Status connected = connect(kConnectingUs); !connected) return connected;
    connected_us_ = now_us() - reconnect_us;
    if (Status caught_up = wait_for(wanted, kPatienceUs); !caught_up) return caught_up;
    caught_up_us_ = now_us() - reconnect_us;
    return {};
  }

  // Ends without an error also when nothing comes any more: the report tells what was lost.
  Status wait_for(std::uint64_t events, std::int64_t patience_us) {
    std::int64_t until_us = now_us() + patience_us;
    std::uint64_t seen = subscribers_.deliveries();
    while (subscribers_.received_by_all() < events && now_us() < until_us) {
      if (Status stepped = step(until_us); !stepped) return stepped;
      if (subscribers_.deliveries() > seen) until_us = now_us() + patience_us;
      seen = subscribers_.deliveries();
    }
    return {};
  }

  Status go_on(std::int64_t duration_us) {
    const std::int64_t until_us = now_us() + duration_us;
    while (now_us() < until_us) {
      if (Status stepped = step(until_us); !stepped) return stepped;
    }
    return {};
  }

  std::int64_t due_us() const {
    return begin_us_ + static_cast<std::int64_t>(published_ * 1'000'000 / options_.rate);
  }

  Status publish() {
    if (begin_us_ == 0 || is_over_) return {};
    bool has_any = false;
    for (const std::int64_t time_us = now_us(); due_us() <= time_us; has_any = true) {
      peer_->publish(publisher_.out(), 0, text_.make(published_, due_us()));
      ++published_;
    }
    return has_any ? publisher_.flush() : Status();
  }

  Status step(std::int64_t until_us) {
    if (Status sent = publish(); !sent) return sent;
    const bool is_publishing = begin_us_ != 0 && !is_over_;
    for (const epoll_event& event :
         loop_.wait(is_publishing ? std::min(due_us(), until_us) : until_us)) {
      const std::uint64_t mark = event.data.u64;
      const Status got =
          mark < options_.subscribers ? subscribers_.receive(mark) : receive_answers();
      if (!got) return got;
      if (Status sent = publish(); !sent) return sent;
    }
    return {};
  }

  Status receive_answers() {
    const Result<std::string_view> bytes = publisher_.receive(buffer_);
    if (!bytes) return bytes.error();
    const Result<std::uint64_t> count = peer_->acknowledged(*bytes);
    if (!count) return count.error();
    return publisher_.flush();
  }

  void report() const {
    Report report("storm", options_.peer);
    report.number("subscribers", options_.subscribers);
    report.number("size", options_.size);
    report.number("rate", options_.rate);
    report.decimal("down_seconds", options_.down_seconds);
    report.number("events", published_);
    report.number("deliveries", subscribers_.deliveries());
    report.number("lost", subscribers_.lost(published_));
    report.number("duplicated", subscribers_.duplicated());
    report.decimal("connected_seconds", static_cast<double>(connected_us_) / 1e6);
    report.decimal("caught_up_seconds", static_cast<double>(caught_up_us_) / 1e6);
    report.processor(meter_, "delivery", subscribers_.deliveries());
    report.print();
  }

  const Options& options_;
  const std::unique_ptr<Peer> peer_;
  EventText text_;
  Meter meter_;
  Loop loop_;
  Connection::Buffer buffer_ = Connection::make_buffer();
  Connection publisher_;
  Subscribers subscribers_;
  std::uint64_t published_ = 0;
  std::int64_t begin_us_ = 0;
  bool is_over_ = false;
  std::int64_t connected_us_ = 0;
  std::int64_t caught_up_us_ = 0;
};

}  // namespace

Status run_storm(const Options& options) {
  return Storm(options).run();
}

}  // namespace tidegate::load
