#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "tools/tidegate/bench.h"
#include "tools/tidegate/bench_delivery.h"
#include "tools/tidegate/bench_publisher.h"

namespace tidegate {

// One publisher and the live subscribers of one stream. Flat out, a window of events is kept in
// flight, published but not yet received by all; with a rate, events are published by a schedule
// that waits for nobody (open loop), and latency is counted from it.
// Thread: caller serialises.
class BenchFlow {
 public:
  struct Options {
    std::uint64_t subscribers = 1000;
    std::string stream;
    std::uint64_t events = 2000;
    std::uint64_t rate = 0;  // 0: flat out
    std::uint64_t window = 2048;
    std::uint64_t batch = 64;
  };

  // All three outlive it.
  BenchFlow(Context& context, Client& client, const SubscriberOptions& subscribers)
      : context_(context), client_(client), subscribers_(subscribers) {}

  // Connects and subscribes.
  Status prepare(const Options& options);
  // Publishes and waits until everything was delivered, or nothing more comes, or Ctrl-C.
  Status run();

  // After `run`, once.
  LoadResult finish() { return load_->finish(); }
  const PublisherResult& published() { return publisher_->result(); }

 private:
  void make_publisher(const LoadClock& clock);
  void permit_more();

  Context& context_;
  Client& client_;
  const SubscriberOptions& subscribers_;
  Options options_;
  LoadClock clock_;
  std::unique_ptr<BenchPublisher> publisher_;
  // After the publisher: its threads call it.
  std::unique_ptr<LoadClient> load_;
};

}  // namespace tidegate
