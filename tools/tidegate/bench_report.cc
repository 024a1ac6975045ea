#include "tools/tidegate/bench_report.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <sched.h>
#include <sstream>
#include <sys/resource.h>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

#include "tools/tidegate/bench_publisher.h"
#include "tools/tidegate/command.h"
#include "tools/tidegate/load_websocket.h"

namespace tidegate {
namespace {

// A client that is busier than this may be what limits the figures.
constexpr double kBusyPercent = 90;

double ticks_to_seconds(std::uint64_t ticks) {
  return static_cast<double>(ticks) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

double own_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

// The first line of /proc/stat: ticks as user, nice, system, idle, iowait, irq, softirq, steal.
double machine_seconds() {
  std::ifstream file("/proc/stat");
  std::string name;
  std::uint64_t busy = 0;
  file >> name;
  for (int column = 0; column < 8; ++column) {
    std::uint64_t ticks = 0;
    file >> ticks;
    if (column != 3 && column != 4) busy += ticks;
  }
  return ticks_to_seconds(busy);
}

std::optional<double> process_seconds(std::uint64_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  // The program's name may hold anything but ends with the last parenthesis; utime and stime are
  // the 12th and 13th words behind it.
  std::istringstream words(line.substr(line.rfind(')') + 1));
  std::string skipped;
  for (int i = 0; i < 11; ++i) words >> skipped;
  std::uint64_t user = 0;
  std::uint64_t system = 0;
  if (!(words >> user >> system)) return std::nullopt;
  return ticks_to_seconds(user + system);
}

// A line of /proc/PID/status in kB, as bytes; 0 when there is none.
std::uint64_t status_bytes(std::uint64_t pid, std::string_view name) {
  std::ifstream file(fmt::format("/proc/{}/status", pid));
  for (std::string word; file >> word;) {
    std::uint64_t kilobytes = 0;
    if (word == name && file >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

std::string with_thousands(std::uint64_t value) {
  const std::string digits = std::to_string(value);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string human_latency(std::uint64_t us) {
  if (us < 1000) return fmt::format("{} us", us);
  if (us < 1'000'000) return fmt::format("{:.2f} ms", static_cast<double>(us) / 1e3);
  return fmt::format("{:.2f} s", static_cast<double>(us) / 1e6);
}

}  // namespace

double per_second(std::uint64_t units, std::int64_t duration_us) {
  if (duration_us <= 0) return 0;
  return static_cast<double>(units) * 1e6 / static_cast<double>(duration_us);
}

Result<LoadMeter::Sample> LoadMeter::sample(std::uint64_t server_pid) {
  Sample sample;
  if (server_pid != 0) {
    const std::optional<double> server = process_seconds(server_pid);
    if (!server) {
      return Error{Code::kBadArgument, fmt::format("--server-pid: there is no process {} (any "
                                                   "more)",
                                                   server_pid)};
    }
    sample.server = *server;
    sample.rss_bytes = status_bytes(server_pid, "VmRSS:");
    sample.rss_peak_bytes = status_bytes(server_pid, "VmHWM:");
  }
  sample.client = own_seconds();
  sample.machine = machine_seconds();
  sample.wall =
      std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  return sample;
}

Result<LoadMeter> LoadMeter::start(std::uint64_t server_pid) {
  LoadMeter meter;
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(0, sizeof(cores), &cores) == 0) {
    meter.client_cores_ = static_cast<unsigned>(CPU_COUNT(&cores));
  }
  meter.server_pid_ = server_pid;
  const Result<Sample> first = sample(server_pid);
  if (!first) return first.error();
  meter.before_ = *first;
  return meter;
}

Status LoadMeter::stop() {
  const Result<Sample> second = sample(server_pid_);
  if (!second) return second.error();
  after_ = *second;
  return {};
}

double LoadMeter::other_seconds() const {
  const double machine = after_.machine - before_.machine;
  return std::max(0.0, machine - client_seconds() - server_seconds());
}

void BenchReport::text(std::string name, std::string_view value) {
  row_.push_back(Field::string(std::move(name), value));
}

void BenchReport::number(std::string name, std::uint64_t value) {
  row_.push_back({std::move(name), with_thousands(value), std::to_string(value)});
}

void BenchReport::decimal(std::string name, double value, int digits) {
  std::string text = fmt::format("{:.{}f}", value, digits);
  row_.push_back({std::move(name), text, text});
}

void BenchReport::latency(const std::string& name, const Histogram& histogram) {
  const auto add = [&](const char* which, std::uint64_t us) {
    row_.push_back({fmt::format("{}_{}_us", name, which), human_latency(us), std::to_string(us)});
  };
  add("p50", histogram.percentile_us(50));
  add("p99", histogram.percentile_us(99));
  add("p99_9", histogram.percentile_us(99.9));
  add("max", histogram.max_us());
}

void BenchReport::correctness(const LoadResult& load) {
  number("lost", load.lost);
  number("duplicated", load.duplicated);
  number("out_of_order", load.out_of_order);
}

Result<int> BenchReport::conclude(Output& output, const LoadResult& load,
                                  const PublisherResult* published) const {
  Result<int> printed = print(output);
  if (!printed || *printed != kExitOk) return printed;
  if (published != nullptr && published->refused > 0) {
    say(fmt::format("{} events were refused: {}", published->refused, published->refusal));
    return kExitFailure;
  }
  if (load.lost + load.duplicated + load.out_of_order == 0) return printed;
  say("the subscribers did not get every event once and in order");
  return kExitFailure;
}

void BenchReport::processor(const LoadMeter& meter, const std::string& unit, std::uint64_t units,
                            double busiest_thread_percent) {
  const double wall = std::max(meter.wall_seconds(), 1e-9);
  const double client_percent = 100 * meter.client_seconds() / wall;
  decimal("client_cpu_percent", client_percent, 1);
  const bool was_busy =
      client_percent > kBusyPercent * meter.client_cores() || busiest_thread_percent > kBusyPercent;
  row_.push_back(Field::boolean("client_was_bottleneck", was_busy));
  if (was_busy) {
    say("this client used its processor up: the gateway may be faster than these figures say; give "
        "the client more cores (taskset) or threads");
  }
  if (!meter.has_server()) return;
  decimal("server_cpu_percent", 100 * meter.server_seconds() / wall, 1);
  decimal(fmt::format("server_cpu_us_per_{}", unit),
          units == 0 ? 0 : meter.server_seconds() * 1e6 / static_cast<double>(units), 3);
  const auto add_bytes = [&](std::string name, std::uint64_t bytes) {
    row_.push_back({std::move(name), human_bytes(bytes), std::to_string(bytes)});
  };
  add_bytes("server_rss_bytes", meter.server_rss_bytes());
  add_bytes("server_rss_peak_bytes", meter.server_rss_peak_bytes());
  decimal("other_cpu_percent", 100 * meter.other_seconds() / wall, 1);
}

}  // namespace tidegate
