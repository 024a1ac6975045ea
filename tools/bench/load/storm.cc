#include <algorithm>

#include "tools/bench/load/feed.h"
#include "tools/bench/load/meter.h"
#include "tools/bench/load/scenarios.h"

namespace tidegate::load {
namespace {

std::int64_t microseconds(double seconds) {
  return static_cast<std::int64_t>(seconds * 1e6);
}

// Publishing follows a schedule from begin to end: with connections for `seconds`, without any for
// `down_seconds`, and for `seconds` again from when all have caught up.
class Storm {
 public:
  explicit Storm(const Options& options)
      : options_(options), meter_(options.server_pids), feed_(options, Start::kResumable) {
    feed_.subscribers().remember();
  }

  Status run() {
    if (Status open = feed_.open(); !open) return open;
    if (Status connected = connect(); !connected) return connected;
    meter_.begin();
    begin_us_ = now_us();
    if (Status quiet = go_on(microseconds(options_.seconds)); !quiet) return quiet;
    feed_.subscribers().cut();
    if (Status down = go_on(microseconds(options_.down_seconds)); !down) return down;
    if (Status back = come_back(); !back) return back;
    if (Status after = go_on(microseconds(options_.seconds)); !after) return after;
    is_over_ = true;
    if (Status rest = wait_for(feed_.published()); !rest) return rest;
    meter_.end();
    report();
    return {};
  }

 private:
  Status connect() {
    return feed_.connect([this](std::int64_t until_us) { return step(until_us); });
  }

  // Caught up is who has all that was published before the first one came back.
  Status come_back() {
    const std::uint64_t wanted = feed_.published();
    const std::int64_t reconnect_us = now_us();
    if (Status connected = connect(); !connected) return connected;
    connected_us_ = now_us() - reconnect_us;
    if (Status caught_up = wait_for(wanted); !caught_up) return caught_up;
    caught_up_us_ = now_us() - reconnect_us;
    return {};
  }

  // Ends without an error also when nothing comes any more: the report tells what was lost.
  Status wait_for(std::uint64_t events) {
    std::int64_t until_us = now_us() + kPatienceUs;
    std::uint64_t seen = subscribers().deliveries();
    while (subscribers().received_by_all() < events && now_us() < until_us) {
      if (Status stepped = step(until_us); !stepped) return stepped;
      if (subscribers().deliveries() > seen) until_us = now_us() + kPatienceUs;
      seen = subscribers().deliveries();
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
    return begin_us_ + static_cast<std::int64_t>(feed_.published() * 1'000'000 / options_.rate);
  }

  Status publish() {
    if (begin_us_ == 0 || is_over_) return {};
    bool has_any = false;
    for (const std::int64_t time_us = now_us(); due_us() <= time_us; has_any = true) {
      feed_.add(due_us());
    }
    return has_any ? feed_.flush() : Status();
  }

  Status step(std::int64_t until_us) {
    if (Status sent = publish(); !sent) return sent;
    const bool is_publishing = begin_us_ != 0 && !is_over_;
    for (const epoll_event& event :
         feed_.loop().wait(is_publishing ? std::min(due_us(), until_us) : until_us)) {
      if (Status got = feed_.receive(event.data.u64); !got) return got;
      if (Status sent = publish(); !sent) return sent;
    }
    return {};
  }

  const Subscribers& subscribers() const { return feed_.subscribers(); }

  void report() const {
    Report report("storm", options_.peer);
    report.number("subscribers", options_.subscribers);
    report.number("size", options_.size);
    report.number("rate", options_.rate);
    report.decimal("down_seconds", options_.down_seconds);
    report.number("events", feed_.published());
    report.number("deliveries", subscribers().deliveries());
    report.number("lost", subscribers().lost(feed_.published()));
    report.number("duplicated", subscribers().duplicated());
    report.decimal("connected_seconds", static_cast<double>(connected_us_) / 1e6);
    report.decimal("caught_up_seconds", static_cast<double>(caught_up_us_) / 1e6);
    report.processor(meter_, "delivery", subscribers().deliveries());
    report.print();
  }

  const Options& options_;
  Meter meter_;
  Feed feed_;
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
