#include <algorithm>

#include "tools/bench/load/feed.h"
#include "tools/bench/load/meter.h"
#include "tools/bench/load/scenarios.h"

namespace tidegate::load {
namespace {

constexpr std::uint64_t kBatchMax = 64;

class Fanout {
 public:
  explicit Fanout(const Options& options)
      : options_(options),
        meter_(options.server_pids),
        feed_(options, Start::kHead),
        // Small windows go out in four parts, so that delivery and publishing overlap.
        batch_(std::clamp<std::uint64_t>(options.window / 4, 1, kBatchMax)) {}

  Status run() {
    if (Status open = feed_.open(); !open) return open;
    if (options_.rate > 0) feed_.loop().stay_awake();
    const Status connected =
        feed_.connect([this](std::int64_t until_us) { return step(until_us); });
    if (!connected) return connected;
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
  // With a rate, the time at which event `number` is due.
  std::int64_t due_us(std::uint64_t number) const {
    return begin_us_ + static_cast<std::int64_t>(number * 1'000'000 / options_.rate);
  }

  bool has_published_all() const {
    return options_.rate > 0 ? due_us(published()) >= end_us_ : now_us() >= end_us_;
  }

  bool is_over() const {
    if (!has_published_all()) return false;
    if (subscribers().received_by_all() == published()) return true;
    return now_us() - std::max(subscribers().last_us(), end_us_) > kPatienceUs;
  }

  Status publish() {
    if (has_published_all()) return {};
    const std::int64_t time_us = now_us();
    const std::uint64_t before = published();
    if (options_.rate > 0) {
      while (!has_published_all() && due_us(published()) <= time_us) {
        feed_.add(due_us(published()));
      }
    } else {
      const std::uint64_t permitted = subscribers().received_by_all() + options_.window;
      if (permitted - published() < batch_) return {};
      while (published() < permitted) feed_.add(time_us);
    }
    return published() == before ? Status() : feed_.flush();
  }

  std::int64_t wake_us() const {
    if (options_.rate > 0 && !has_published_all()) return due_us(published());
    const std::int64_t patience_us = now_us() + kPatienceUs;
    return has_published_all() ? patience_us : std::min(patience_us, end_us_);
  }

  Status step(std::int64_t until_us) {
    for (const epoll_event& event : feed_.loop().wait(until_us)) {
      if (Status got = feed_.receive(event.data.u64); !got) return got;
      // A schedule waits for nobody, not for a thousand reads either.
      if (options_.rate == 0 || begin_us_ == 0) continue;
      if (Status sent = publish(); !sent) return sent;
    }
    return {};
  }

  std::uint64_t published() const { return feed_.published(); }
  const Subscribers& subscribers() const { return feed_.subscribers(); }

  void report() const {
    const std::int64_t duration_us = subscribers().last_us() - begin_us_;
    Report report("fanout", options_.peer);
    report.number("subscribers", options_.subscribers);
    report.number("size", options_.size);
    report.number(options_.rate > 0 ? "rate" : "window",
                  options_.rate > 0 ? options_.rate : options_.window);
    report.number("events", published());
    report.number("deliveries", subscribers().deliveries());
    report.number("lost", subscribers().lost(published()));
    report.number("duplicated", subscribers().duplicated());
    report.decimal("seconds", static_cast<double>(duration_us) / 1e6);
    report.number("deliveries_per_second",
                  static_cast<std::uint64_t>(per_second(subscribers().deliveries(), duration_us)));
    report.decimal("megabytes_per_second", per_second(subscribers().bytes(), duration_us) / 1e6);
    report.latency("delivery", subscribers().latency_us());
    report.processor(meter_, "delivery", subscribers().deliveries());
    report.print();
  }

  const Options& options_;
  Meter meter_;
  Feed feed_;
  const std::uint64_t batch_;
  std::int64_t begin_us_ = 0;
  std::int64_t end_us_ = 0;
};

}  // namespace

Status run_fanout(const Options& options) {
  return Fanout(options).run();
}

}  // namespace tidegate::load
