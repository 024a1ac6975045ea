#include <deque>
#include <memory>
#include <vector>

#include "tools/bench/load/connection.h"
#include "tools/bench/load/event_text.h"
#include "tools/bench/load/loop.h"
#include "tools/bench/load/meter.h"
#include "tools/bench/load/peer.h"
#include "tools/bench/load/scenarios.h"

namespace tidegate::load {
namespace {

constexpr std::int64_t kPatienceUs = 10'000'000;

class Ingest {
 public:
  explicit Ingest(const Options& options)
      : options_(options),
        peer_(make_peer(options.peer)),
        text_(static_cast<std::size_t>(options.size)),
        meter_(options.server_pids) {}

  Status run() {
    if (Status connected = connect(); !connected) return connected;
    meter_.begin();
    begin_us_ = last_us_ = now_us();
    const auto duration_us = static_cast<std::int64_t>(options_.seconds * 1e6);
    end_us_ = options_.events > 0 ? INT64_MAX : begin_us_ + duration_us;
    for (Publisher& publisher : publishers_) {
      if (Status sent = pump(publisher); !sent) return sent;
    }
    while (!is_over()) {
      if (now_us() - last_us_ > kPatienceUs) {
        return Error{Code::kUnavailable, "the peer does not acknowledge"};
      }
      if (Status stepped = step(); !stepped) return stepped;
    }
    meter_.end();
    report();
    return {};
  }

 private:
  struct Publisher {
    std::uint64_t number;
    std::unique_ptr<Connection> connection;
    std::uint64_t sent = 0;
    std::deque<std::int64_t> unanswered;  // when they were sent; at most a window
  };

  Status connect() {
    for (std::uint64_t number = 0; number < options_.publishers; ++number) {
      publishers_.push_back(
          {number, std::make_unique<Connection>(peer_->begin_publishing(number)), 0, {}});
      Connection& connection = *publishers_.back().connection;
      if (Status open = connection.open(options_.publish_port, loop_.fd(), number); !open) {
        return open;
      }
    }
    const std::int64_t until_us = now_us() + kPatienceUs;
    while (!all_ready()) {
      if (now_us() > until_us) return Error{Code::kUnavailable, "the peer does not answer"};
      for (const epoll_event& event : loop_.wait(until_us)) {
        auto& publisher = publishers_[static_cast<std::size_t>(event.data.u64)];
        const auto bytes = publisher.connection->receive(buffer_);
        if (!bytes) return bytes.error();
      }
    }
    return {};
  }

  bool all_ready() const {
    for (const Publisher& publisher : publishers_) {
      if (!publisher.connection->is_ready()) return false;
    }
    return true;
  }

  bool may_send(const Publisher& publisher) const {
    if (options_.events > 0) return publisher.sent * options_.publishers < options_.events;
    return now_us() < end_us_;
  }

  bool is_over() const {
    for (const Publisher& publisher : publishers_) {
      if (!publisher.unanswered.empty() || may_send(publisher)) return false;
    }
    return true;
  }

  Status pump(Publisher& publisher) {
    const std::int64_t sent_us = now_us();
    while (publisher.unanswered.size() < options_.window && may_send(publisher)) {
      peer_->publish(publisher.connection->out(), publisher.number,
                     text_.make(publisher.sent++, sent_us));
      publisher.unanswered.push_back(sent_us);
    }
    return publisher.connection->flush();
  }

  Status step() {
    for (const epoll_event& event : loop_.wait(now_us() + kPatienceUs)) {
      Publisher& publisher = publishers_[static_cast<std::size_t>(event.data.u64)];
      const Result<std::string_view> bytes = publisher.connection->receive(buffer_);
      if (!bytes) return bytes.error();
      const Result<std::uint64_t> count = peer_->acknowledged(*bytes);
      if (!count) return count.error();
      if (*count > publisher.unanswered.size()) {
        return Error{Code::kInternal, "the peer acknowledged more than was published"};
      }
      if (*count > 0) last_us_ = now_us();
      for (std::uint64_t i = 0; i < *count; ++i) {
        latency_us_.record(last_us_ - publisher.unanswered.front());
        publisher.unanswered.pop_front();
      }
      if (Status sent = pump(publisher); !sent) return sent;
    }
    return {};
  }

  void report() const {
    const std::uint64_t events = latency_us_.count();
    Report report("ingest", options_.peer);
    report.number("publishers", options_.publishers);
    report.number("window", options_.window);
    report.number("size", options_.size);
    report.number("events", events);
    report.number("events_per_second",
                  static_cast<std::uint64_t>(per_second(events, last_us_ - begin_us_)));
    report.latency("ack", latency_us_);
    report.processor(meter_, "event", events);
    report.print();
  }

  const Options& options_;
  const std::unique_ptr<Peer> peer_;
  EventText text_;
  Meter meter_;
  Loop loop_;
  Connection::Buffer buffer_ = Connection::make_buffer();
  std::vector<Publisher> publishers_;
  std::int64_t begin_us_ = 0;
  std::int64_t end_us_ = 0;
  std::int64_t last_us_ = 0;  // when the last acknowledgement came
  Histogram latency_us_;
};

}  // namespace

Status run_ingest(const Options& options) {
  return Ingest(options).run();
}

}  // namespace tidegate::load
