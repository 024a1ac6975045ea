#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tools/tidegate/histogram.h"

namespace tidegate::load {

// Processor time and memory of this client and of the peer's processes.
// Thread: caller serialises.
class Meter {
 public:
  explicit Meter(std::vector<int> server_pids) : server_pids_(std::move(server_pids)) {}

  void begin();
  void end();

  double wall_seconds() const { return end_.wall - begin_.wall; }
  double client_seconds() const { return end_.client - begin_.client; }
  double server_seconds() const { return end_.server - begin_.server; }
  std::int64_t server_rss_growth() const { return end_.server_rss - begin_.server_rss; }
  std::int64_t server_rss() const { return end_.server_rss; }

 private:
  struct Sample {
    double wall = 0;
    double client = 0;
    double server = 0;
    std::int64_t server_rss = 0;
  };
  Sample sample() const;

  std::vector<int> server_pids_;
  Sample begin_;
  Sample end_;
};

// The figures of a run as one JSON object; names mean what they mean in `tidegate bench`.
// Thread: caller serialises.
class Report {
 public:
  Report(std::string_view scenario, std::string_view peer);

  void text(std::string_view name, std::string_view value);
  void number(std::string_view name, std::uint64_t value);
  void decimal(std::string_view name, double value);
  void latency(std::string_view name, const Histogram& histogram);
  // Processor time, per one of `units`, and memory.
  void processor(const Meter& meter, std::string_view unit, std::uint64_t units);

  void print() const;

 private:
  std::string text_;
};

// Units per second; 0 for no time.
double per_second(std::uint64_t units, std::int64_t duration_us);

}  // namespace tidegate::load
