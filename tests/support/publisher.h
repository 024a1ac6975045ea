#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/history_checker.h"
#include "tidegate/v1/event_service.pb.h"

namespace tidegate::test {

// A publisher over real gRPC that keeps what it sent and what it was told. It goes on through
// crashes of the gateway: requests that were cut off are sent again with the same ids every other
// time, and left at that the other times. Thread: caller serialises; the load runs on a thread of
// its own between start() and stop().
class Publisher {
 public:
  struct Options {
    std::uint32_t number = 0;
    // Asked before each connection: a gateway that was started again may be elsewhere. Empty: there
    // is none at present. Called on the publisher's thread.
    std::function<std::string()> address = {};
    std::vector<std::string> streams = {};
    std::vector<std::string> types = {};
    // Batches in flight on one PublishPipeline; 0: unary calls.
    std::size_t pipelined = 0;
    std::size_t batch_max = 8;
    std::size_t data_bytes = 100;
    // 0: as fast as it goes.
    double events_per_second = 0;
    // One request of so many carries a check that cannot hold; 0: none.
    std::uint32_t refused_one_in = 10;
    std::uint64_t requests_max = UINT64_MAX;
    std::string token = {};  // sent with each call; empty: none
    std::uint64_t seed = 1;
  };
  explicit Publisher(Options options);
  // Stops.
  ~Publisher();
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  void start();
  // What is in flight is still waited for.
  void stop();
  // Until `requests_max` requests are answered or cut off.
  void join();

  // Events that were acknowledged so far. Any thread.
  std::uint64_t acknowledged() const { return acknowledged_; }
  // When the load does not run.
  const std::vector<PublishRecord>& records() const { return records_; }

 private:
  struct Connection;
  struct Attempt {
    v1::PublishRequest request;
    PublishRecord record;
  };

  void run();
  Attempt next_attempt();
  Attempt make_attempt();
  void pace(std::size_t events);
  void run_unary(Connection& connection);
  void run_pipeline(Connection& connection);
  void conclude(Attempt attempt, const v1::PublishResponse* response, bool is_refused);

  const Options options_;
  std::mt19937_64 random_;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stopping_ = false;
  std::atomic<std::uint64_t> acknowledged_ = 0;
  std::uint64_t next_number_ = 0;
  std::uint64_t next_event_ = 0;
  std::int64_t next_send_ns_ = 0;
  std::deque<v1::PublishRequest> again_;  // cut off, to be sent again
  std::vector<PublishRecord> records_;
};

// Every event from the floor to the head, read over gRPC; the head moves to where this read ended.
// A failed call fails the test.
std::vector<LogEntry> read_whole_log(const std::string& grpc_address,
                                     const std::string& token = "");

// Likewise, the events after a sequence.
std::vector<LogEntry> read_log_after(const std::string& grpc_address, Sequence after);

// Publishes `count` small events on `streams` in turn by one pipeline, in batches of 500; ids "e1",
// "e2", ... of source "/fill". False when it did not get through.
bool fill_log(const std::string& grpc_address, std::uint64_t count,
              const std::vector<std::string>& streams, std::uint64_t first_id = 1,
              std::size_t data_bytes = 20);

// Monotonic, for all recorders of this process.
std::int64_t now_ns();

}  // namespace tidegate::test
