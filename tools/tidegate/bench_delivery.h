#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "eventstore/base/result.h"
#include "eventstore/types.h"
#include "tools/tidegate/bench_events.h"
#include "tools/tidegate/load_websocket.h"

namespace tidegate {

class BenchPublisher;
class Client;
struct Context;
struct SubscriberOptions;

// What scenarios need around publishers and subscribers.

// 0: there is no such stream yet.
Result<Revision> last_revision(Client& client, const std::string& stream);

// Publishes `events` events of `size` bytes as fast as the gateway takes them, event n to stream n
// modulo their number. Says so when it will take a while. Ctrl-C ends the process meanwhile.
Status fill(Client& client, std::vector<std::string> streams, std::uint64_t size,
            std::uint64_t events);

// Waits until the gateway has done what there is to do in the background, but ten seconds at most.
// Does nothing for `server_pid` 0, which cannot be looked at.
Status await_quiet(Context& context, std::uint64_t server_pid);

// `subscribers` on a stream, each of which expects the revisions [first, end).
LoadOptions load_options(const Client& client, const SubscriberOptions& options,
                         std::uint64_t subscribers, const std::string& stream, Revision first,
                         Revision end);

// Permits the events of a publisher with a rate as they are due, on a thread of its own.
// Thread: any (internally synchronised).
class BenchPacer {
 public:
  // `publisher` is started and outlives it.
  BenchPacer(BenchPublisher& publisher, LoadClock clock);
  ~BenchPacer();

  // Everything is permitted.
  bool is_done() const { return is_done_.load(std::memory_order_acquire); }

 private:
  void run();

  BenchPublisher& publisher_;
  const LoadClock clock_;
  std::atomic<bool> is_done_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_stopped_ = false;  // under mutex_
  std::thread thread_;
};

// Waits until all subscribers are at `stage`; or the publisher (may be null) fails, or no event has
// come for ten seconds though the pacer (may be null) is done, or Ctrl-C: what is missing then is
// lost. An error when a connection has failed.
Status await_stage(Context& context, LoadClient& load, LoadStage stage, BenchPublisher* publisher,
                   const BenchPacer* pacer);

// Ends the publisher's call and waits for the last answers. Its failure, or kOutcomeUnknown.
Status end_publishing(BenchPublisher& publisher);

}  // namespace tidegate
