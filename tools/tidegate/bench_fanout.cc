#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "tools/tidegate/bench.h"
#include "tools/tidegate/bench_flow.h"
#include "tools/tidegate/bench_report.h"
#include "tools/tidegate/client.h"
#include "tools/tidegate/command.h"
#include "tools/tidegate/interrupt.h"

// Fan-out: one stream, one publisher, many WebSocket subscribers, flat out or by a schedule.
// Latency is the same with a schedule by default.

namespace tidegate {
namespace {

struct FanoutOptions {
  SubscriberOptions subscriber;
  BenchFlow::Options flow;
  std::uint64_t server_pid = 0;
};

BenchReport report_of(const char* scenario, const FanoutOptions& options, const LoadResult& load,
                      const PublisherResult& published, const LoadMeter& meter) {
  const std::int64_t duration_us = load.last_us - published.first_us;
  BenchReport report(scenario);
  report.number("subscribers", options.flow.subscribers);
  report.number("size", options.subscriber.size);
  report.text("form", options.subscriber.form);
  if (options.flow.rate > 0) {
    report.number("rate", options.flow.rate);
  } else {
    report.number("window", options.flow.window);
  }
  report.number("events", published.acknowledged);
  report.number("deliveries", load.deliveries);
  report.correctness(load);
  report.number("refused", published.refused);
  report.number("fell_behind", load.fell_behind);
  report.decimal("seconds", static_cast<double>(duration_us) / 1e6, 3);
  report.number("deliveries_per_second",
                static_cast<std::uint64_t>(per_second(load.deliveries, duration_us)));
  report.decimal("megabytes_per_second", per_second(load.bytes, duration_us) / 1e6, 1);
  report.latency("delivery", load.latency_us);
  report.latency("batch", published.latency_us);
  report.processor(meter, "delivery", load.deliveries, load.busiest_thread_percent);
  return report;
}

Result<int> fanout(Context& context, const char* scenario, const FanoutOptions& options) {
  auto client = Client::make(context);
  if (!client) return client.error();
  BenchFlow flow(context, **client, options.subscriber);
  if (Status prepared = flow.prepare(options.flow); !prepared) return prepared.error();
  Result<LoadMeter> meter = LoadMeter::start(options.server_pid);
  if (!meter) return meter.error();
  const Status delivered = flow.run();
  if (context.interrupt.happened()) return kExitInterrupted;
  if (!delivered) return delivered.error();
  if (Status stopped = meter->stop(); !stopped) return stopped.error();
  const LoadResult load = flow.finish();
  return report_of(scenario, options, load, flow.published(), *meter)
      .conclude(context.output, load, &flow.published());
}

void add_options(CLI::App& command, FanoutOptions& options) {
  add_number(command, "--subscribers", options.flow.subscribers,
             "WebSocket connections, each with one subscription", 1, 1'000'000)
      ->capture_default_str();
  add_subscriber_options(command, options.subscriber);
  add_event_size(command, options.subscriber);
  add_stream(command, options.flow.stream);
  add_number(command, "--events", options.flow.events, "Events to publish", 1, 10'000'000)
      ->capture_default_str();
  add_number(command, "--batch", options.flow.batch, "Most events in a publish request", 1, 1000)
      ->capture_default_str();
  add_threads(command, options.subscriber);
  add_server_pid(command, options.server_pid);
}

void register_fanout(CLI::App& noun, Context& context) {
  CLI::App* command = noun.add_subcommand(
      "fanout", "How many deliveries per second the gateway makes to many subscribers");
  auto options = std::make_shared<FanoutOptions>();
  options->flow.stream = "bench.fanout";
  add_options(*command, *options);
  CLI::Option* rate =
      add_number(*command, "--rate", options->flow.rate,
                 "Events per second by a fixed schedule, instead of flat out", 1, 1'000'000);
  add_number(*command, "--window", options->flow.window,
             "Flat out: events that are published but not yet received by all", 1, 1'000'000)
      ->excludes(rate)
      ->capture_default_str();
  command->footer(
      "Every subscriber checks that it gets every event once and in order; otherwise the exit code "
      "is 1.\n"
      "delivery_.. is from when an event was due (with --rate) or sent to when a subscriber has "
      "read "
      "it, over all\n"
      "deliveries; flat out most of it is waiting in the window. Both ends need a file descriptor "
      "per subscriber.\n\n"
      "Examples:\n"
      "  tidegate bench fanout\n"
      "  tidegate bench fanout --form proto --window 256 --server-pid $(pidof tidegated)\n"
      "  tidegate bench fanout --rate 50 --events 3000 -o json   # as `bench latency`");
  command->callback([&context, options] {
    context.run = [&context, options] { return fanout(context, "fanout", *options); };
  });
}

void register_latency(CLI::App& noun, Context& context) {
  CLI::App* command = noun.add_subcommand(
      "latency", "How long events take to many subscribers at a rate that a schedule decides");
  auto options = std::make_shared<FanoutOptions>();
  options->flow.stream = "bench.latency";
  options->flow.rate = 50;
  options->flow.events = 500;
  add_options(*command, *options);
  add_number(*command, "--rate", options->flow.rate, "Events per second", 1, 1'000'000)
      ->capture_default_str();
  command->footer(
      "The schedule waits for nobody (open loop): delivery_.. is from when an event was due to "
      "when "
      "a subscriber\n"
      "has read it, over all deliveries. Everything else is as in `bench fanout`.\n\n"
      "Examples:\n"
      "  tidegate bench latency\n"
      "  tidegate bench latency --rate 200 --events 12000 --server-pid $(pidof tidegated)");
  command->callback([&context, options] {
    context.run = [&context, options] { return fanout(context, "latency", *options); };
  });
}

}  // namespace

void register_bench_fanout(CLI::App& noun, Context& context) {
  register_fanout(noun, context);
  register_latency(noun, context);
}

}  // namespace tidegate
