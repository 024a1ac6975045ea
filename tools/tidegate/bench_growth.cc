#include <algorithm>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "tools/tidegate/bench.h"
#include "tools/tidegate/bench_delivery.h"
#include "tools/tidegate/bench_report.h"
#include "tools/tidegate/client.h"
#include "tools/tidegate/command.h"
#include "tools/tidegate/load_probe.h"

// Growth: how long it takes to resume somewhere in a log, and to read a few events there, when the
// log is small and when it is large. The benchmark writes the logs alone, to their streams in turn,
// so that it knows which event must come first.

namespace tidegate {
namespace {

struct GrowthOptions {
  SubscriberOptions subscriber;
  std::uint64_t small = 1'000'000;
  std::uint64_t large = 10'000'000;
  std::string large_server;  // empty: one log that grows
  std::string large_http;
  std::uint64_t large_server_pid = 0;
  std::uint64_t streams = 100;
  std::uint64_t resumes = 500;
  std::uint64_t read = 100;
  std::string stream = "bench.growth";
  std::uint64_t server_pid = 0;
};

struct Measured {
  Sequence head = 0;
  Histogram first_us;
  Histogram read_us;
  std::mt19937_64 random{20260101};
};

// A gateway's log, and what it is asked.
class GrowthLog {
 public:
  GrowthLog(Context& context, const GrowthOptions& options, std::uint64_t server_pid)
      : context_(context), options_(options), server_pid_(server_pid) {}

  // `room`: it will have at least so many events.
  Status prepare(const std::string& server, const std::string& http, std::uint64_t room) {
    Context named = context_;
    named.server = server;
    auto client = Client::make(named);
    if (!client) return client.error();
    client_ = *std::move(client);
    const auto head = client_->head();
    if (!head) return head.error();
    before_ = head_ = head->sequence;
    if (before_ + 2 * options_.streams * (options_.read + 1) > room) {
      return Error{
          Code::kBadArgument,
          fmt::format("the log has {} events; --small must be above that and have room for "
                      "twice --streams x --read",
                      before_)};
    }
    const Result<LoadAddress> address = LoadAddress::resolve(http, client_->token());
    if (!address) return address.error();
    address_ = *address;
    // New streams, whose revisions begin at 1.
    const std::uint32_t run = std::random_device()();
    for (std::uint64_t i = 0; i < options_.streams; ++i) {
      streams_.push_back(fmt::format("{}.{:08x}.{}", options_.stream, run, i));
    }
    return {};
  }

  // Publishes whole turns, so that the next call goes on with the first stream.
  Status grow(std::uint64_t events) {
    const std::uint64_t turns = (events - head_ + options_.streams - 1) / options_.streams;
    const std::uint64_t added = turns * options_.streams;
    const Status filled = fill(*client_, streams_, options_.subscriber.size, added);
    if (!filled) return filled;
    const auto head = client_->head();
    if (!head) return head.error();
    if (head->sequence != head_ + added) {
      return Error{Code::kInternal, "somebody else writes to the log: growth needs it alone"};
    }
    head_ = head->sequence;
    return await_quiet(context_, server_pid_);
  }

  // One subscription after a random place.
  Status resume(Measured& measured, LoadResult& load) {
    measured.head = head_;
    // Behind every place all streams have as many events as are read.
    const Sequence end = head_ - options_.streams * (options_.read + 1);
    std::uniform_int_distribution<Sequence> places(before_, end);
    const std::uint64_t stream = measured.random() % options_.streams;
    return resume(places(measured.random), stream, measured, load);
  }

 private:
  Status resume(Sequence after, std::uint64_t stream, Measured& measured, LoadResult& load) {
    auto probe = LoadProbe::connect(*address_, options_.subscriber.load_form(),
                                    options_.subscriber.data_bytes(), clock_);
    if (!probe) return probe.error();
    v1::SubscribeOp subscription;
    subscription.set_id("s");
    subscription.add_streams(streams_[static_cast<std::size_t>(stream)]);
    subscription.mutable_start()->set_after_sequence(after);
    subscription.set_window(static_cast<std::uint32_t>(options_.read));
    // The k-th event of the run has the sequence before_ + 1 + k and is in stream k modulo their
    // number: those of this stream that are at most `after` do not come.
    const std::uint64_t passed = after - before_;
    const Revision first = (passed + options_.streams - 1 - stream) / options_.streams + 1;
    DeliveryCheck check(first, first + options_.read);
    std::int64_t first_us = 0;
    const Status read =
        (*probe)->subscribe(subscription, [&](LoadConnection::Found& found) -> Result<bool> {
          for (const ScannedEvent& event : found.events) {
            if (check.take(event.sequence, event.revision)) continue;
            return Error{Code::kInternal, "more events came than the window allows"};
          }
          load.deliveries += found.events.size();
          if (!found.events.empty() && first_us == 0) first_us = (*probe)->received_us();
          return check.is_complete();
        });
    if (!read) return read;
    measured.first_us.record(first_us - (*probe)->sent_us());
    measured.read_us.record((*probe)->received_us() - (*probe)->sent_us());
    load.lost += check.lost();
    load.duplicated += check.duplicated();
    load.out_of_order += check.out_of_order();
    return {};
  }

  Context& context_;
  const GrowthOptions& options_;
  const std::uint64_t server_pid_;
  LoadClock clock_;
  std::unique_ptr<Client> client_;
  std::optional<LoadAddress> address_;
  std::vector<std::string> streams_;
  Sequence before_ = 0;  // the head when the run began
  Sequence head_ = 0;
};

class Growth {
 public:
  Growth(Context& context, const GrowthOptions& options) : context_(context), options_(options) {}

  Result<int> run() {
    if (options_.large <= options_.small) {
      return Error{Code::kBadArgument, "--large must be above --small"};
    }
    if (options_.large_server.empty() != options_.large_http.empty()) {
      return Error{Code::kBadArgument, "--large-server and --large-http belong together"};
    }
    const std::uint64_t pid =
        options_.large_server.empty() ? options_.server_pid : options_.large_server_pid;
    Result<LoadMeter> meter = LoadMeter::start(pid);
    if (!meter) return meter.error();
    const Status measured = options_.large_server.empty() ? one_log(*meter) : two_logs(*meter);
    if (!measured) return measured.error();
    if (Status stopped = meter->stop(); !stopped) return stopped.error();
    return report(*meter);
  }

 private:
  // First small, then large.
  Status one_log(LoadMeter& meter) {
    GrowthLog log(context_, options_, options_.server_pid);
    Status done = log.prepare(context_.server, options_.subscriber.http, options_.small);
    if (done) done = log.grow(options_.small);
    for (std::uint64_t i = 0; i < options_.resumes && done; ++i) done = log.resume(small_, load_);
    if (done) done = log.grow(options_.large);
    if (done) done = restart(meter, options_.server_pid);
    for (std::uint64_t i = 0; i < options_.resumes && done; ++i) done = log.resume(large_, load_);
    return done;
  }

  // By turns, so that whatever else the machine does concerns both.
  Status two_logs(LoadMeter& meter) {
    GrowthLog small(context_, options_, options_.server_pid);
    GrowthLog large(context_, options_, options_.large_server_pid);
    Status done = small.prepare(context_.server, options_.subscriber.http, options_.small);
    if (done) done = large.prepare(options_.large_server, options_.large_http, options_.small);
    if (done) done = small.grow(options_.small);
    if (done) done = large.grow(options_.large);
    if (done) done = restart(meter, options_.large_server_pid);
    for (std::uint64_t i = 0; i < options_.resumes && done; ++i) {
      done = small.resume(small_, load_);
      if (done) done = large.resume(large_, load_);
    }
    return done;
  }

  static Status restart(LoadMeter& meter, std::uint64_t server_pid) {
    Result<LoadMeter> again = LoadMeter::start(server_pid);
    if (!again) return again.error();
    meter = *again;
    return {};
  }

  Result<int> report(const LoadMeter& meter) const {
    const auto ratio = [](const Histogram& small, const Histogram& large, double percent) {
      return static_cast<double>(large.percentile_us(percent)) /
             static_cast<double>(std::max<std::uint64_t>(small.percentile_us(percent), 1));
    };
    BenchReport report("growth");
    report.number("small_events", small_.head);
    report.number("large_events", large_.head);
    report.number("streams", options_.streams);
    report.number("size", options_.subscriber.size);
    report.text("form", options_.subscriber.form);
    report.number("resumes", options_.resumes);
    report.number("read", options_.read);
    report.number("deliveries", load_.deliveries);
    report.correctness(load_);
    report.latency("small_first", small_.first_us);
    report.latency("large_first", large_.first_us);
    report.latency("small_read", small_.read_us);
    report.latency("large_read", large_.read_us);
    report.decimal("first_p50_ratio", ratio(small_.first_us, large_.first_us, 50), 2);
    report.decimal("first_p99_ratio", ratio(small_.first_us, large_.first_us, 99), 2);
    report.decimal("read_p50_ratio", ratio(small_.read_us, large_.read_us, 50), 2);
    report.processor(meter, "resume", options_.resumes, 0);
    return report.conclude(context_.output, load_, nullptr);
  }

  Context& context_;
  const GrowthOptions& options_;
  LoadResult load_;
  Measured small_;
  Measured large_;
};

void add_options(CLI::App& command, GrowthOptions& options) {
  add_number(command, "--small", options.small, "Events in the log at first", 1, 1'000'000'000)
      ->capture_default_str();
  add_number(command, "--large", options.large, "Events in the log then", 1, 1'000'000'000)
      ->capture_default_str();
  const char* address = "HOST:PORT";
  command.add_option("--large-server", options.large_server, "A second gateway, for the large log")
      ->type_name(address);
  command.add_option("--large-http", options.large_http, "Its WebSocket address")
      ->type_name(address);
  add_number(command, "--large-server-pid", options.large_server_pid, "Its process");
  add_number(command, "--streams", options.streams, "Streams; events go to them in turn", 1,
             100'000)
      ->capture_default_str();
  add_number(command, "--resumes", options.resumes, "Subscriptions that are measured, each time", 1,
             1'000'000)
      ->capture_default_str();
  add_number(command, "--read", options.read, "Events that each of them reads", 1, 10'000)
      ->capture_default_str();
  add_subscriber_options(command, options.subscriber);
  add_event_size(command, options.subscriber);
  command.add_option("--stream", options.stream, "The streams are STREAM.RUN.0, STREAM.RUN.1 ..")
      ->type_name("STREAM")
      ->capture_default_str();
  add_server_pid(command, options.server_pid);
}

}  // namespace

void register_bench_growth(CLI::App& noun, Context& context) {
  CLI::App* command = noun.add_subcommand(
      "growth", "How much longer it takes to resume in a large log than in a small one");
  auto options = std::make_shared<GrowthOptions>();
  add_options(*command, *options);
  command->footer(
      "Each resume is a subscription to one of the streams after a random place of the log, on a "
      "new connection, one at\n"
      "a time: .._first_.. is from the request to its first event, .._read_.. to its --read-th. "
      "Nobody else may write\n"
      "to the log, which must have fewer than --small events. The processor time is that of the "
      "large log. A small log\n"
      "may lie in the gateway's memory when the large one does not (log_store.tail_bytes).\n\n"
      "With one gateway its log is measured, grows, and is measured again. With --large-server the "
      "small and the large\n"
      "log are measured by turns, so that a ratio says nothing of what else the machine did "
      "meanwhile.\n\n"
      "Examples:\n"
      "  tidegate bench growth --server-pid $(pidof tidegated)\n"
      "  tidegate bench growth --large-server 127.0.0.1:7190 --large-http 127.0.0.1:7180\n"
      "  tidegate bench growth --small 100000 --large 1000000 --form proto");
  command->callback([&context, options] {
    context.run = [&context, options] { return Growth(context, *options).run(); };
  });
}

}  // namespace tidegate
