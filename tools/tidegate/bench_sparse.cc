#include <memory>
#include <optional>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "tools/tidegate/bench.h"
#include "tools/tidegate/bench_delivery.h"
#include "tools/tidegate/bench_report.h"
#include "tools/tidegate/client.h"
#include "tools/tidegate/command.h"
#include "tools/tidegate/load_probe.h"

// Sparse: a log of which one event in many goes to one stream, STREAM.0.needle, and all others to
// STREAM.1.hay .. STREAM.100.hay. How long a subscription from the start takes to the live edge,
// by the stream's name and by a wildcard that only it matches, and whose fixed beginning all share.

namespace tidegate {
namespace {

struct SparseOptions {
  SubscriberOptions subscriber;
  std::uint64_t events = 1'000'000;
  std::uint64_t one_in = 10'000;
  std::uint64_t rounds = 5;
  bool no_fill = false;
  std::string stream = "bench.sparse";
  std::uint64_t server_pid = 0;
};

constexpr std::uint64_t kHayStreams = 100;

class Sparse {
 public:
  Sparse(Context& context, const SparseOptions& options)
      : context_(context),
        options_(options),
        needle_(options.stream + ".0.needle"),
        wildcard_(options.stream + ".*.needle") {}

  Result<int> run() {
    if (Status prepared = prepare(); !prepared) return prepared.error();
    Result<LoadMeter> meter = LoadMeter::start(options_.server_pid);
    if (!meter) return meter.error();
    for (std::uint64_t round = 0; round < options_.rounds; ++round) {
      if (Status exact = measure(needle_, exact_); !exact) return exact.error();
      if (Status wildcard = measure(wildcard_, wildcards_); !wildcard) return wildcard.error();
    }
    if (Status stopped = meter->stop(); !stopped) return stopped.error();
    return report(*meter);
  }

 private:
  Status prepare() {
    auto client = Client::make(context_);
    if (!client) return client.error();
    const Result<Revision> last = last_revision(**client, needle_);
    if (!last) return last.error();
    needles_ = *last;
    const std::uint64_t wanted = options_.events / options_.one_in;
    if (wanted == 0) return Error{Code::kBadArgument, "--events must be at least --one-in"};
    if (options_.no_fill && needles_ == 0) {
      return Error{Code::kNotFound, fmt::format("stream {} has no events; without --no-fill they "
                                                "are published first",
                                                needle_)};
    }
    if (!options_.no_fill && needles_ < wanted) {
      const std::uint64_t missing = (wanted - needles_) * options_.one_in;
      const Status filled = fill(**client, streams(), options_.subscriber.size, missing);
      if (!filled) return filled;
      needles_ = wanted;
      if (Status quiet = await_quiet(context_, options_.server_pid); !quiet) return quiet;
    }
    const auto head = (*client)->head();
    if (!head) return head.error();
    log_events_ = head->sequence;
    const Result<LoadAddress> address =
        LoadAddress::resolve(options_.subscriber.http, (*client)->token());
    if (!address) return address.error();
    address_ = *address;
    return {};
  }

  // The turn of the publisher: one needle, and hay.
  std::vector<std::string> streams() const {
    std::vector<std::string> streams{needle_};
    for (std::uint64_t i = 1; i < options_.one_in; ++i) {
      streams.push_back(fmt::format("{}.{}.hay", options_.stream, 1 + i % kHayStreams));
    }
    return streams;
  }

  // One subscription on a connection of its own.
  Status measure(const std::string& pattern, Histogram& times) {
    auto probe = LoadProbe::connect(*address_, options_.subscriber.load_form(),
                                    options_.subscriber.data_bytes(), clock_);
    if (!probe) return probe.error();
    v1::SubscribeOp subscription;
    subscription.set_id("s");
    subscription.add_streams(pattern);
    subscription.mutable_start()->set_edge(v1::EDGE_START);
    DeliveryCheck check(1, needles_ + 1);
    const Status read = (*probe)->subscribe(
        subscription, [&](LoadConnection::Found& found) { return take(found, check); });
    if (!read) return read;
    times.record((*probe)->received_us() - (*probe)->sent_us());
    load_.lost += check.lost();
    load_.duplicated += check.duplicated();
    load_.out_of_order += check.out_of_order();
    return {};
  }

  Result<bool> take(const LoadConnection::Found& found, DeliveryCheck& check) {
    load_.deliveries += found.events.size();
    for (const ScannedEvent& event : found.events) {
      if (check.take(event.sequence, event.revision)) continue;
      return Error{Code::kInternal, fmt::format("stream {} has another publisher", needle_)};
    }
    for (const ServerNotice& notice : found.notices) {
      if (notice.kind == ServerNotice::Kind::kCaughtUp) return true;
    }
    return false;
  }

  Result<int> report(const LoadMeter& meter) const {
    BenchReport report("sparse");
    report.number("log_events", log_events_);
    report.number("matching", needles_);
    report.number("size", options_.subscriber.size);
    report.text("form", options_.subscriber.form);
    report.number("rounds", options_.rounds);
    report.number("deliveries", load_.deliveries);
    report.correctness(load_);
    report.latency("exact", exact_);
    report.latency("wildcard", wildcards_);
    report.processor(meter, "subscription", 2 * options_.rounds, 0);
    return report.conclude(context_.output, load_, nullptr);
  }

  Context& context_;
  const SparseOptions& options_;
  const std::string needle_;
  const std::string wildcard_;
  LoadClock clock_;
  std::optional<LoadAddress> address_;
  Revision needles_ = 0;
  Sequence log_events_ = 0;
  Histogram exact_;
  Histogram wildcards_;
  LoadResult load_;
};

}  // namespace

void register_bench_sparse(CLI::App& noun, Context& context) {
  CLI::App* command = noun.add_subcommand(
      "sparse", "How long a filter that matches very little takes from the start of a log");
  auto options = std::make_shared<SparseOptions>();
  CLI::Option* events =
      add_number(*command, "--events", options->events,
                 "Events that are published first, if they are not there", 1, 100'000'000)
          ->capture_default_str();
  add_number(*command, "--one-in", options->one_in, "Of so many events one matches", 2, 1'000'000)
      ->capture_default_str();
  add_number(*command, "--rounds", options->rounds, "Measurements of each kind, in turn", 1, 10'000)
      ->capture_default_str();
  command->add_flag("--no-fill", options->no_fill, "Publish nothing: read what is there")
      ->excludes(events);
  add_subscriber_options(*command, options->subscriber);
  add_event_size(*command, options->subscriber);
  command
      ->add_option("--stream", options->stream,
                   "The streams are STREAM.0.needle, STREAM.1.hay .. STREAM.100.hay")
      ->type_name("STREAM")
      ->capture_default_str();
  add_server_pid(*command, options->server_pid);
  command->footer(
      "exact_.. and wildcard_.. are from the request of a subscription from the start to its "
      "caught_up, for\n"
      "STREAM.0.needle and for STREAM.*.needle, each on a new connection. --size must be what the "
      "log was filled with.\n\n"
      "Examples:\n"
      "  tidegate bench sparse --server-pid $(pidof tidegated)\n"
      "  tidegate bench sparse --no-fill   # after a restart of the gateway: nothing in memory");
  command->callback([&context, options] {
    context.run = [&context, options] { return Sparse(context, *options).run(); };
  });
}

}  // namespace tidegate
