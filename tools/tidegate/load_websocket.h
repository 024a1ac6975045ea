#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "eventstore/base/result.h"
#include "eventstore/types.h"
#include "tools/tidegate/bench_events.h"
#include "tools/tidegate/event_scanner.h"
#include "tools/tidegate/histogram.h"

namespace tidegate {

class LoadThread;

struct LoadOptions {
  std::string http;  // HOST:PORT
  std::uint64_t subscribers = 1;
  std::uint64_t threads = 1;
  LoadForm form = LoadForm::kJson;
  std::string stream;
  std::size_t data_bytes = 0;
  // Every subscriber expects the revisions from `first` up to, not including, `end`.
  Revision first = 1;
  Revision end = 1;
  LoadClock clock;
};

// What all subscribers got together.
struct LoadResult {
  std::uint64_t deliveries = 0;
  std::uint64_t bytes = 0;  // read from the sockets
  std::uint64_t lost = 0;
  std::uint64_t duplicated = 0;
  std::uint64_t out_of_order = 0;
  std::uint64_t fell_behind = 0;
  std::int64_t last_us = 0;           // when the last event came
  Histogram latency_us;               // from the send time in each event
  double busiest_thread_percent = 0;  // CPU of the busiest thread since `begin`
};

// Many WebSocket subscribers of one stream, on a few epoll threads: plain sockets, one receive
// buffer per thread, nothing allocated per event, so that the gateway and not this client limits
// what is measured. Each subscriber's events are checked (delivery_check.h).
//
// Thread: any (internally synchronised).
class LoadClient {
 public:
  // Called on a load thread whenever more events have been received by all subscribers; it must
  // not block.
  using Progress = std::function<void()>;

  // Raises the limit of open files as far as it may. kBadArgument when it is still too low for the
  // subscribers, or when `http` cannot be resolved.
  static Result<std::unique_ptr<LoadClient>> make(const LoadOptions& options, Progress progress);
  ~LoadClient();

  // Opens the connections and subscribes at the head. Returns when the gateway has confirmed all.
  Status connect();

  // Marks the beginning of the measurement.
  void begin();
  // How many events every subscriber has.
  std::uint64_t received_by_all() const;
  // False when `timeout` has passed. An error when a connection has failed.
  Result<bool> wait_until_complete(std::chrono::milliseconds timeout);
  // All deliveries up to now, to see whether there is progress.
  std::uint64_t deliveries() const;

  // Ends the threads; once, and nothing but the destructor after it.
  LoadResult finish();

 private:
  struct Address;
  LoadClient();

  LoadOptions options_;
  Progress progress_;
  std::unique_ptr<Address> address_;
  std::vector<std::unique_ptr<LoadThread>> threads_;
};

}  // namespace tidegate
