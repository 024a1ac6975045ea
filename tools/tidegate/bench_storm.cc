#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "tools/tidegate/bench.h"
#include "tools/tidegate/bench_delivery.h"
#include "tools/tidegate/bench_publisher.h"
#include "tools/tidegate/bench_report.h"
#include "tools/tidegate/client.h"
#include "tools/tidegate/command.h"
#include "tools/tidegate/interrupt.h"
#include "tools/tidegate/place.h"

// Storm: live subscribers lose their connections all at once, stay away, and all come back and
// resume while publishing goes on.
//
//   |-- quiet --|-- down --|-- storm --|-- after --|
//   begin       cut        reconnect   all caught up
//
// Events are due at a fixed rate from the begin to the end; those that --missed adds are published
// while the subscribers are away.

namespace tidegate {
namespace {

using std::chrono::microseconds;

struct StormOptions {
  SubscriberOptions subscriber;
  std::uint64_t subscribers = 1000;
  std::uint64_t rate = 50;
  std::uint64_t missed = 0;
  std::string quiet = "5s";
  std::string down = "2s";
  std::string after = "3s";
  std::string stream = "bench.storm";
  std::uint64_t server_pid = 0;
};

// The shortest part of a storm whose publish latency is worth a percentile.
constexpr std::int64_t kStormUsMin = 1'000'000;

class Storm {
 public:
  Storm(Context& context, const StormOptions& options) : context_(context), options_(options) {}

  Result<int> run() {
    if (Status prepared = prepare(); !prepared) return prepared.error();
    Result<LoadMeter> meter = LoadMeter::start(options_.server_pid);
    if (!meter) return meter.error();
    const Status passed = pass();
    if (context_.interrupt.happened()) return kExitInterrupted;
    if (!passed) return passed.error();
    if (Status stopped = meter->stop(); !stopped) return stopped.error();
    return report(*meter);
  }

 private:
  Status read_durations() {
    for (const auto& [text, duration] :
         {std::pair(&options_.quiet, &quiet_us_), std::pair(&options_.down, &down_us_),
          std::pair(&options_.after, &after_us_)}) {
      const Result<std::int64_t> read = parse_duration(*text);
      if (!read) return read.error();
      *duration = *read;
    }
    const std::int64_t whole_us = quiet_us_ + down_us_ + after_us_;
    scheduled_ = static_cast<std::uint64_t>(whole_us) * options_.rate / 1'000'000;
    if (scheduled_ > 0 && scheduled_ <= 100'000'000) return {};
    return Error{Code::kBadArgument, "--rate gives no event, or too many, in the time of the run"};
  }

  Status prepare() {
    if (Status read = read_durations(); !read) return read;
    auto client = Client::make(context_);
    if (!client) return client.error();
    client_ = *std::move(client);
    const Result<Revision> last = last_revision(*client_, options_.stream);
    if (!last) return last.error();
    LoadOptions load =
        load_options(*client_, options_.subscriber, options_.subscribers, options_.stream,
                     *last + 1, *last + 1 + scheduled_ + options_.missed);
    load.clock = clock_;
    auto made = LoadClient::make(load, [this] { look_whether_back(); });
    if (!made) return made.error();
    load_ = *std::move(made);

    BenchPublisher::Options scheduled;
    scheduled.rate = options_.rate;
    scheduled.events = scheduled_;
    publisher_ = make_publisher(scheduled, 0);
    return load_->connect_and_subscribe();
  }

  std::unique_ptr<BenchPublisher> make_publisher(const BenchPublisher::Options& options,
                                                 std::uint32_t number) {
    return std::make_unique<BenchPublisher>(
        *client_, options, BenchEvents(options_.subscriber.data_bytes(), {options_.stream}, number),
        clock_);
  }

  // On a load thread: whether all have what was published before the first one came back.
  void look_whether_back() {
    const std::uint64_t wanted = wanted_.load(std::memory_order_acquire);
    if (wanted == 0 || load_->received_by_all() < wanted) return;
    std::int64_t none = 0;
    back_us_.compare_exchange_strong(none, clock_.now_us(), std::memory_order_acq_rel);
  }

  Status pass() {
    const Interrupt::Guard guard(context_.interrupt, [this] { publisher_->cancel(); });
    load_->begin();
    publisher_->start();
    const BenchPacer pacer(*publisher_, clock_);
    context_.interrupt.sleep(microseconds(quiet_us_));
    quiet_latency_ = publisher_->take_latency();
    if (Status away = stay_away(); !away) return away;
    if (Status back = come_back(); !back) return back;
    const Status delivered =
        await_stage(context_, *load_, LoadStage::kComplete, publisher_.get(), &pacer);
    if (!delivered) return delivered;
    return end_publishing(*publisher_);
  }

  Status stay_away() {
    const std::int64_t cut_us = clock_.now_us();
    if (Status cut = load_->cut(); !cut) return cut;
    if (options_.missed > 0) {
      BenchPublisher::Options missed;
      missed.events = options_.missed;
      missed.window = 4096;
      missed_ = make_publisher(missed, 1);
      missed_->start();
      if (Status ended = end_missed(); !ended) return ended;
    }
    const std::int64_t left_us = cut_us + down_us_ - clock_.now_us();
    if (left_us > 0) context_.interrupt.sleep(microseconds(left_us));
    away_us_ = clock_.now_us() - cut_us;
    return {};
  }

  Status end_missed() {
    while (!missed_->wait(std::chrono::milliseconds(100))) {
      if (context_.interrupt.happened()) missed_->cancel();
    }
    const PublisherResult& result = missed_->result();
    if (result.failed) return *result.failed;
    if (result.refused > 0) return Error{Code::kUnavailable, result.refusal};
    return {};
  }

  Status come_back() {
    const std::uint64_t acknowledged = publisher_->acknowledged() + options_.missed;
    publisher_->take_latency();
    Result<LoadMeter> meter = LoadMeter::start(options_.server_pid);
    if (!meter) return meter.error();
    reconnect_us_ = clock_.now_us();
    wanted_.store(std::max<std::uint64_t>(acknowledged, 1), std::memory_order_release);
    load_->reconnect();
    const Status back =
        await_stage(context_, *load_, LoadStage::kCaughtUp, publisher_.get(), nullptr);
    if (!back) return back;
    const Result<bool> all = load_->wait(LoadStage::kCaughtUp, std::chrono::milliseconds(0));
    if (!all) return all.error();
    if (!*all && !context_.interrupt.happened() && !publisher_->has_failed()) {
      return Error{Code::kUnavailable, "not all subscribers were told that they caught up"};
    }
    if (Status stopped = meter->stop(); !stopped) return stopped;
    storm_client_percent_ = 100 * meter->client_seconds() / std::max(meter->wall_seconds(), 1e-9) /
                            static_cast<double>(options_.subscriber.threads);
    const std::int64_t left_us = reconnect_us_ + kStormUsMin - clock_.now_us();
    if (left_us > 0) context_.interrupt.sleep(microseconds(left_us));
    storm_latency_ = publisher_->take_latency();
    return {};
  }

  Result<int> report(const LoadMeter& meter);

  Context& context_;
  const StormOptions& options_;
  LoadClock clock_;
  std::int64_t quiet_us_ = 0;
  std::int64_t down_us_ = 0;
  std::int64_t after_us_ = 0;
  std::uint64_t scheduled_ = 0;
  std::int64_t away_us_ = 0;
  std::int64_t reconnect_us_ = 0;
  // Of a core, per load thread: a few busy moments decide, which a whole run would hide.
  double storm_client_percent_ = 0;
  Histogram quiet_latency_;
  Histogram storm_latency_;
  // Set before `reconnect`, read by the load threads; 0: it is not time yet.
  std::atomic<std::uint64_t> wanted_ = 0;
  std::atomic<std::int64_t> back_us_ = 0;  // 0: not all are back
  std::unique_ptr<Client> client_;
  std::unique_ptr<BenchPublisher> publisher_;
  std::unique_ptr<BenchPublisher> missed_;
  // Last: its threads look at the others.
  std::unique_ptr<LoadClient> load_;
};

Result<int> Storm::report(const LoadMeter& meter) {
  const LoadResult load = load_->finish();
  const PublisherResult& published = publisher_->result();
  // They may be told that they are at the live edge before they have what was still on its way
  // when the first one came back, or after.
  const std::int64_t back_us = std::max(load.caught_up_us, back_us_.load());
  BenchReport report("storm");
  report.number("subscribers", options_.subscribers);
  report.number("size", options_.subscriber.size);
  report.text("form", options_.subscriber.form);
  report.number("rate", options_.rate);
  report.decimal("down_seconds", static_cast<double>(away_us_) / 1e6, 3);
  report.number("missed", options_.missed);
  report.number("events", published.acknowledged + options_.missed);
  report.number("deliveries", load.deliveries);
  report.correctness(load);
  report.number("refused", published.refused);
  report.number("fell_behind", load.fell_behind);
  report.decimal("caught_up_seconds", static_cast<double>(back_us - reconnect_us_) / 1e6, 3);
  report.latency("delivery", load.latency_us);
  report.latency("publish_quiet", quiet_latency_);
  report.latency("publish_storm", storm_latency_);
  report.decimal("storm_client_cpu_percent", storm_client_percent_, 1);
  report.processor(meter, "delivery", load.deliveries, storm_client_percent_);
  return report.conclude(context_.output, load, &published);
}

}  // namespace

void register_bench_storm(CLI::App& noun, Context& context) {
  CLI::App* command = noun.add_subcommand(
      "storm", "How long it takes when all subscribers lose their connections and come back");
  auto options = std::make_shared<StormOptions>();
  const auto add_duration = [&](const char* name, std::string& value, const char* description) {
    command->add_option(name, value, description)->type_name("DURATION")->capture_default_str();
  };
  add_number(*command, "--subscribers", options->subscribers,
             "WebSocket connections, each with one subscription", 1, 1'000'000)
      ->capture_default_str();
  add_subscriber_options(*command, options->subscriber);
  add_event_size(*command, options->subscriber);
  add_stream(*command, options->stream);
  add_number(*command, "--rate", options->rate, "Events per second, all the time", 1, 1'000'000)
      ->capture_default_str();
  add_number(*command, "--missed", options->missed,
             "Events that are published besides while the subscribers are away", 1, 10'000'000);
  add_duration("--quiet", options->quiet, "How long they are live before the cut");
  add_duration("--down", options->down, "How long they stay away");
  add_duration("--after", options->after, "How long publishing goes on after that");
  add_threads(*command, options->subscriber);
  add_server_pid(*command, options->server_pid);
  command->footer(
      "The cut is hard: a TCP reset without a close frame. Every subscriber resumes by its "
      "position "
      "as soon as it is\n"
      "welcomed, and checks that it gets every event once and in order across the cut; otherwise "
      "the exit code is 1.\n"
      "caught_up_seconds is from the first reconnect until all have everything published before it "
      "and were told that\n"
      "they caught up. publish_storm_.. is the publish latency meanwhile, and for a second at "
      "least.\n\n"
      "Examples:\n"
      "  tidegate bench storm --server-pid $(pidof tidegated)\n"
      "  tidegate bench storm --missed 5000 --after 10s -o json");
  command->callback([&context, options] {
    context.run = [&context, options] { return Storm(context, *options).run(); };
  });
}

}  // namespace tidegate
