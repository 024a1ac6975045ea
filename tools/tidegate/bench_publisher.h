#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "eventstore/base/result.h"
#include "tools/tidegate/bench_events.h"
#include "tools/tidegate/histogram.h"

namespace tidegate {

class Client;

// What became of a publisher's events.
struct PublisherResult {
  std::uint64_t sent = 0;
  std::uint64_t acknowledged = 0;
  std::uint64_t refused = 0;
  std::string refusal;          // the first one's message
  std::int64_t first_us = 0;    // when the first batch was sent
  std::int64_t last_us = 0;     // when the last answer came
  Histogram latency_us;         // of batches, from before they are made to their answer
  std::optional<Error> failed;  // the call itself ended with it
};

// Publishes generated events as fast as it is allowed to, over one PublishPipeline call on a
// connection of its own. How fast is one of:
//  - a window: at most so many events without an answer;
//  - permits: `permit(n)` allows the first n events of the run, as a scenario sees fit;
//  - a rate: event k is due at k / rate, whatever became of those before (open loop); `permit` must
//    be called when events are due, and their send time is when they were due.
//
// Thread: any (internally synchronised).
class BenchPublisher {
 public:
  struct Options {
    std::uint64_t batch = 128;          // most events of a request
    std::uint64_t least = 1;            // do not send fewer, but for the last ones
    std::uint64_t window = 0;           // 0: by permits
    std::uint64_t events = UINT64_MAX;  // stop after so many
    std::uint64_t rate = 0;             // events per second; 0: send times are when it is sent
    bool buffered = false;
  };

  // `client` outlives it; its gateway is where the connection goes.
  BenchPublisher(Client& client, const Options& options, BenchEvents events, LoadClock clock);
  // Cancels the call and waits for its end.
  ~BenchPublisher();
  BenchPublisher(const BenchPublisher&) = delete;
  BenchPublisher& operator=(const BenchPublisher&) = delete;

  void start();
  // Allows the events below `total`. Never takes back.
  void permit(std::uint64_t total);
  // Sends nothing more; answers are still awaited.
  void stop();
  // Ends the call at once.
  void cancel();
  // False when `timeout` passed before the end of the call.
  bool wait(std::chrono::milliseconds timeout);
  bool has_failed();

  std::uint64_t acknowledged();
  // The batch latency since the last call, which the result is then without.
  Histogram take_latency();
  std::uint64_t events() const;
  // When the event is due; only with a rate, after `start`.
  std::int64_t due_us(std::uint64_t number) const;
  // After `wait` returned true.
  PublisherResult& result();

 private:
  class Call;
  const std::unique_ptr<Call> call_;
};

}  // namespace tidegate
