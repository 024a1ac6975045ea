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

class LoadAddress;
class LoadThread;

// How far all subscribers are: welcomed; every subscription confirmed; at the live edge; every
// event received; all connections cut.
enum class LoadStage : std::uint8_t { kConnected, kSubscribed, kCaughtUp, kComplete, kCut };
inline constexpr std::size_t kLoadStages = 5;

struct LoadOptions {
  std::string http;   // HOST:PORT
  std::string token;  // of every subscriber; empty: none
  std::uint64_t subscribers = 1;
  std::uint64_t threads = 1;
  LoadForm form = LoadForm::kJson;
  std::string stream;
  // Of a connection. Several are on streams of their own, STREAM.0, STREAM.1 .. over all
  // connections, and for streams on which nothing comes.
  std::uint64_t subscriptions = 1;
  v1::Start start;  // unset: the head
  std::size_t data_bytes = 0;
  // Every subscriber expects the revisions from `first` up to, not including, `end`.
  Revision first = 1;
  Revision end = 1;
  bool stays_awake = false;  // events come by a schedule (stay_awake.h)
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
  std::int64_t caught_up_us = 0;      // when the last subscriber was told so
  Histogram latency_us;               // from the send time in each event
  double busiest_thread_percent = 0;  // CPU of the busiest thread since `begin`
};

// Many WebSocket subscribers, on a few epoll threads: plain sockets, one receive buffer per thread,
// nothing allocated per event, so that the gateway and not this client limits what is measured.
// Each subscriber's events are checked (delivery_check.h), also across a cut.
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

  // Opens the connections. Returns when the gateway has welcomed all.
  Status connect();
  // Subscribes on all of them at once, without waiting for the answers.
  void subscribe();
  // Both, and waits until the gateway has confirmed all.
  Status connect_and_subscribe();

  // Breaks all connections (LoadSocket::cut).
  Status cut();
  // After `cut`: connects again; each subscriber resumes when it is welcomed. Does not wait.
  void reconnect();

  // Marks the beginning of the measurement.
  void begin();
  // How many events every subscriber has.
  std::uint64_t received_by_all() const;
  // False when `timeout` has passed. An error when a connection has failed.
  Result<bool> wait(LoadStage stage, std::chrono::milliseconds timeout);
  // All deliveries up to now, to see whether there is progress.
  std::uint64_t deliveries() const;

  // Ends the threads; once, and nothing but the destructor after it.
  LoadResult finish();

 private:
  LoadClient(const LoadOptions& options, Progress progress, const LoadAddress& address);
  Status wait_for_all(LoadStage stage, const char* what);

  LoadOptions options_;
  Progress progress_;
  std::unique_ptr<LoadAddress> address_;
  std::vector<std::unique_ptr<LoadThread>> threads_;
};

}  // namespace tidegate
