#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "eventstore/base/guarded.h"
#include "eventstore/base/result.h"
#include "eventstore/event_store.h"
#include "gateway/api/grpc_server.h"
#include "gateway/api/owner_places.h"
#include "gateway/delivery/authority.h"
#include "gateway/delivery/pressure.h"
#include "gateway/delivery/session_host.h"

namespace tidegate {

class Engine;

// A call that wants to know when the gateway begins to drain.
class Drainable {
 public:
  virtual ~Drainable() = default;
  virtual void on_drain() = 0;
  // See DrainSignal::tick.
  virtual void on_tick() {}
};

// Whether the gateway drains, and whom to tell. As many watchers as there are open pipelines and
// queries that wait.
// Thread: any (internally synchronised).
class DrainSignal {
 public:
  bool is_set() const { return set_.load(std::memory_order_acquire); }

  // Calls `on_drain` of every watcher once, on the calling thread.
  void set() {
    const auto watchers = watchers_.with([this](Watchers& all) {
      // Under the lock, so that nobody is added in between without being told.
      set_.store(true, std::memory_order_release);
      return std::exchange(all, {});
    });
    for (const auto& [key, weak] : watchers) {
      if (const auto watcher = weak.lock()) watcher->on_drain();
    }
  }
  // Calls `on_tick` of every watcher, on the calling thread: the watch thread, every half second
  // (where projections are switched on), so that what waits does not outlive its token.
  void tick() {
    const auto watchers = watchers_.with([](const Watchers& all) { return all; });
    for (const auto& [key, weak] : watchers) {
      if (const auto watcher = weak.lock()) watcher->on_tick();
    }
  }

  // False when the signal is set already: then nobody will be called.
  bool watch(const std::shared_ptr<Drainable>& watcher) {
    return watchers_.with([&](Watchers& all) {
      if (is_set()) return false;
      all.emplace(watcher.get(), watcher);
      return true;
    });
  }
  void unwatch(const Drainable* watcher) {
    watchers_.with([&](Watchers& all) { all.erase(watcher); });
  }

 private:
  using Watchers = std::map<const Drainable*, std::weak_ptr<Drainable>>;
  std::atomic<bool> set_{false};
  Guarded<Watchers> watchers_;
};

// What every service works on.
// Thread: any (internally synchronised).
struct ApiState {
  EventStore& store;
  SessionHost& host;
  Engine* const projections;  // null: switched off
  Authority& authority;
  const std::function<DeliveryCounts()> counts;
  const std::string version;
  const std::map<std::string, std::string> libraries;
  const std::int64_t started_us;
  const PressureGauge* const pressure;  // null: memory is never short
  DrainSignal drain;
  // A query may wait in the engine, whose places are everybody's, and then holds a page until its
  // client takes it; a watch stays as long as its client wants.
  static constexpr std::size_t kQueriesPerOwnerMax = 64;
  static constexpr std::size_t kWatchesPerOwnerMax = 1000;
  OwnerPlaces query_places;
  OwnerPlaces watch_places;
};

inline Error draining_error() {
  return {
      Code::kDraining, "the gateway is shutting down: go to another one or try again", {}, 1000};
}

inline Error switched_off_error() {
  return {Code::kUnsupported, "projections are switched off: set projections.enabled"};
}

inline Error too_many_reads_error() {
  return {Code::kOverloaded, "too many reads of the log are waiting", {}, 1000};
}

}  // namespace tidegate
