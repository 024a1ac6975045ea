#include "tools/bench/load/meter.h"

#include <cstdio>
#include <fstream>
#include <sstream>
#include <sys/resource.h>
#include <unistd.h>

#include <fmt/format.h>

#include "tools/bench/load/loop.h"

namespace tidegate::load {
namespace {

// A client that is busier than this may be what limits the figures.
constexpr double kBusyPercent = 90;

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

// 0 when the process is gone.
double process_seconds(int pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string line;
  if (!std::getline(file, line)) return 0;
  // The program's name may hold anything but ends with the last parenthesis; utime and stime are
  // the 12th and 13th words behind it.
  std::istringstream words(line.substr(line.rfind(')') + 1));
  std::string skipped;
  for (int i = 0; i < 11; ++i) words >> skipped;
  double user = 0;
  double system = 0;
  words >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

std::int64_t process_rss(int pid) {
  std::ifstream file(fmt::format("/proc/{}/statm", pid));
  std::int64_t total = 0;
  std::int64_t resident = 0;
  file >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

}  // namespace

double per_second(std::uint64_t units, std::int64_t duration_us) {
  if (duration_us <= 0) return 0;
  return static_cast<double>(units) * 1e6 / static_cast<double>(duration_us);
}

void Meter::begin() {
  begin_ = sample();
}
void Meter::end() {
  end_ = sample();
}

Meter::Sample Meter::sample() const {
  Sample sample;
  sample.wall = static_cast<double>(now_us()) / 1e6;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  sample.client = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
  for (const int pid : server_pids_) {
    sample.server += process_seconds(pid);
    sample.server_rss += process_rss(pid);
  }
  return sample;
}

Report::Report(std::string_view scenario, std::string_view peer) {
  text("scenario", scenario);
  text("peer", peer);
}

void Report::text(std::string_view name, std::string_view value) {
  text_ += fmt::format(R"({}"{}": "{}")", text_.empty() ? "" : ", ", name, value);
}

void Report::number(std::string_view name, std::uint64_t value) {
  text_ += fmt::format(R"(, "{}": {})", name, value);
}

void Report::decimal(std::string_view name, double value) {
  text_ += fmt::format(R"(, "{}": {:.3f})", name, value);
}

void Report::latency(std::string_view name, const Histogram& histogram) {
  number(fmt::format("{}_p50_us", name), histogram.percentile_us(50));
  number(fmt::format("{}_p99_us", name), histogram.percentile_us(99));
  number(fmt::format("{}_max_us", name), histogram.max_us());
}

void Report::processor(const Meter& meter, std::string_view unit, std::uint64_t units) {
  const double wall = std::max(meter.wall_seconds(), 1e-9);
  const double client_percent = 100 * meter.client_seconds() / wall;
  decimal("client_cpu_percent", client_percent);
  text_ += fmt::format(R"(, "client_was_bottleneck": {})", client_percent > kBusyPercent);
  decimal("server_cpu_percent", 100 * meter.server_seconds() / wall);
  decimal(fmt::format("server_cpu_us_per_{}", unit),
          units == 0 ? 0 : meter.server_seconds() * 1e6 / static_cast<double>(units));
  number("server_rss_bytes",
         static_cast<std::uint64_t>(std::max<std::int64_t>(meter.server_rss(), 0)));
}

void Report::print() const {
  std::puts(fmt::format("{{{}}}", text_).c_str());
}

}  // namespace tidegate::load
