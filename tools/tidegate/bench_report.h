#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "eventstore/base/result.h"
#include "tools/tidegate/histogram.h"
#include "tools/tidegate/output.h"

namespace tidegate {

struct LoadResult;
struct PublisherResult;

// The processor time and memory of a run: of this process, of the gateway when its process is on
// this machine, and of everything else, which tells whether the figures are worth anything.
// Thread: caller serialises.
class LoadMeter {
 public:
  // `server_pid` 0: no gateway to look at. kBadArgument when there is no such process.
  static Result<LoadMeter> start(std::uint64_t server_pid);
  // Takes the second sample.
  Status stop();

  double client_seconds() const { return after_.client - before_.client; }
  double server_seconds() const { return after_.server - before_.server; }
  double wall_seconds() const { return after_.wall - before_.wall; }
  // What other processes used.
  double other_seconds() const;
  bool has_server() const { return server_pid_ != 0; }
  // When the measurement began.
  std::uint64_t server_rss_bytes_before() const { return before_.rss_bytes; }
  std::uint64_t server_rss_bytes() const { return after_.rss_bytes; }
  std::uint64_t server_rss_peak_bytes() const { return after_.rss_peak_bytes; }
  // Cores that this process may use.
  unsigned client_cores() const { return client_cores_; }

 private:
  struct Sample {
    double wall = 0;
    double client = 0;
    double server = 0;
    double machine = 0;  // all processes, and what the hypervisor took away
    std::uint64_t rss_bytes = 0;
    std::uint64_t rss_peak_bytes = 0;
  };
  static Result<Sample> sample(std::uint64_t server_pid);

  std::uint64_t server_pid_ = 0;
  unsigned client_cores_ = 1;
  Sample before_;
  Sample after_;
};

// The figures of a run under stable names, which are the keys of `-o json`. All scenarios report by
// this class, so that one name means one thing.
// Thread: caller serialises.
class BenchReport {
 public:
  explicit BenchReport(std::string_view scenario) { text("scenario", scenario); }

  void text(std::string name, std::string_view value);
  void number(std::string name, std::uint64_t value);
  void decimal(std::string name, double value, int digits);
  // NAME_p50_us, _p99_us, _p99_9_us, _max_us.
  void latency(const std::string& name, const Histogram& histogram);
  // lost, duplicated, out_of_order.
  void correctness(const LoadResult& load);
  // Client and gateway processor time; per one of `units`, e.g. ("delivery", 2000000).
  // `busiest_thread_percent`: 0 when no thread of the client does most of the work.
  void processor(const LoadMeter& meter, const std::string& unit, std::uint64_t units,
                 double busiest_thread_percent);

  Result<int> print(Output& output) const { return output.print(row_); }
  // Prints, and says what was wrong: the exit code is 1 when something was. `published` may be
  // null.
  Result<int> conclude(Output& output, const LoadResult& load,
                       const PublisherResult* published) const;

 private:
  Row row_;
};

// Units per second, 0 for no time.
double per_second(std::uint64_t units, std::int64_t duration_us);

}  // namespace tidegate
