#include <algorithm>
#include <chrono>
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "tools/tidegate/bench.h"
#include "tools/tidegate/bench_delivery.h"
#include "tools/tidegate/bench_report.h"
#include "tools/tidegate/client.h"
#include "tools/tidegate/command.h"
#include "tools/tidegate/interrupt.h"
#include "tools/tidegate/place.h"

// Idle connections: what a subscriber costs the gateway to whom nothing comes.

namespace tidegate {
namespace {

struct IdleOptions {
  SubscriberOptions subscriber;
  std::uint64_t connections = 10'000;
  std::string stream = "bench.idle";
  std::string duration = "60s";
  std::uint64_t server_pid = 0;
};

constexpr std::chrono::milliseconds kFailureCheckEvery{500};

// Until the time is over or Ctrl-C. An error when a connection is lost.
Status stay(Context& context, LoadClient& load, std::chrono::microseconds duration) {
  const Interrupt::Guard guard(context.interrupt, [] {});
  const auto end = std::chrono::steady_clock::now() + duration;
  while (!context.interrupt.happened()) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    if (left.count() <= 0) break;
    // Nothing can be complete where nothing comes: only a failure ends the wait.
    const Result<bool> ended = load.wait(LoadStage::kComplete, std::min(left, kFailureCheckEvery));
    if (!ended) return ended.error();
  }
  return {};
}

BenchReport report_of(const IdleOptions& options, const LoadMeter& opening, const LoadMeter& idle) {
  const auto connections = static_cast<double>(options.connections);
  const auto before = static_cast<double>(opening.server_rss_bytes_before());
  BenchReport report("idle");
  report.number("connections", options.connections);
  report.text("form", options.subscriber.form);
  report.decimal("seconds", idle.wall_seconds(), 3);
  report.decimal("opening_seconds", opening.wall_seconds(), 3);
  if (idle.has_server()) {
    report.number("server_rss_before_bytes", opening.server_rss_bytes_before());
    report.decimal("server_rss_bytes_per_connection",
                   (static_cast<double>(idle.server_rss_bytes()) - before) / connections, 0);
    report.decimal("server_cpu_us_per_connection_opened",
                   opening.server_seconds() * 1e6 / connections, 3);
  }
  report.processor(idle, "connection_second",
                   static_cast<std::uint64_t>(connections * idle.wall_seconds()), 0);
  return report;
}

Result<int> idle(Context& context, const IdleOptions& options) {
  const Result<std::int64_t> duration_us = parse_duration(options.duration);
  if (!duration_us) return duration_us.error();
  auto client = Client::make(context);
  if (!client) return client.error();
  auto load = LoadClient::make(
      load_options(**client, options.subscriber, options.connections, options.stream, 1, 1), [] {});
  if (!load) return load.error();
  Result<LoadMeter> opening = LoadMeter::start(options.server_pid);
  if (!opening) return opening.error();
  if (Status opened = (*load)->connect_and_subscribe(); !opened) return opened.error();
  if (Status stopped = opening->stop(); !stopped) return stopped.error();
  Result<LoadMeter> idle = LoadMeter::start(options.server_pid);
  if (!idle) return idle.error();
  const Status stayed = stay(context, **load, std::chrono::microseconds(*duration_us));
  if (!stayed) return stayed.error();
  if (context.interrupt.happened()) return kExitInterrupted;
  if (Status stopped = idle->stop(); !stopped) return stopped.error();
  return report_of(options, *opening, *idle).print(context.output);
}

}  // namespace

void register_bench_idle(CLI::App& noun, Context& context) {
  CLI::App* command =
      noun.add_subcommand("idle", "What memory and processor time idle connections take");
  auto options = std::make_shared<IdleOptions>();
  add_number(*command, "--connections", options->connections,
             "Connections, each with one subscription", 1, 1'000'000)
      ->capture_default_str();
  add_subscriber_options(*command, options->subscriber);
  command->add_option("--stream", options->stream, "The stream, on which nothing may come")
      ->type_name("STREAM")
      ->capture_default_str();
  command->add_option("--duration", options->duration, "How long to stay, for the pings to count")
      ->type_name("DURATION")
      ->capture_default_str();
  add_threads(*command, options->subscriber);
  add_server_pid(*command, options->server_pid);
  command->footer(
      "server_rss_bytes_per_connection is what the gateway's memory has grown by: use one that was "
      "just started, and\n"
      "allow it so many connections (http.max_connections) and both ends so many files.\n"
      "server_cpu_us_per_connection_second counts from when all are subscribed; pings come every "
      "25 s by default.\n\n"
      "Examples:\n"
      "  tidegate bench idle --server-pid $(pidof tidegated)\n"
      "  tidegate bench idle --connections 1000 --duration 30s --server-pid $(pidof tidegated)");
  command->callback([&context, options] {
    context.run = [&context, options] { return idle(context, *options); };
  });
}

}  // namespace tidegate
