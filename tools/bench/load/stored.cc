#include <memory>

#include "tools/bench/load/loop.h"
#include "tools/bench/load/meter.h"
#include "tools/bench/load/peer.h"
#include "tools/bench/load/scenarios.h"
#include "tools/bench/load/subscribers.h"

// The scenarios without a publisher: catch-up and idle connections.

namespace tidegate::load {
namespace {

constexpr std::int64_t kPatienceUs = 30'000'000;
constexpr std::int64_t kSettlingUs = 1'000'000;

// Waits for what happens at the subscribers, once.
Status step(Loop& loop, Subscribers& subscribers, std::int64_t until_us) {
  if (Status opened = subscribers.open_more(); !opened) return opened;
  for (const epoll_event& event : loop.wait(until_us)) {
    if (Status got = subscribers.receive(event.data.u64); !got) return got;
  }
  return {};
}

}  // namespace

Status run_catchup(const Options& options) {
  const std::unique_ptr<Peer> peer = make_peer(options.peer);
  Loop loop;
  Subscribers subscribers(*peer, Start::kOldest, options.subscribe_port, options.subscribers, loop);
  Meter meter(options.server_pids);
  meter.begin();
  const std::int64_t begin_us = now_us();
  std::int64_t progress_us = begin_us;
  while (subscribers.received_by_all() < options.events) {
    const std::uint64_t before = subscribers.deliveries();
    if (Status stepped = step(loop, subscribers, now_us() + kPatienceUs); !stepped) return stepped;
    if (subscribers.deliveries() > before) progress_us = now_us();
    if (now_us() - progress_us > kPatienceUs) break;
  }
  meter.end();
  Report report("catchup", options.peer);
  report.number("subscribers", options.subscribers);
  report.number("events", options.events);
  report.number("deliveries", subscribers.deliveries());
  report.number("lost", subscribers.lost(options.events));
  report.number("duplicated", subscribers.duplicated());
  const double rate = per_second(subscribers.deliveries(), subscribers.last_us() - begin_us);
  report.number("deliveries_per_second", static_cast<std::uint64_t>(rate));
  report.processor(meter, "delivery", subscribers.deliveries());
  report.print();
  return {};
}

Status run_idle(const Options& options) {
  const std::unique_ptr<Peer> peer = make_peer(options.peer);
  Loop loop;
  Subscribers subscribers(*peer, Start::kHead, options.subscribe_port, options.subscribers, loop);
  Meter meter(options.server_pids);
  meter.begin();
  const std::int64_t until_us = now_us() + 2 * kPatienceUs;
  while (!subscribers.all_ready()) {
    if (now_us() > until_us) {
      return Error{Code::kUnavailable, "the peer does not take all subscribers within a minute"};
    }
    if (Status stepped = step(loop, subscribers, until_us); !stepped) return stepped;
  }
  // Whatever the peer does after a handshake is over by then.
  const std::int64_t settled_us = now_us() + kSettlingUs;
  while (now_us() < settled_us) {
    if (Status stepped = step(loop, subscribers, settled_us); !stepped) return stepped;
  }
  meter.end();
  Report report("idle", options.peer);
  report.number("subscribers", options.subscribers);
  report.decimal("server_rss_bytes_per_connection", static_cast<double>(meter.server_rss_growth()) /
                                                        static_cast<double>(options.subscribers));
  report.processor(meter, "connection_opened", options.subscribers);
  report.print();
  return {};
}

}  // namespace tidegate::load
