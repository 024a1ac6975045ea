#include <algorithm>
#include <memory>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "tools/tidegate/bench.h"
#include "tools/tidegate/bench_flow.h"
#include "tools/tidegate/bench_report.h"
#include "tools/tidegate/client.h"
#include "tools/tidegate/command.h"
#include "tools/tidegate/interrupt.h"

// Matching: what an event costs the gateway that goes to one subscriber, when there are none but
// it and when there are very many subscriptions on other streams. Both in turn, so that what else
// the machine does meets both.

namespace tidegate {
namespace {

struct MatchOptions {
  SubscriberOptions subscriber;
  std::uint64_t subscriptions = 100'000;
  std::uint64_t events = 200'000;
  std::uint64_t rounds = 5;
  std::uint64_t window = 4096;
  std::string stream = "bench.match";
  std::uint64_t server_pid = 0;
};

// What a gateway takes of a connection at once before it limits its messages; below its limit of
// subscriptions.
constexpr std::uint64_t kPerConnection = 100;

double median_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

class Match {
 public:
  Match(Context& context, const MatchOptions& options) : context_(context), options_(options) {}

  Result<int> run() {
    auto client = Client::make(context_);
    if (!client) return client.error();
    client_ = *std::move(client);
    Result<LoadMeter> meter = LoadMeter::start(options_.server_pid);
    if (!meter) return meter.error();
    for (std::uint64_t i = 0; i < options_.rounds; ++i) {
      const Status passed = round();
      if (context_.interrupt.happened()) return kExitInterrupted;
      if (!passed) return passed.error();
    }
    if (Status stopped = meter->stop(); !stopped) return stopped.error();
    return report(*meter);
  }

 private:
  Status round() {
    if (Status alone = measure(alone_us_); !alone) return alone;
    // One connection more when the number is not a multiple: never fewer than was asked for.
    const std::uint64_t connections =
        (options_.subscriptions + kPerConnection - 1) / kPerConnection;
    LoadOptions others =
        load_options(*client_, options_.subscriber, connections, options_.stream + ".other", 1, 1);
    others.subscriptions = kPerConnection;
    auto load = LoadClient::make(others, [] {});
    if (!load) return load.error();
    if (Status connected = (*load)->connect_and_subscribe(); !connected) return connected;
    if (Status crowded = measure(crowded_us_); !crowded) return crowded;
    ratios_.push_back(crowded_us_.back() / std::max(alone_us_.back(), 1e-9));
    return {};
  }

  // Appends the gateway's processor time per event.
  Status measure(std::vector<double>& times_us) {
    // Closing very many connections takes the gateway a while, which must not count.
    const Status quiet = await_quiet(context_, options_.server_pid);
    if (!quiet) return quiet;
    BenchFlow flow(context_, *client_, options_.subscriber);
    BenchFlow::Options wanted;
    wanted.subscribers = 1;
    wanted.stream = options_.stream + ".one";
    wanted.events = options_.events;
    wanted.window = options_.window;
    if (Status prepared = flow.prepare(wanted); !prepared) return prepared;
    Result<LoadMeter> meter = LoadMeter::start(options_.server_pid);
    if (!meter) return meter.error();
    if (Status ran = flow.run(); !ran) return ran;
    if (Status stopped = meter->stop(); !stopped) return stopped;
    const LoadResult load = flow.finish();
    load_.deliveries += load.deliveries;
    load_.lost += load.lost;
    load_.duplicated += load.duplicated;
    load_.out_of_order += load.out_of_order;
    busiest_percent_ = std::max(busiest_percent_, load.busiest_thread_percent);
    if (flow.published().refused > 0) return Error{Code::kUnavailable, flow.published().refusal};
    times_us.push_back(meter->server_seconds() * 1e6 / static_cast<double>(options_.events));
    return {};
  }

  Result<int> report(const LoadMeter& meter) const {
    BenchReport report("match");
    report.number("subscriptions", options_.subscriptions);
    report.number("rounds", options_.rounds);
    report.number("size", options_.subscriber.size);
    report.text("form", options_.subscriber.form);
    report.number("events", options_.events);
    report.number("deliveries", load_.deliveries);
    report.correctness(load_);
    report.decimal("server_cpu_us_per_event_alone", median_of(alone_us_), 3);
    report.decimal("server_cpu_us_per_event_crowded", median_of(crowded_us_), 3);
    report.decimal("ratio", median_of(ratios_), 3);
    report.processor(meter, "event_with_setup", load_.deliveries, busiest_percent_);
    return report.conclude(context_.output, load_, nullptr);
  }

  Context& context_;
  const MatchOptions& options_;
  std::unique_ptr<Client> client_;
  std::vector<double> alone_us_;  // a value per round, as all three
  std::vector<double> crowded_us_;
  std::vector<double> ratios_;
  double busiest_percent_ = 0;
  LoadResult load_;
};

}  // namespace

void register_bench_match(CLI::App& noun, Context& context) {
  CLI::App* command = noun.add_subcommand(
      "match", "What an event costs with very many subscriptions on other streams");
  auto options = std::make_shared<MatchOptions>();
  add_number(*command, "--subscriptions", options->subscriptions,
             "Subscriptions on other streams, 100 on a connection", 1, 100'000'000)
      ->capture_default_str();
  add_number(*command, "--events", options->events, "Events of each measurement", 1, 100'000'000)
      ->capture_default_str();
  add_number(*command, "--rounds", options->rounds, "Measurements of each kind, in turn", 1, 1000)
      ->capture_default_str();
  add_number(*command, "--window", options->window,
             "Events that are published but not yet received", 1, 1'000'000)
      ->capture_default_str();
  add_subscriber_options(*command, options->subscriber);
  add_event_size(*command, options->subscriber);
  command
      ->add_option("--stream", options->stream,
                   "Events go to STREAM.one, the others wait for STREAM.other.0, STREAM.other.1 "
                   "..")
      ->type_name("STREAM")
      ->capture_default_str();
  add_threads(*command, options->subscriber);
  add_server_pid(*command, options->server_pid)->required();
  command->footer(
      "A round measures alone, then subscribes 100 times on each of many connections and measures "
      "crowded.\n"
      "ratio is the median of the rounds' ratios of the gateway's processor time for everything "
      "about an event:\n"
      "publishing, storing, matching, one delivery. A million subscriptions are 10,000 "
      "connections: "
      "raise\n"
      "http.max_connections of the gateway, and the open files of both ends.\n\n"
      "Examples:\n"
      "  tidegate bench match --server-pid $(pidof tidegated)\n"
      "  tidegate bench match --subscriptions 1000000 --rounds 10 --server-pid $(pidof tidegated)");
  command->callback([&context, options] {
    context.run = [&context, options] { return Match(context, *options).run(); };
  });
}

}  // namespace tidegate
