#include <chrono>
#include <memory>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "tools/tidegate/bench.h"
#include "tools/tidegate/bench_publisher.h"
#include "tools/tidegate/bench_report.h"
#include "tools/tidegate/client.h"
#include "tools/tidegate/command.h"
#include "tools/tidegate/interrupt.h"
#include "tools/tidegate/place.h"

// Ingest: publishers that keep a window of events in flight, each over a pipeline and a connection
// of its own. Closed loop: latency is that of a batch at this window, not at a given rate.

namespace tidegate {
namespace {

using std::chrono::milliseconds;

struct IngestOptions {
  std::uint64_t publishers = 1;
  std::uint64_t batch = 128;
  std::uint64_t size = 256;
  std::uint64_t streams = 8;
  std::uint64_t window = 4096;
  std::string prefix = "bench.ingest";
  std::string duration = "10s";
  std::uint64_t events = 0;  // 0: by duration
  bool buffered = false;
  std::uint64_t server_pid = 0;
};

// Until an answer to the last batches must have come.
constexpr std::chrono::seconds kAnswerTimeout{30};

using Publishers = std::vector<std::unique_ptr<BenchPublisher>>;

Publishers make_publishers(Client& client, const IngestOptions& options) {
  std::vector<std::string> streams;
  for (std::uint64_t i = 0; i < options.streams; ++i) {
    streams.push_back(fmt::format("{}.{}", options.prefix, i));
  }
  Publishers publishers;
  for (std::uint64_t i = 0; i < options.publishers; ++i) {
    BenchPublisher::Options own;
    own.batch = own.least = options.batch;
    own.window = options.window;
    own.buffered = options.buffered;
    if (options.events > 0) {
      own.events = options.events / options.publishers + (i < options.events % options.publishers);
    }
    publishers.push_back(std::make_unique<BenchPublisher>(
        client, own,
        BenchEvents(static_cast<std::size_t>(options.size), streams, static_cast<std::uint32_t>(i)),
        LoadClock()));
  }
  return publishers;
}

PublisherResult sum_of(Publishers& publishers) {
  PublisherResult sum;
  for (const auto& publisher : publishers) {
    PublisherResult& one = publisher->result();
    sum.sent += one.sent;
    sum.acknowledged += one.acknowledged;
    sum.refused += one.refused;
    if (sum.refusal.empty()) sum.refusal = one.refusal;
    sum.first_us = sum.first_us == 0 ? one.first_us : std::min(sum.first_us, one.first_us);
    sum.last_us = std::max(sum.last_us, one.last_us);
    sum.latency_us.add(one.latency_us);
    if (one.failed && !sum.failed) sum.failed = std::move(one.failed);
  }
  return sum;
}

// Lets the publishers run for the time or the number of events that was asked for.
Status run_publishers(Context& context, Publishers& publishers, const IngestOptions& options,
                      std::int64_t duration_us) {
  const Interrupt::Guard guard(context.interrupt, [&] {
    for (const auto& publisher : publishers) publisher->cancel();
  });
  for (const auto& publisher : publishers) publisher->start();
  if (options.events == 0) {
    context.interrupt.sleep(std::chrono::microseconds(duration_us));
    for (const auto& publisher : publishers) publisher->stop();
  }
  for (const auto& publisher : publishers) {
    // With a number of events the end is theirs; a gateway that is gone ends the call.
    while (!publisher->wait(kAnswerTimeout)) {
      if (options.events > 0) continue;
      return Error{Code::kOutcomeUnknown, "the gateway does not answer what was published"};
    }
  }
  return {};
}

BenchReport report_of(const IngestOptions& options, const PublisherResult& sum,
                      const LoadMeter& meter) {
  const std::int64_t duration_us = sum.last_us - sum.first_us;
  const double rate = per_second(sum.acknowledged, duration_us);
  BenchReport report("ingest");
  report.number("publishers", options.publishers);
  report.number("batch", options.batch);
  report.number("size", options.size);
  report.number("streams", options.streams);
  report.number("window", options.window);
  report.text("durability", options.buffered ? "buffered" : "synced");
  report.number("events", sum.acknowledged);
  report.number("refused", sum.refused);
  report.decimal("seconds", static_cast<double>(duration_us) / 1e6, 3);
  report.number("events_per_second", static_cast<std::uint64_t>(rate));
  report.decimal("megabytes_per_second", rate * static_cast<double>(options.size) / 1e6, 1);
  report.latency("batch", sum.latency_us);
  report.processor(meter, "event", sum.acknowledged, 0);
  return report;
}

Result<int> ingest(Context& context, const IngestOptions& options) {
  const Result<std::int64_t> duration_us = parse_duration(options.duration);
  if (!duration_us) return duration_us.error();
  if (options.window < options.batch) {
    return Error{Code::kBadArgument, "--window must have room for at least one --batch"};
  }
  auto client = Client::make(context);
  if (!client) return client.error();
  // Says that the gateway cannot be reached before anything is measured.
  if (const auto head = (*client)->head(); !head) return head.error();

  Publishers publishers = make_publishers(**client, options);
  Result<LoadMeter> meter = LoadMeter::start(options.server_pid);
  if (!meter) return meter.error();
  if (Status ran = run_publishers(context, publishers, options, *duration_us); !ran)
    return ran.error();
  if (Status stopped = meter->stop(); !stopped) return stopped.error();
  if (context.interrupt.happened()) return kExitInterrupted;

  const PublisherResult sum = sum_of(publishers);
  const Result<int> printed = report_of(options, sum, *meter).print(context.output);
  if (sum.failed) return *sum.failed;
  if (!printed || sum.refused == 0) return printed;
  say(fmt::format("{} events were refused: {}", sum.refused, sum.refusal));
  return kExitFailure;
}

}  // namespace

void register_bench_ingest(CLI::App& noun, Context& context) {
  CLI::App* command =
      noun.add_subcommand("ingest", "How many events per second the gateway acknowledges");
  auto options = std::make_shared<IngestOptions>();
  add_number(*command, "--publishers", options->publishers,
             "Publishers, each with a pipeline and a connection", 1, 1000)
      ->capture_default_str();
  add_number(*command, "--batch", options->batch, "Events in a request", 1, 1000)
      ->capture_default_str();
  add_number(*command, "--size", options->size, "Bytes of each event's data",
             BenchEvents::kDataBytesMin, BenchEvents::kDataBytesMax)
      ->capture_default_str();
  add_number(*command, "--streams", options->streams, "Streams; events go to them in turn", 1,
             1'000'000)
      ->capture_default_str();
  command->add_option("--prefix", options->prefix, "The streams are PREFIX.0, PREFIX.1 ..")
      ->type_name("PREFIX")
      ->capture_default_str();
  add_number(*command, "--window", options->window,
             "Events of a publisher that are not yet acknowledged", 1, 1'000'000)
      ->capture_default_str();
  CLI::Option* duration =
      command->add_option("--duration", options->duration, "How long to publish")
          ->type_name("DURATION")
          ->capture_default_str();
  add_number(*command, "--events", options->events, "Publish so many events instead")
      ->excludes(duration);
  command->add_flag("--buffered", options->buffered,
                    "Ask for acknowledgement before the events are on disk");
  add_server_pid(*command, options->server_pid);
  command->footer(
      "Batch latency is from before a request is made to its answer; at a full window most of it "
      "is "
      "waiting in line.\n\n"
      "Examples:\n"
      "  tidegate bench ingest\n"
      "  tidegate bench ingest --publishers 8 --duration 30s --server-pid $(pidof tidegated)\n"
      "  tidegate bench ingest --batch 1 --window 1 --events 2000   # a lone publish\n"
      "  tidegate bench ingest --streams 100000 -o json");
  command->callback([&context, options] {
    context.run = [&context, options] { return ingest(context, *options); };
  });
}

}  // namespace tidegate
