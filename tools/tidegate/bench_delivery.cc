#include "tools/tidegate/bench_delivery.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "tools/tidegate/bench.h"
#include "tools/tidegate/bench_publisher.h"
#include "tools/tidegate/bench_report.h"
#include "tools/tidegate/command.h"
#include "tools/tidegate/interrupt.h"
#include "tools/tidegate/services.h"

namespace tidegate {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// No delivery, and no answer to a publish, for so long: none will come.
constexpr std::chrono::seconds kPatience{10};
constexpr milliseconds kLookEvery{100};
// Filling a log is not measured: large requests, and enough of them to never wait for the disk. A
// request of 512 of the smallest events is far below the gateway's limit of 4 MiB.
constexpr std::uint64_t kFillBatch = 512;
constexpr std::uint64_t kFillBatchBytes = 2 << 20;
constexpr std::uint64_t kFillBatches = 32;
// Less is over at once.
constexpr std::uint64_t kFillToMention = 500'000;
// A gateway is quiet that uses less than this share of a core while it is looked at.
constexpr double kQuietShare = 0.05;
constexpr milliseconds kQuietLook{200};
constexpr int kQuietLooksMax = 50;

}  // namespace

Result<Revision> last_revision(Client& client, const std::string& stream) {
  v1::GetStreamRequest request;
  request.set_name(stream);
  const auto answer = call(client, &v1::StreamService::Stub::GetStream, request);
  if (answer) return answer->stream().last_revision();
  if (answer.error().code == Code::kNotFound) return Revision{0};
  return answer.error();
}

Status fill(Client& client, std::vector<std::string> streams, std::uint64_t size,
            std::uint64_t events) {
  if (events == 0) return {};
  if (events >= kFillToMention) say(fmt::format("publishing {} events first", events));
  BenchPublisher::Options options;
  options.batch = std::clamp<std::uint64_t>(kFillBatchBytes / size, 1, kFillBatch);
  options.least = options.batch;
  options.window = options.batch * kFillBatches;
  options.events = events;
  BenchPublisher publisher(client, options,
                           BenchEvents(static_cast<std::size_t>(size), std::move(streams), 0), {});
  publisher.start();
  // A gateway that is gone ends the call, and one that is slow is waited for.
  while (!publisher.wait(kPatience)) continue;
  const PublisherResult& result = publisher.result();
  if (result.failed) return *result.failed;
  if (result.refused == 0) return {};
  return Error{Code::kUnavailable,
               fmt::format("{} events were refused: {}", result.refused, result.refusal)};
}

Status await_quiet(Context& context, std::uint64_t server_pid) {
  if (server_pid == 0) return {};
  const Interrupt::Guard guard(context.interrupt, [] {});
  for (int look = 0; look < kQuietLooksMax; ++look) {
    Result<LoadMeter> meter = LoadMeter::start(server_pid);
    if (!meter) return meter.error();
    if (!context.interrupt.sleep(kQuietLook)) break;
    if (Status stopped = meter->stop(); !stopped) return stopped;
    if (meter->server_seconds() < kQuietShare * meter->wall_seconds()) break;
  }
  return {};
}

LoadOptions load_options(const Client& client, const SubscriberOptions& options,
                         std::uint64_t subscribers, const std::string& stream, Revision first,
                         Revision end) {
  LoadOptions load;
  load.token = client.token();
  load.http = options.http;
  load.subscribers = subscribers;
  load.threads = options.threads;
  load.form = options.load_form();
  load.stream = stream;
  load.data_bytes = options.data_bytes();
  load.first = first;
  load.end = end;
  return load;
}

BenchPacer::BenchPacer(BenchPublisher& publisher, LoadClock clock)
    : publisher_(publisher), clock_(clock), thread_([this] { run(); }) {}

BenchPacer::~BenchPacer() {
  {
    const std::lock_guard lock(mutex_);
    is_stopped_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void BenchPacer::run() {
  std::uint64_t due = 0;
  std::unique_lock lock(mutex_);
  while (due < publisher_.events() && !is_stopped_) {
    changed_.wait_for(lock, clock_.until(publisher_.due_us(due)), [this] { return is_stopped_; });
    const std::int64_t now_us = clock_.now_us();
    while (due < publisher_.events() && publisher_.due_us(due) <= now_us) ++due;
    publisher_.permit(due);
  }
  is_done_.store(true, std::memory_order_release);
}

Status await_stage(Context& context, LoadClient& load, LoadStage stage, BenchPublisher* publisher,
                   const BenchPacer* pacer) {
  std::uint64_t seen = 0;
  auto progress = steady_clock::now();
  while (!context.interrupt.happened() && !(publisher != nullptr && publisher->has_failed())) {
    const Result<bool> reached = load.wait(stage, kLookEvery);
    if (!reached) return reached.error();
    if (*reached) return {};
    const bool is_publishing = pacer != nullptr && !pacer->is_done();
    const bool has_moved = std::exchange(seen, load.deliveries()) != load.deliveries();
    if (has_moved || is_publishing) progress = steady_clock::now();
    if (steady_clock::now() - progress > kPatience) return {};
  }
  return {};
}

Status end_publishing(BenchPublisher& publisher) {
  publisher.stop();
  if (!publisher.wait(kPatience)) {
    publisher.cancel();
    return Error{Code::kOutcomeUnknown, "the gateway does not answer what was published"};
  }
  if (publisher.result().failed) return *publisher.result().failed;
  return {};
}

}  // namespace tidegate
