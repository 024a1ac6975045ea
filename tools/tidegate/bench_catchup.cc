#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "tools/tidegate/bench.h"
#include "tools/tidegate/bench_delivery.h"
#include "tools/tidegate/bench_report.h"
#include "tools/tidegate/client.h"
#include "tools/tidegate/command.h"

// Catch-up: subscribers that begin at the oldest event of a stream, all at once, and read
// everything it has.

namespace tidegate {
namespace {

struct CatchupOptions {
  SubscriberOptions subscriber;
  std::uint64_t clients = 1;
  std::uint64_t events = 100'000;
  bool no_fill = false;
  std::string stream = "bench.catchup";
  std::uint64_t server_pid = 0;
};

// How many events there are to read, of which none was trimmed.
Result<Revision> events_to_read(Client& client, const CatchupOptions& options) {
  const Result<Revision> last = last_revision(client, options.stream);
  if (!last) return last;
  if (options.no_fill && *last == 0) {
    return Error{Code::kNotFound,
                 fmt::format("stream {} has no events; without --no-fill they are published first",
                             options.stream)};
  }
  if (options.no_fill || *last >= options.events) return *last;
  const Status filled =
      fill(client, {options.stream}, options.subscriber.size, options.events - *last);
  if (!filled) return filled.error();
  return options.events;
}

BenchReport report_of(const CatchupOptions& options, Revision events, std::int64_t begin_us,
                      const LoadResult& load, const LoadMeter& meter) {
  const std::int64_t duration_us = load.last_us - begin_us;
  BenchReport report("catchup");
  report.number("clients", options.clients);
  report.number("size", options.subscriber.size);
  report.text("form", options.subscriber.form);
  report.number("events", events);
  report.number("deliveries", load.deliveries);
  report.correctness(load);
  report.number("fell_behind", load.fell_behind);
  report.decimal("seconds", static_cast<double>(duration_us) / 1e6, 3);
  report.number("deliveries_per_second",
                static_cast<std::uint64_t>(per_second(load.deliveries, duration_us)));
  report.decimal("megabytes_per_second", per_second(load.bytes, duration_us) / 1e6, 1);
  report.processor(meter, "delivery", load.deliveries, load.busiest_thread_percent);
  return report;
}

Result<int> catchup(Context& context, const CatchupOptions& options) {
  auto client = Client::make(context);
  if (!client) return client.error();
  const Result<Revision> events = events_to_read(**client, options);
  if (!events) return events.error();
  LoadOptions wanted =
      load_options(**client, options.subscriber, options.clients, options.stream, 1, *events + 1);
  wanted.start.set_edge(v1::EDGE_START);
  auto load = LoadClient::make(wanted, [] {});
  if (!load) return load.error();
  if (Status connected = (*load)->connect(); !connected) return connected.error();

  Result<LoadMeter> meter = LoadMeter::start(options.server_pid);
  if (!meter) return meter.error();
  (*load)->begin();
  const std::int64_t begin_us = wanted.clock.now_us();
  (*load)->subscribe();
  const Status read = await_stage(context, **load, LoadStage::kComplete, nullptr, nullptr);
  if (!read) return read.error();
  if (Status stopped = meter->stop(); !stopped) return stopped.error();
  const LoadResult result = (*load)->finish();
  return report_of(options, *events, begin_us, result, *meter)
      .conclude(context.output, result, nullptr);
}

}  // namespace

void register_bench_catchup(CLI::App& noun, Context& context) {
  CLI::App* command = noun.add_subcommand(
      "catchup", "How many events per second subscribers read that begin at the oldest one");
  auto options = std::make_shared<CatchupOptions>();
  add_number(*command, "--clients", options->clients,
             "Connections, each with a subscription from the start", 1, 1'000'000)
      ->capture_default_str();
  add_subscriber_options(*command, options->subscriber);
  add_event_size(*command, options->subscriber);
  add_stream(*command, options->stream);
  CLI::Option* events =
      add_number(*command, "--events", options->events,
                 "Events the stream must have at least; what is missing is published first", 1,
                 100'000'000)
          ->capture_default_str();
  command->add_flag("--no-fill", options->no_fill, "Publish nothing: read what is there")
      ->excludes(events);
  add_threads(*command, options->subscriber);
  add_server_pid(*command, options->server_pid);
  command->footer(
      "deliveries_per_second is over all clients, from when the first one subscribes to the last "
      "event. A stream is\n"
      "read as a whole, and --size must be what it was filled with.\n\n"
      "Examples:\n"
      "  tidegate bench catchup\n"
      "  tidegate bench catchup --clients 50 --form proto --server-pid $(pidof tidegated)\n"
      "  tidegate bench catchup --no-fill   # after a restart of the gateway: nothing in memory");
  command->callback([&context, options] {
    context.run = [&context, options] { return catchup(context, *options); };
  });
}

}  // namespace tidegate
