#include "gateway/ops/metrics.h"

#include <array>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include "eventstore/base/guarded.h"
#include "eventstore/base/string_map.h"
#include "gateway/ops/memory_guard.h"

namespace tidegate {
namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;

using Buckets = Histogram::BucketBoundaries;

// A commit is one fsync: tens of microseconds on a fast disk, tens of milliseconds on a slow one.
const Buckets& append_buckets() {
  static const Buckets kBuckets = {0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01,
                                   0.025,   0.05,   0.1,     0.25,   0.5,   1,      2.5,   5};
  return kBuckets;
}
const Buckets& batch_buckets() {
  static const Buckets kBuckets = {1,   2,   5,    10,   25,   50,    100,
                                   250, 500, 1000, 2500, 5000, 10000, 50000};
  return kBuckets;
}
const Buckets& duration_buckets() {
  static const Buckets kBuckets = {1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600};
  return kBuckets;
}
const Buckets& lag_buckets() {
  static const Buckets kBuckets = {0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                   0.05,   0.1,    0.25,  0.5,    1,     2.5};
  return kBuckets;
}

constexpr double kMicros = 1e-6;
constexpr double kMillis = 1e-3;

std::string_view source_name(ResumeSource source) {
  switch (source) {
    case ResumeSource::kTail:
      return "tail";
    case ResumeSource::kLog:
      return "log";
    case ResumeSource::kGap:
      return "gap";
    case ResumeSource::kReset:
      return "reset";
  }
  return "unknown";
}

// More than an engine has, since those that were removed stay until the next scrape.
constexpr std::size_t kProjectionSeriesMax = 1024;

}  // namespace

struct Metrics::Impl {
  explicit Impl(const std::string& version) {
    // A series exists from the start, so that its first increase is seen.
    for (const ResumeSource source :
         {ResumeSource::kTail, ResumeSource::kLog, ResumeSource::kGap, ResumeSource::kReset}) {
      resumes[static_cast<std::size_t>(source)] =
          &resumes_total.Add({{"result", std::string(source_name(source))}});
    }
    gauges("tidegate_build_info", "Always 1; the labels say what runs.")
        .Add({{"version", version}, {"compiler", __VERSION__}})
        .Set(1);
    for (const char* transport : {"websocket", "grpc"}) {
      connections.Add({{"transport", transport}});
      opened.Add({{"transport", transport}});
      durations.Add({{"transport", transport}}, duration_buckets());
    }
  }

  prometheus::Family<Counter>& counters(const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
  }
  prometheus::Family<Gauge>& gauges(const char* name, const char* help) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
  }
  prometheus::Family<Histogram>& histograms(const char* name, const char* help) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
  }

  struct ProjectionSeries {
    Counter* events = nullptr;
    Gauge* behind = nullptr;
    Gauge* running = nullptr;
    bool is_known = true;  // to the engine, at this scrape
  };
  using AllProjections = StringMap<ProjectionSeries>;
  // Null when there are too many.
  ProjectionSeries* find_projection(AllProjections& all, std::string_view name);
  void scrape(const Engine& engine);

  prometheus::Registry registry;

  // Connections.
  prometheus::Family<Gauge>& connections = gauges("tidegate_connections", "Open sessions.");
  prometheus::Family<Counter>& opened =
      counters("tidegate_connections_opened_total", "Sessions begun.");
  prometheus::Family<Counter>& closed =
      counters("tidegate_connections_closed_total", "Sessions ended, by reason.");
  prometheus::Family<Counter>& refused =
      counters("tidegate_connections_refused_total", "HTTP requests refused, by status.");
  prometheus::Family<Histogram>& durations =
      histograms("tidegate_connection_duration_seconds", "How long sessions lasted.");
  prometheus::Family<Counter>& heartbeats =
      counters("tidegate_heartbeat_failures_total", "Peers given up, by cause.");
  Counter& no_pong = heartbeats.Add({{"cause", "no_pong"}});
  Counter& no_progress = heartbeats.Add({{"cause", "no_progress"}});
  prometheus::Family<Histogram>& lags =
      histograms("tidegate_loop_lag_seconds", "How late the timer of an I/O loop came.");

  // Calls.
  prometheus::Family<Counter>& calls =
      counters("tidegate_grpc_calls_total", "gRPC calls ended, by method and status.");

  // Delivery.
  Counter& received = counters("tidegate_messages_received_total", "Messages of clients.").Add({});
  Counter& received_bytes =
      counters("tidegate_received_bytes_total", "Bytes of these messages.").Add({});
  Counter& sent = counters("tidegate_messages_sent_total", "Messages to clients.").Add({});
  Counter& sent_bytes = counters("tidegate_sent_bytes_total", "Bytes of these messages.").Add({});
  Counter& delivered =
      counters("tidegate_events_delivered_total", "Events in these messages.").Add({});
  prometheus::Family<Counter>& resumes_total =
      counters("tidegate_resumes_total",
               "Subscriptions that began at a known position, by what answered them.");
  std::array<Counter*, 4> resumes = {};
  Gauge& subscriptions = gauges("tidegate_subscriptions", "Open subscriptions.").Add({});
  Gauge& behind =
      gauges("tidegate_subscribers_behind", "Subscriptions that read below the live edge.").Add({});
  Gauge& watches = gauges("tidegate_watches", "Open watches of sessions.").Add({});
  prometheus::Family<Counter>& errors =
      counters("tidegate_errors_sent_total", "Errors told to clients, by code.");

  // The log.
  prometheus::Family<Histogram>& append_duration =
      histograms("tidegate_append_duration_seconds",
                 "Of a group: longest wait in the queue, and write with fsync.");
  Histogram& queued = append_duration.Add({{"stage", "queue"}}, append_buckets());
  Histogram& committed = append_duration.Add({{"stage", "commit"}}, append_buckets());
  Histogram& batch =
      histograms("tidegate_append_batch_events", "Events that one fsync made durable.")
          .Add({}, batch_buckets());
  Counter& appended = counters("tidegate_events_appended_total", "Events made durable.").Add({});
  Counter& appended_bytes =
      counters("tidegate_appended_bytes_total", "Bytes of these events.").Add({});
  Counter& deduplicated =
      counters("tidegate_appends_deduplicated_total", "Events that were known already.").Add({});
  prometheus::Family<Counter>& append_failures =
      counters("tidegate_append_failures_total", "Publish requests refused, by code.");
  prometheus::Family<Counter>& chunks =
      counters("tidegate_chunk_reads_total", "Reads below the tail, by what answered them.");
  Counter& chunks_cached = chunks.Add({{"from", "cache"}});
  Counter& chunks_disk = chunks.Add({{"from", "disk"}});

  // Projections: a series for each that there is.
  prometheus::Family<Counter>& folded =
      counters("tidegate_projection_events_total", "Matching events folded, by projection.");
  prometheus::Family<Gauge>& projections_behind =
      gauges("tidegate_projection_behind", "Events of the log that it has not looked at.");
  prometheus::Family<Gauge>& projections_running =
      gauges("tidegate_projection_running", "0 while it is paused or a version has failed.");
  Guarded<AllProjections> projections;

  // Keys and certificates.
  prometheus::Family<Gauge>& certificate_expiry =
      gauges("tidegate_tls_certificate_expiry_seconds", "When the certificate ends, Unix time.");
  Counter& reload_failures =
      counters("tidegate_reload_failures_total", "Files that SIGHUP found unusable.").Add({});

  // Asked of the store when scraped.
  Gauge& queue_bytes =
      gauges("tidegate_ingest_queue_bytes", "Bytes that wait for the appender.").Add({});
  Gauge& head = gauges("tidegate_log_head_sequence", "Last durable sequence.").Add({});
  Gauge& floor = gauges("tidegate_log_floor_sequence", "Lowest sequence still held.").Add({});
  Gauge& indexed =
      gauges("tidegate_log_indexed_sequence", "Last sequence in the stream index.").Add({});
  Gauge& tail_bytes = gauges("tidegate_tail_bytes", "Memory of the tail.").Add({});
  Gauge& tail_first = gauges("tidegate_tail_first_sequence", "Lowest sequence in memory.").Add({});
  Gauge& resident = gauges("tidegate_resident_bytes", "Memory of the process (RSS).").Add({});
  Gauge& disk_free = gauges("tidegate_disk_free_bytes", "Free space where the log is.").Add({});
  Gauge& disk_low =
      gauges("tidegate_disk_low", "1 while publishes are refused for want of space.").Add({});
};

Metrics::Impl::ProjectionSeries* Metrics::Impl::find_projection(AllProjections& all,
                                                                std::string_view name) {
  if (const auto found = all.find(name); found != all.end()) return &found->second;
  if (all.size() >= kProjectionSeriesMax) return nullptr;
  const prometheus::Labels labels = {{"projection", std::string(name)}};
  ProjectionSeries made;
  made.events = &folded.Add(labels);
  made.behind = &projections_behind.Add(labels);
  made.running = &projections_running.Add(labels);
  return &all.emplace(std::string(name), made).first->second;
}

void Metrics::Impl::scrape(const Engine& engine) {
  const std::vector<ProjectionInfo> infos = engine.list();
  projections.with([&](AllProjections& all) {
    for (auto& [name, series] : all) series.is_known = false;
    for (const ProjectionInfo& info : infos) {
      ProjectionSeries* const series = find_projection(all, info.name);
      if (series == nullptr) continue;
      const VersionInfo* const live = info.live();
      const Sequence reached = live == nullptr ? 0 : live->checkpoint.position.sequence;
      bool is_running = !info.is_paused;
      for (const VersionInfo& version : info.versions) is_running = is_running && !version.failure;
      series->is_known = true;
      series->behind->Set(static_cast<double>(info.head > reached ? info.head - reached : 0));
      series->running->Set(is_running ? 1 : 0);
    }
    std::erase_if(all, [this](const auto& entry) {
      const ProjectionSeries& series = entry.second;
      if (series.is_known) return false;
      folded.Remove(series.events);
      projections_behind.Remove(series.behind);
      projections_running.Remove(series.running);
      return true;
    });
  });
}

Metrics::Metrics(const std::string& version) : impl_(std::make_unique<Impl>(version)) {}
Metrics::~Metrics() = default;

std::string Metrics::text(const EventStore& store, const Engine* projections) {
  if (projections != nullptr) impl_->scrape(*projections);
  const StoreStatus status = store.status();
  impl_->queue_bytes.Set(static_cast<double>(status.ingest_queue_bytes));
  impl_->head.Set(static_cast<double>(store.tail().head()));
  impl_->floor.Set(static_cast<double>(store.floor()));
  impl_->indexed.Set(static_cast<double>(status.indexed));
  impl_->tail_bytes.Set(static_cast<double>(status.tail_bytes));
  impl_->tail_first.Set(static_cast<double>(store.tail().first()));
  impl_->disk_free.Set(static_cast<double>(status.disk_free_bytes));
  impl_->disk_low.Set(status.disk_low ? 1 : 0);
  impl_->resident.Set(static_cast<double>(resident_bytes()));
  return prometheus::TextSerializer().Serialize(impl_->registry.Collect());
}

void Metrics::certificate_loaded(std::int64_t expires_s) {
  impl_->certificate_expiry.Add({}).Set(static_cast<double>(expires_s));
}
void Metrics::reload_failed() {
  impl_->reload_failures.Increment();
}

std::uint64_t Metrics::subscriptions() const {
  return static_cast<std::uint64_t>(impl_->subscriptions.Value());
}
std::uint64_t Metrics::subscribers_behind() const {
  return static_cast<std::uint64_t>(impl_->behind.Value());
}

void Metrics::group_committed(std::size_t events, std::size_t bytes, std::int64_t queued_us,
                              std::int64_t commit_us) {
  impl_->queued.Observe(static_cast<double>(queued_us) * kMicros);
  impl_->committed.Observe(static_cast<double>(commit_us) * kMicros);
  impl_->batch.Observe(static_cast<double>(events));
  impl_->appended.Increment(static_cast<double>(events));
  impl_->appended_bytes.Increment(static_cast<double>(bytes));
}

void Metrics::request_refused(Code code) {
  impl_->append_failures.Add({{"code", std::string(code_info(code).name)}}).Increment();
}

void Metrics::events_deduplicated(std::size_t count) {
  impl_->deduplicated.Increment(static_cast<double>(count));
}

void Metrics::chunk_loaded(bool from_cache) {
  (from_cache ? impl_->chunks_cached : impl_->chunks_disk).Increment();
}

void Metrics::message_received(std::size_t bytes) {
  impl_->received.Increment();
  impl_->received_bytes.Increment(static_cast<double>(bytes));
}

void Metrics::message_sent(std::size_t bytes, std::size_t events) {
  impl_->sent.Increment();
  impl_->sent_bytes.Increment(static_cast<double>(bytes));
  if (events > 0) impl_->delivered.Increment(static_cast<double>(events));
}

void Metrics::subscription_resumed(ResumeSource source) {
  impl_->resumes[static_cast<std::size_t>(source)]->Increment();
}

void Metrics::subscriptions_changed(int by) {
  impl_->subscriptions.Increment(by);
}
void Metrics::behind_changed(int by) {
  impl_->behind.Increment(by);
}

void Metrics::watches_changed(int by) {
  impl_->watches.Increment(by);
}

void Metrics::error_sent(Code code) {
  impl_->errors.Add({{"code", std::string(code_info(code).name)}}).Increment();
}

void Metrics::connection_opened(std::string_view transport) {
  const prometheus::Labels labels = {{"transport", std::string(transport)}};
  impl_->connections.Add(labels).Increment();
  impl_->opened.Add(labels).Increment();
}

void Metrics::connection_closed(std::string_view transport, std::string_view reason,
                                std::int64_t duration_ms) {
  const std::string name(transport);
  impl_->connections.Add({{"transport", name}}).Decrement();
  impl_->closed.Add({{"transport", name}, {"reason", std::string(reason)}}).Increment();
  impl_->durations.Add({{"transport", name}}, duration_buckets())
      .Observe(static_cast<double>(duration_ms) * kMillis);
}

void Metrics::request_refused(int http_status) {
  impl_->refused.Add({{"status", fmt::format("{}", http_status)}}).Increment();
}

void Metrics::heartbeat_failed(HeartbeatFailure cause) {
  (cause == HeartbeatFailure::kNoPong ? impl_->no_pong : impl_->no_progress).Increment();
}

void Metrics::loop_lagged(unsigned loop, std::int64_t lag_us) {
  impl_->lags.Add({{"loop", fmt::format("{}", loop)}}, lag_buckets())
      .Observe(static_cast<double>(lag_us) * kMicros);
}

void Metrics::call_ended(std::string_view method, std::string_view status) {
  impl_->calls.Add({{"method", std::string(method)}, {"status", std::string(status)}}).Increment();
}

void Metrics::committed(std::string_view projection, std::size_t events, std::size_t /*rows*/,
                        std::int64_t /*commit_us*/) {
  impl_->projections.with([&](Impl::AllProjections& all) {
    if (Impl::ProjectionSeries* const series = impl_->find_projection(all, projection))
      series->events->Increment(static_cast<double>(events));
  });
}

}  // namespace tidegate
