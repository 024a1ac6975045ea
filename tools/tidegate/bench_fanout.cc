#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "tools/tidegate/bench.h"
#include "tools/tidegate/bench_publisher.h"
#include "tools/tidegate/bench_report.h"
#include "tools/tidegate/client.h"
#include "tools/tidegate/command.h"
#include "tools/tidegate/interrupt.h"
#include "tools/tidegate/load_websocket.h"

// Fan-out: one stream, one publisher, many WebSocket subscribers. Flat out, a window of events is
// kept in flight, published but not yet received by all; with --rate, events are published by a
// schedule that waits for nobody (open loop), and latency is counted from it.

namespace tidegate {
namespace {

using std::chrono::milliseconds;

struct FanoutOptions {
  std::string http = "127.0.0.1:7080";
  std::uint64_t subscribers = 1000;
  std::uint64_t size = 128;
  std::string stream = "bench.fanout";
  std::string form = "json";
  std::uint64_t events = 2000;
  std::uint64_t rate = 0;
  std::uint64_t window = 2048;
  std::uint64_t batch = 64;
  std::uint64_t threads = 1;
  std::uint64_t server_pid = 0;
};

// No delivery for so long: what is missing is lost.
constexpr std::chrono::seconds kPatience{10};
constexpr milliseconds kLookEvery{100};

class Fanout {
 public:
  Fanout(Context& context, const FanoutOptions& options) : context_(context), options_(options) {}

  Result<int> run() {
    if (Status prepared = prepare(); !prepared) return prepared.error();
    Result<LoadMeter> meter = LoadMeter::start(options_.server_pid);
    if (!meter) return meter.error();
    load_->begin();
    const Status delivered = deliver();
    if (context_.interrupt.happened()) return kExitInterrupted;
    if (!delivered) return delivered.error();
    if (Status stopped = meter->stop(); !stopped) return stopped.error();
    return report(*meter);
  }

 private:
  Status prepare() {
    auto client = Client::make(context_.server);
    if (!client) return client.error();
    client_ = *std::move(client);
    const Result<Revision> last = last_revision();
    if (!last) return last.error();

    LoadOptions load;
    load.http = options_.http;
    load.subscribers = options_.subscribers;
    load.threads = options_.threads;
    load.form = options_.form == "proto" ? LoadForm::kProto : LoadForm::kJson;
    load.stream = options_.stream;
    load.data_bytes = static_cast<std::size_t>(options_.size);
    load.first = *last + 1;
    load.end = *last + 1 + options_.events;
    load.clock = clock_;
    auto made = LoadClient::make(load, [this] { permit_more(); });
    if (!made) return made.error();
    load_ = *std::move(made);
    make_publisher();
    return load_->connect();
  }

  Result<Revision> last_revision() {
    v1::GetStreamRequest request;
    request.set_name(options_.stream);
    const auto stream =
        client_->call(&v1::StreamService::Stub::GetStream, client_->streams(), request);
    if (stream) return stream->stream().last_revision();
    if (stream.error().code == Code::kNotFound) return Revision{0};
    return stream.error();
  }

  void make_publisher() {
    BenchPublisher::Options publisher;
    publisher.batch = options_.batch;
    publisher.events = options_.events;
    publisher.rate = options_.rate;
    // Small windows go out in four parts, so that delivery and publishing overlap.
    if (options_.rate == 0) {
      publisher.batch = std::clamp<std::uint64_t>(options_.window / 4, 1, options_.batch);
      publisher.least = publisher.batch;
    }
    publisher_ = std::make_unique<BenchPublisher>(
        *client_, publisher,
        BenchEvents(static_cast<std::size_t>(options_.size), {options_.stream}, 0), clock_);
  }

  // On a load thread: the window has moved.
  void permit_more() {
    if (options_.rate == 0) publisher_->permit(load_->received_by_all() + options_.window);
  }

  // Publishes and waits until everything was delivered, or nothing more comes, or Ctrl-C.
  Status deliver() {
    const Interrupt::Guard guard(context_.interrupt, [this] { publisher_->cancel(); });
    publisher_->start();
    permit_more();
    std::uint64_t due = options_.rate == 0 ? options_.events : 0;
    std::uint64_t seen = 0;
    std::int64_t progress_us = clock_.now_us();
    while (!context_.interrupt.happened() && !publisher_->has_failed()) {
      const bool is_publishing = due < options_.events;
      if (is_publishing) publish_due(due);
      const Result<bool> complete =
          load_->wait_until_complete(is_publishing ? milliseconds(0) : kLookEvery);
      if (!complete) return complete.error();
      if (*complete) break;
      const bool has_moved = std::exchange(seen, load_->deliveries()) != load_->deliveries();
      if (has_moved || is_publishing) progress_us = clock_.now_us();
      if (-clock_.until(progress_us) > kPatience) break;
    }
    return end_publishing();
  }

  // Waits for the time of event `due` and allows all that are due by then.
  void publish_due(std::uint64_t& due) {
    const auto wait = clock_.until(publisher_->due_us(due));
    if (wait.count() > 0) context_.interrupt.sleep(wait);
    while (due < options_.events && clock_.until(publisher_->due_us(due)).count() <= 0) ++due;
    publisher_->permit(due);
  }

  // The last answers may come after the last deliveries.
  Status end_publishing() {
    publisher_->stop();
    if (!publisher_->wait(kPatience)) {
      publisher_->cancel();
      return Error{Code::kOutcomeUnknown, "the gateway does not answer what was published"};
    }
    if (publisher_->result().failed) return *publisher_->result().failed;
    return {};
  }

  Result<int> report(const LoadMeter& meter);

  Context& context_;
  const FanoutOptions& options_;
  LoadClock clock_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<BenchPublisher> publisher_;
  // After the publisher: its threads call it.
  std::unique_ptr<LoadClient> load_;
};

Result<int> Fanout::report(const LoadMeter& meter) {
  const LoadResult load = load_->finish();
  const PublisherResult& published = publisher_->result();
  const std::int64_t duration_us = load.last_us - published.first_us;
  const double rate = per_second(load.deliveries, duration_us);
  BenchReport report("fanout");
  report.number("subscribers", options_.subscribers);
  report.number("size", options_.size);
  report.text("form", options_.form);
  if (options_.rate > 0) {
    report.number("rate", options_.rate);
  } else {
    report.number("window", options_.window);
  }
  report.number("events", published.acknowledged);
  report.number("deliveries", load.deliveries);
  report.number("lost", load.lost);
  report.number("duplicated", load.duplicated);
  report.number("out_of_order", load.out_of_order);
  report.number("refused", published.refused);
  report.number("fell_behind", load.fell_behind);
  report.decimal("seconds", static_cast<double>(duration_us) / 1e6, 3);
  report.number("deliveries_per_second", static_cast<std::uint64_t>(rate));
  report.decimal("megabytes_per_second", per_second(load.bytes, duration_us) / 1e6, 1);
  report.latency("delivery", load.latency_us);
  report.latency("batch", published.latency_us);
  report.processor(meter, "delivery", load.deliveries, load.busiest_thread_percent);
  Result<int> printed = report.print(context_.output);
  if (!printed || *printed != kExitOk) return printed;
  if (published.refused > 0) {
    say(fmt::format("{} events were refused: {}", published.refused, published.refusal));
    return kExitFailure;
  }
  if (load.lost + load.duplicated + load.out_of_order == 0) return printed;
  say("the subscribers did not get every event once and in order");
  return kExitFailure;
}

void add_options(CLI::App& command, FanoutOptions& options) {
  command.add_option("--http", options.http, "The gateway's WebSocket address")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  add_number(command, "--subscribers", options.subscribers,
             "WebSocket connections, each with one subscription", 1, 1'000'000)
      ->capture_default_str();
  add_number(command, "--size", options.size, "Bytes of each event's data",
             BenchEvents::kDataBytesMin, BenchEvents::kDataBytesMax)
      ->capture_default_str();
  command.add_option("--stream", options.stream, "The stream, which nobody else may write to")
      ->type_name("STREAM")
      ->capture_default_str();
  command.add_option("--form", options.form, "The subprotocol: json or proto")
      ->check(CLI::IsMember({"json", "proto"}))
      ->type_name("json|proto")
      ->capture_default_str();
  add_number(command, "--events", options.events, "Events to publish", 1, 10'000'000)
      ->capture_default_str();
  CLI::Option* rate =
      add_number(command, "--rate", options.rate,
                 "Events per second by a fixed schedule, instead of flat out", 1, 1'000'000);
  add_number(command, "--window", options.window,
             "Flat out: events that are published but not yet received by all", 1, 1'000'000)
      ->excludes(rate)
      ->capture_default_str();
  add_number(command, "--batch", options.batch, "Most events in a publish request", 1, 1000)
      ->capture_default_str();
  add_number(command, "--threads", options.threads, "Threads of the subscribers", 1, 64)
      ->capture_default_str();
  add_server_pid(command, options.server_pid);
}

}  // namespace

void register_bench_fanout(CLI::App& noun, Context& context) {
  CLI::App* command = noun.add_subcommand(
      "fanout", "How many deliveries per second the gateway makes to many subscribers");
  auto options = std::make_shared<FanoutOptions>();
  add_options(*command, *options);
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
      "  tidegate bench fanout --rate 50 --events 3000 -o json   # latency at 50 events/s");
  command->callback([&context, options] {
    context.run = [&context, options] { return Fanout(context, *options).run(); };
  });
}

}  // namespace tidegate
