#include "eventstore/event_store.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>

#include <fmt/format.h>

#include "eventstore/base/log.h"
#include "eventstore/chunk_cache.h"
#include "eventstore/dedupe.h"
#include "eventstore/disk_space.h"
#include "eventstore/keys.h"
#include "eventstore/local_sequencer.h"
#include "eventstore/open.h"
#include "eventstore/read_pool.h"
#include "eventstore/record.h"
#include "eventstore/stream_index.h"
#include "eventstore/verify.h"

namespace tidegate {
namespace {

// The index waits for this much before it writes: fewer, longer runs. A tenth of a second old, it
// writes what there is.
constexpr Sequence kIndexStepEvents = 16'384;
constexpr std::int64_t kIndexStepMs = 100;
// How far its file may be behind (docs/storage-format.md).
constexpr Sequence kIndexFlushEvents = 500'000;
constexpr std::int64_t kIndexFlushMs = 30'000;
constexpr std::int64_t kHeadSyncMs = 1000;
constexpr std::int64_t kSpaceCheckMs = 1000;
// Events per step while catching up from disk at a start.
constexpr Sequence kCatchUpEvents = 32'768;

[[noreturn]] void end_process(const std::string& reason) {
  log(LogLevel::kError, "the log can no longer be trusted: ending without a further answer",
      {{"reason", reason}});
  // No destructors: they would write. What is unanswered has an unknown outcome.
  std::_Exit(kExitIo);
}

StoreProbe& silent_probe() {
  static StoreProbe probe;
  return probe;
}

Clock& system_clock() {
  static SystemClock clock;
  return clock;
}

Status fill_dedupe(const Storage& storage, const History& history, const Head& head,
                   std::size_t events, DedupeWindow& dedupe) {
  const Sequence floor = history.floor().sequence;
  const Sequence first =
      head.sequence >= events ? std::max<Sequence>(floor, head.sequence - events + 1) : floor;
  const auto rows = storage.iterate(Family::kLog, {.lower = log_key(first), .sequential = true});
  for (rows->seek_to_first(); rows->is_valid(); rows->next()) {
    const Sequence sequence = read_big_endian(rows->key());
    auto record = decode_record(sequence, rows->value());
    if (!record) return std::move(record).error();
    const EventHead event = scan_event(record->event);
    const auto key = DedupeWindow::key_of(record->stream, event.source, event.id);
    // A key can come again once it had left the window: the older place is what a repeat is told.
    if (dedupe.find(key)) continue;
    dedupe.insert(key, {sequence, record->revision, DedupeWindow::content_of(record->event),
                        static_cast<std::uint32_t>(record->chain >> 32)});
  }
  return rows->status();
}

}  // namespace

// Members are made in this order and end in the reverse one: whoever uses another comes after it.
struct EventStore::Parts {
  StoreOptions options;
  OpenedLog log;
  DerivedRows derived_rows;
  DiskSpace disk_space;
  Tail tail;
  ChunkCache chunks;
  StreamIndex index;
  Reader reader;
  Cursors cursors;
  DedupeWindow dedupe;
  // Who wants to hear of the head; weak, so that a dropped handle ends it.
  Guarded<std::vector<std::weak_ptr<std::function<void()>>>> listeners;
  std::unique_ptr<LocalSequencer> sequencer;
  std::unique_ptr<ReadPool> read_pool;

  std::mutex upkeep_mutex;
  std::condition_variable upkeep_wake;
  std::condition_variable index_moved;
  // Under upkeep_mutex.
  bool stopping = false;
  bool index_wanted = false;  // somebody waits for it: do not wait for the interval
  std::mutex trim_mutex;      // one trim at a time
  std::mutex index_mutex;     // apply and flush, by upkeep or a trim
  std::thread upkeep;

  Parts(StoreOptions store_options, OpenedLog opened)
      : options(std::move(store_options)),
        log(std::move(opened)),
        derived_rows(*log.storage),
        disk_space({options.dir, options.disk_soft_bytes, options.disk_hard_bytes,
                    options.file_system ? 0 : options.ballast_bytes,
                    [this](const std::string&) { return free_bytes_of(options); }}),
        tail(options.tail_bytes_max, log.head),
        chunks(options.chunk_cache_bytes_max,
               [this](std::uint64_t chunk) { return load_chunk(chunk); }),
        index(*log.storage),
        reader(*log.storage, tail, chunks, index, *log.history),
        cursors(*log.storage, *options.clock),
        dedupe(options.dedupe_events) {}

  Result<SegmentRef> load_chunk(std::uint64_t chunk) const {
    return read_segment(*log.storage, ChunkCache::first_of(chunk), ChunkCache::last_of(chunk));
  }

  Status prepare();
  void start();
  void stop();
  void head_moved();
  void want_index();
  void run_upkeep();
  void do_upkeep(std::int64_t now_ms, bool index_now);
  Status index_step(Sequence until);
  Status flush_index();

  // Upkeep thread only.
  std::int64_t indexed_ms = 0;
  std::int64_t flushed_ms = 0;
  std::int64_t head_synced_ms = 0;
  std::int64_t space_checked_ms = 0;
};

// What must be true before anybody may use the store: the index covers the log, and the window
// knows the newest events.
Status EventStore::Parts::prepare() {
  log.storage->set_floor(log.history->floor().sequence);
  auto opened = index.open();
  if (!opened) return opened;
  if (index.indexed() > log.head.sequence) {
    return Error{Code::kDataLoss, fmt::format("the index covers event {}, but the log ends at {}",
                                              index.indexed(), log.head.sequence)};
  }
  while (index.indexed() < log.head.sequence) {
    auto step = index_step(log.head.sequence);
    if (!step) return step;
  }
  return fill_dedupe(*log.storage, *log.history, log.head, options.dedupe_events, dedupe);
}

void EventStore::Parts::start() {
  LocalSequencer::Options sequencing;
  sequencing.log = log.history->log_id();
  sequencing.queue_bytes_max = options.ingest_queue_bytes_max;
  sequencing.last_time_us = log.last_time_us;
  sequencing.unsafe_answer_before_sync = options.unsafe_answer_before_sync;
  sequencing.head_moved = [this] { head_moved(); };
  sequencing.want_index = [this] { want_index(); };
  sequencing.on_fatal = options.on_fatal;
  sequencer = std::make_unique<LocalSequencer>(
      std::move(sequencing),
      LocalSequencer::Parts{*log.storage, tail, index, cursors, *log.head_file, disk_space, dedupe,
                            *options.clock, *options.probe});
  log.storage->on_write_failed([this](const Error& error) { sequencer->fail(error); });
  read_pool = std::make_unique<ReadPool>(options.replay_threads);
  upkeep = std::thread([this] { run_upkeep(); });
}

void EventStore::Parts::stop() {
  if (sequencer) sequencer->stop();
  if (read_pool) read_pool->stop();
  {
    const std::lock_guard lock(upkeep_mutex);
    stopping = true;
  }
  upkeep_wake.notify_all();
  if (upkeep.joinable()) upkeep.join();
}

void EventStore::Parts::head_moved() {
  std::vector<std::shared_ptr<std::function<void()>>> alive;
  listeners.with([&](auto& all) {
    std::erase_if(all, [](const auto& listener) { return listener.expired(); });
    for (const auto& listener : all) {
      if (auto held = listener.lock()) alive.push_back(std::move(held));
    }
  });
  for (const auto& listener : alive) (*listener)();
  if (tail.head() - index.indexed() >= kIndexStepEvents) want_index();
}

void EventStore::Parts::want_index() {
  {
    const std::lock_guard lock(upkeep_mutex);
    index_wanted = true;
  }
  upkeep_wake.notify_one();
}

// Takes the next events into the index, from memory or disk.
Status EventStore::Parts::index_step(Sequence until) {
  const std::lock_guard lock(index_mutex);
  const Sequence start = index.indexed();
  if (start >= until) return {};
  SegmentRef segment = tail.find(start + 1);
  if (!segment) {
    auto read = read_segment(*log.storage, start + 1, std::min(until, start + kCatchUpEvents));
    if (!read) return std::move(read).error();
    segment = *std::move(read);
  }
  auto applied = index.apply(*segment, until);
  if (!applied) return applied;
  index_moved.notify_all();
  if (sequencer) sequencer->index_advanced();
  return {};
}

Status EventStore::Parts::flush_index() {
  const std::lock_guard lock(index_mutex);
  return index.flush();
}

void EventStore::Parts::run_upkeep() {
  // Not at once: a flush begins another log file, for nothing while there is little to flush.
  flushed_ms = options.clock->steady_ms();
  std::unique_lock lock(upkeep_mutex);
  while (!stopping) {
    upkeep_wake.wait_for(lock, std::chrono::milliseconds(kIndexStepMs),
                         [this] { return stopping || index_wanted; });
    const bool index_now = std::exchange(index_wanted, false);
    lock.unlock();
    do_upkeep(options.clock->steady_ms(), index_now);
    lock.lock();
  }
  lock.unlock();
  // Leave everything so that the next start has nothing to catch up on.
  do_upkeep(INT64_MAX, true);
}

// What is not on the path of acknowledgement: the index, HEAD's sync, the watch on the disk.
void EventStore::Parts::do_upkeep(std::int64_t now_ms, bool index_now) {
  const auto is_due = [now_ms](std::int64_t& last_ms, std::int64_t every_ms) {
    if (now_ms != INT64_MAX && now_ms - last_ms < every_ms) return false;
    last_ms = now_ms;
    return true;
  };
  Status status;
  const Sequence head = tail.head();
  if (index_now || is_due(indexed_ms, kIndexStepMs)) {
    while (status && index.indexed() < head) status = index_step(head);
  }
  const Sequence unflushed = index.indexed() - index.flushed();
  if (status && unflushed > 0 &&
      (unflushed >= kIndexFlushEvents || is_due(flushed_ms, kIndexFlushMs))) {
    status = flush_index();
  }
  if (status && is_due(head_synced_ms, kHeadSyncMs)) status = log.head_file->sync();
  if (!status) sequencer->fail(status.error());
  if (is_due(space_checked_ms, kSpaceCheckMs)) {
    disk_space.refresh();
    disk_space.keep_ballast();
  }
}

std::variant<std::unique_ptr<EventStore>, EventStore::OpenError> EventStore::open(
    StoreOptions options) {
  if (options.clock == nullptr) options.clock = &system_clock();
  if (options.probe == nullptr) options.probe = &silent_probe();
  if (!options.on_fatal) options.on_fatal = end_process;
  // The appender and upkeep may both meet the failure; it is told once.
  options.on_fatal = [tell = std::move(options.on_fatal),
                      told = std::make_shared<std::atomic_flag>()](const std::string& reason) {
    if (!told->test_and_set()) tell(reason);
  };
  const std::string dir = options.dir;
  auto opened = open_log(options, options.clock->wall_us());
  if (auto* error = std::get_if<OpenError>(&opened)) return std::move(*error);
  auto parts = std::make_unique<Parts>(std::move(options), std::get<OpenedLog>(std::move(opened)));
  auto prepared = parts->prepare();
  if (!prepared) {
    Error error = std::move(prepared).error();
    if (error.code != Code::kDataLoss) return OpenError{std::move(error), kExitIo};
    error.message += ". Restore the directory or a backup; " + way_out(dir);
    return OpenError{std::move(error), kExitData};
  }
  parts->start();
  return std::unique_ptr<EventStore>(new EventStore(std::move(parts)));
}

EventStore::EventStore(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
EventStore::~EventStore() {
  parts_->stop();
}

Status EventStore::append(AppendRequest& request) {
  return parts_->sequencer->append(request);
}
void EventStore::when_room(std::function<void()> ready) {
  parts_->sequencer->when_room(std::move(ready));
}

std::shared_ptr<void> EventStore::on_head_moved(std::function<void()> moved) {
  auto listener = std::make_shared<std::function<void()>>(std::move(moved));
  parts_->listeners.with([&](auto& all) { all.push_back(listener); });
  return listener;
}

const Tail& EventStore::tail() const {
  return parts_->tail;
}
const Reader& EventStore::reader() const {
  return parts_->reader;
}
Cursors& EventStore::cursors() {
  return parts_->cursors;
}
DerivedRows& EventStore::derived_rows() {
  return parts_->derived_rows;
}
LogId EventStore::log_id() const {
  return parts_->log.history->log_id();
}
Sequence EventStore::floor() const {
  return parts_->log.history->floor().sequence;
}
bool EventStore::post_read(std::function<void()> read) {
  return parts_->read_pool->post(std::move(read));
}

Result<LogInfo> EventStore::log_info() const {
  const Head head = parts_->tail.durable_head();
  return LogInfo{log_id(), Position::at(log_id(), head.sequence, head.chain), floor(),
                 parts_->log.history->lineage(), parts_->log.storage->bytes_on_disk()};
}

Result<StreamInfo> EventStore::stream_info(std::string_view name) const {
  wait_for_index();
  auto entry = parts_->index.find(name);
  if (!entry) return std::move(entry).error();
  if (!entry->has_value())
    return Error{Code::kNotFound, fmt::format("there is no stream '{}'", name)};
  return describe_stream({std::string(name), **entry});
}

Result<std::vector<StreamInfo>> EventStore::list_streams(std::string_view prefix,
                                                         std::string_view after_name,
                                                         std::size_t limit) const {
  wait_for_index();
  auto streams = parts_->index.list(prefix, after_name, limit);
  if (!streams) return std::move(streams).error();
  std::vector<StreamInfo> described;
  for (const NamedStream& stream : *streams) {
    auto info = describe_stream(stream);
    if (!info) return std::move(info).error();
    described.push_back(*std::move(info));
  }
  return described;
}

Result<StreamInfo> EventStore::describe_stream(const NamedStream& stream) const {
  const Storage& storage = *parts_->log.storage;
  const Sequence floor_sequence = floor();
  StreamInfo info{stream.name,
                  stream.entry.first_revision,
                  stream.entry.last_revision,
                  stream.entry.last_sequence,
                  {}};
  if (stream.entry.last_sequence < floor_sequence) {
    info.first_revision = info.last_revision + 1;
    return info;
  }
  auto last = storage.get(Family::kLog, log_key(stream.entry.last_sequence));
  if (!last) return std::move(last).error();
  if (last->has_value()) {
    auto record = decode_record(stream.entry.last_sequence, **last);
    if (!record) return std::move(record).error();
    info.last_time_us = record->append_time_us;
  }
  auto first =
      parts_->index.sequences_after(stream.name, floor_sequence - 1, parts_->tail.head(), 1);
  if (!first) return std::move(first).error();
  if (first->empty()) return info;
  auto held = storage.get(Family::kLog, log_key(first->front()));
  if (!held) return std::move(held).error();
  if (held->has_value()) {
    auto record = decode_record(first->front(), **held);
    if (!record) return std::move(record).error();
    info.first_revision = record->revision;
  }
  return info;
}

Result<Sequence> EventStore::trim(Sequence before) {
  const std::lock_guard lock(parts_->trim_mutex);
  const Sequence current = floor();
  if (before <= current) return current;
  const Sequence wanted = std::min(before, parts_->tail.head() + 1);
  // Below the floor the index is all that is known: it must be on disk first.
  wait_for_index();
  auto flushed = parts_->flush_index();
  if (!flushed) return std::move(flushed).error();
  // So must the rows that the events are folded into.
  auto rows = parts_->derived_rows.floor_max();
  if (!rows) return std::move(rows).error();
  Floor next{std::min({wanted, parts_->index.flushed() + 1, *rows}), 0, 0};
  if (next.sequence <= current) return current;
  auto value = parts_->log.storage->get(Family::kLog, log_key(next.sequence - 1));
  if (!value) return std::move(value).error();
  if (!value->has_value())
    return Error{Code::kDataLoss, fmt::format("event {} is missing", next.sequence - 1)};
  auto record = decode_record(next.sequence - 1, **value);
  if (!record) return std::move(record).error();
  next.chain_before = record->chain;
  next.time_before_us = record->append_time_us;
  StorageBatch batch(*parts_->log.storage);
  History::put_floor(batch, next);
  auto written = parts_->log.storage->write_synced(batch);
  if (!written) return std::move(written).error();
  parts_->log.history->set_floor(next);
  parts_->log.storage->set_floor(next.sequence);
  auto deleted = parts_->log.storage->delete_log_below(next.sequence);
  if (!deleted)
    log(LogLevel::kWarn, "trimmed, but the space is not free yet",
        {{"error", deleted.error().message}});
  log(LogLevel::kInfo, "log trimmed",
      {{"floor", next.sequence}, {"removed", next.sequence - current}});
  return next.sequence;
}

Result<VerifyReport> EventStore::verify(
    const std::function<bool(const VerifyProgress&)>& progress) const {
  return verify_log(*parts_->log.storage, *parts_->log.history, parts_->tail.durable_head(),
                    progress);
}

StoreStatus EventStore::status() const {
  StoreStatus status;
  status.ingest_queue_bytes = parts_->sequencer->queued_bytes();
  status.tail_bytes = parts_->tail.bytes();
  status.disk_free_bytes = parts_->disk_space.free_bytes();
  status.disk_low = !parts_->disk_space.allows_publishing();
  status.cursors_refused = !parts_->disk_space.allows_cursors();
  status.indexed = parts_->index.indexed();
  return status;
}

void EventStore::wait_for_index() const {
  const Sequence head = parts_->tail.head();
  std::unique_lock lock(parts_->upkeep_mutex);
  while (parts_->index.indexed() < head && !parts_->stopping && !parts_->sequencer->has_failed()) {
    parts_->index_wanted = true;
    parts_->upkeep_wake.notify_one();
    parts_->index_moved.wait_for(lock, std::chrono::milliseconds(10));
  }
}

std::variant<VerifyReport, EventStore::OpenError> verify_offline(
    const StoreOptions& options, const std::function<bool(const VerifyProgress&)>& progress) {
  auto opened = open_log_read_only(options);
  if (auto* error = std::get_if<EventStore::OpenError>(&opened)) return std::move(*error);
  const OpenedLog& log = std::get<OpenedLog>(opened);
  auto report = verify_log(*log.storage, *log.history, log.head, progress);
  if (!report) return EventStore::OpenError{report.error(), kExitData};
  return *std::move(report);
}

std::variant<LogInfo, EventStore::OpenError> log_info_offline(const StoreOptions& options) {
  auto opened = open_log_read_only(options);
  if (auto* error = std::get_if<EventStore::OpenError>(&opened)) return std::move(*error);
  const OpenedLog& log = std::get<OpenedLog>(opened);
  const LogId id = log.history->log_id();
  return LogInfo{id, Position::at(id, log.head.sequence, log.head.chain),
                 log.history->floor().sequence, log.history->lineage(),
                 log.storage->bytes_on_disk()};
}

}  // namespace tidegate
