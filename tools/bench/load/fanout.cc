#include <algorithm>
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
constexpr std::uint64_t kBatchMax = 64;

class Fanout {
 public:
  explicit Fanout(const Options& options)
      : options_(options),
        peer_(make_peer(options.peer)),
        text_(static_cast<std::size_t>(options.size)),
        meter_(options.server_pids),
        publisher_(peer_->begin_publishing(0)),
        subscribers_(*peer_, Start::kHead, options.subscribe_port, options.subscribers, loop_),
        // Small windows go out in four parts, so that delivery and publishing overlap.
        batch_(std::clamp<std::uint64_t>(options.window / 4, 1, kBatchMax)) {}

  Status run() {
    if (Status connected = connect(); !connected) return connected;
    meter_.begin();
    begin_us_ = now_us();
    end_us_ = begin_us_ + static_cast<std::int64_t>(options_.seconds * 1e6);
    while (!is_over()) {
      if (Status sent = publish(); !sent) return sent;
      if (Status stepped = step(wake_us()); !stepped) return stepped;
    }
    meter_.end();
    report();
    return {};
  }

 private:
  Status connect() {
    const Status open = publisher_.open(options_.publish_port, loop_.fd(), options_.subscribers);
    if (!open) return open;
    const std::int64_t until_us = now_us() + kConnectingUs;
    while (!subscribers_.all_ready() || !publisher_.is_ready()) {
      if (now_us() > until_us) {
        return Error{Code::kUnavailable, "the peer does not take all subscribers within a minute"};
      }
      if (Status opened = subscribers_.open_more(); !opened) return opened;
      if (Status stepped = step(until_us); !stepped) return stepped;
    }
    return {};
  }

  // With a rate, the time at which event `number` is due.
  std::int64_t due_us(std::uint64_t number) const {
    return begin_us_ + static_cast<std::int64_t>(number * 1'000'000 / options_.rate);
  }

  bool has_published_all() const {
    return options_.rate > 0 ? due_us(published_) >= end_us_ : now_us() >= end_us_;
  }

  bool is_over() const {
    if (!has_published_all()) return false;
    if (subscribers_.received_by_all() == published_) return true;
    return now_us() - std::max(subscribers_.last_us(), end_us_) > kPatienceUs;
  }

  Status publish() {
    if (has_published_all()) return {};
    const std::int64_t time_us = now_us();
    const std::uint64_t before = published_;
    if (options_.rate > 0) {
      while (!has_published_all() && due_us(published_) <= time_us) {
        add(due_us(published_));
      }
    } else {
      const std::uint64_t permitted = subscribers_.received_by_all() + options_.window;
      if (permitted - published_ < batch_) return {};
      while (published_ < permitted) add(time_us);
    }
    return published_ == before ? Status() : publisher_.flush();
  }

  void add(std::int64_t time_us) {
    peer_->publish(publisher_.out(), 0, text_.make(published_, time_us));
    ++published_;
  }

  std::int64_t wake_us() const {
    if (options_.rate > 0 && !has_published_all()) return due_us(published_);
    const std::int64_t patience_us = now_us() + kPatienceUs;
    return has_published_all() ? patience_us : std::min(patience_us, end_us_);
  }

  Status step(std::int64_t until_us) {
    for (const epoll_event& event : loop_.wait(until_us)) {
      const std::uint64_t mark = event.data.u64;
      if (mark < options_.subscribers) {
        if (Status got = subscribers_.receive(mark); !got) return got;
        // A schedule waits for nobody, not for a thousand reads either.
        if (options_.rate == 0 || begin_us_ == 0) continue;
        if (Status sent = publish(); !sent) return sent;
      } else if (Status got = receive_answers(); !got) {
        return got;
      }
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
    const std::int64_t duration_us = subscribers_.last_us() - begin_us_;
    Report report("fanout", options_.peer);
    report.number("subscribers", options_.subscribers);
    report.number("size", options_.size);
    report.number(options_.rate > 0 ? "rate" : "window",
                  options_.rate > 0 ? options_.rate : options_.window);
    report.number("events", published_);
    report.number("deliveries", subscribers_.deliveries());
    report.number("lost", subscribers_.lost(published_));
    report.number("duplicated", subscribers_.duplicated());
    report.decimal("seconds", static_cast<double>(duration_us) / 1e6);
    report.number("deliveries_per_second",
                  static_cast<std::uint64_t>(per_second(subscribers_.deliveries(), duration_us)));
    report.decimal("megabytes_per_second", per_second(subscribers_.bytes(), duration_us) / 1e6);
    report.latency("delivery", subscribers_.latency_us());
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
  const std::uint64_t batch_;
  std::uint64_t published_ = 0;
  std::int64_t begin_us_ = 0;
  std::int64_t end_us_ = 0;
};

}  // namespace

Status run_fanout(const Options& options) {
  return Fanout(options).run();
}

}  // namespace tidegate::load
