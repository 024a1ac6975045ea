#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "eventstore/append.h"
#include "eventstore/base/clock.h"
#include "eventstore/base/result.h"
#include "eventstore/cursors.h"
#include "eventstore/derived_rows.h"
#include "eventstore/filter.h"
#include "eventstore/history.h"
#include "eventstore/reader.h"
#include "eventstore/tail.h"
#include "eventstore/types.h"

namespace rocksdb {
class FileSystem;
}

namespace tidegate {

struct NamedStream;

// What the store tells its observer: verbs without names of metrics.
// Thread: any (internally synchronised by the implementation); called on the store's threads.
class StoreProbe {
 public:
  virtual ~StoreProbe() = default;
  // A group of requests is on disk. Times in microseconds.
  virtual void group_committed(std::size_t /*events*/, std::size_t /*bytes*/,
                               std::int64_t /*queued_us*/, std::int64_t /*commit_us*/) {}
  virtual void request_refused(Code /*code*/) {}
  virtual void events_deduplicated(std::size_t /*count*/) {}
  virtual void chunk_loaded(bool /*from_cache*/) {}
};

struct StoreOptions {
  std::string dir;
  std::size_t tail_bytes_max = std::size_t{256} << 20;
  std::size_t ingest_queue_bytes_max = std::size_t{64} << 20;
  std::size_t chunk_cache_bytes_max = std::size_t{128} << 20;
  std::size_t dedupe_events = std::size_t{1} << 20;
  unsigned replay_threads = 1;
  // Below the soft watermark publishes are refused, below the hard floor cursor acknowledgements
  // too.
  std::uint64_t disk_soft_bytes = std::uint64_t{1} << 30;
  std::uint64_t disk_hard_bytes = std::uint64_t{512} << 20;
  std::uint64_t ballast_bytes = std::uint64_t{64} << 20;

  // Seams. Null: the real thing.
  std::shared_ptr<rocksdb::FileSystem> file_system;
  Clock* clock = nullptr;
  StoreProbe* probe = nullptr;
  // Free bytes of the file system that holds `dir`.
  std::function<std::uint64_t(const std::string& dir)> free_bytes;
  // Called once when the log can no longer be trusted (fsync or WAL error); must not return to the
  // store. Default: log the reason, then _Exit(74) without destructors.
  std::function<void(const std::string& reason)> on_fatal;
  // For the test of the tests only: a store that answers before it syncs.
  bool unsafe_answer_before_sync = false;
};

struct LogInfo {
  LogId log;
  Position head;
  Sequence floor = 1;
  std::vector<Branch> lineage;  // oldest first, the current one last
  std::uint64_t bytes = 0;      // on disk
};

struct StreamInfo {
  std::string name;
  Revision first_revision = 0;
  Revision last_revision = 0;
  Sequence last_sequence = 0;
  std::optional<std::int64_t> last_time_us;
};

struct VerifyProgress {
  std::uint64_t examined = 0;
  std::uint64_t total = 0;
};

struct VerifyReport {
  std::uint64_t examined = 0;
  std::uint64_t problem_count = 0;
  std::vector<std::string> problems;  // the first 100
  bool is_clean() const { return problem_count == 0; }
};

struct StoreStatus {
  std::size_t ingest_queue_bytes = 0;
  std::size_t tail_bytes = 0;
  std::uint64_t disk_free_bytes = 0;
  bool disk_low = false;         // publishing is refused
  bool cursors_refused = false;  // below the hard floor
  Sequence indexed = 0;
};

// The log: append, read, index, cursors, trim, verify. Start here; eventstore/README.md gives the
// reading order.
//
// Threads of its own: one appender, one for upkeep, `replay_threads` read threads. The destructor
// answers what is queued, flushes and joins them; no callback comes after it. Thread: any
// (internally synchronised).
class EventStore {
 public:
  // Opens or creates the log in `options.dir`, by the sequence of docs/storage-format.md. An error
  // leaves every file as it was; `exit_code` is what a program should end with (65, 73, 74, 75,
  // 78).
  struct OpenError {
    Error error;
    int exit_code = 1;
  };
  static std::variant<std::unique_ptr<EventStore>, OpenError> open(StoreOptions options);
  ~EventStore();
  EventStore(const EventStore&) = delete;
  EventStore& operator=(const EventStore&) = delete;

  // Queues a request for the appender. On success `request` is moved from and `request.done` will
  // be called once; only a fatal disk error keeps it from being called at all. Refusals for want of
  // capacity (kOverloaded, kDiskLow, kDraining) come back at once, leave `request` as it is and
  // call nothing.
  Status append(AppendRequest& request);
  // Calls `ready` once: on this thread, before it returns, when the queue is empty or takes nothing
  // any more; otherwise on the appender thread, after a group, when half of the queue is free. It
  // promises nothing: the next `append` may be refused again.
  void when_room(std::function<void()> ready);

  // Calls `moved` on the appender thread after each move of the head: once per synced group,
  // however many events it has, when the tail shows the new head and before the publishers'
  // answers. It must only wake somebody. It ends with the returned handle; a call may be under way
  // at that moment.
  std::shared_ptr<void> on_head_moved(std::function<void()> moved);

  const Tail& tail() const;
  const Reader& reader() const;
  Cursors& cursors();
  // For the engine of projections, which must end before the store does.
  DerivedRows& derived_rows();
  LogId log_id() const;
  Sequence floor() const;

  // Runs `read` on a read thread, in turn. False when the bounded queue (100,000) is full.
  bool post_read(std::function<void()> read);

  // (disk) The following may block.
  Result<LogInfo> log_info() const;
  Result<StreamInfo> stream_info(std::string_view name) const;  // kNotFound
  Result<std::vector<StreamInfo>> list_streams(std::string_view prefix, std::string_view after_name,
                                               std::size_t limit) const;
  // `before` becomes the floor, as far as the flushed index and the flushed rows of projections
  // allow; returns the floor that holds afterwards.
  Result<Sequence> trim(Sequence before);
  // Reads everything; `progress` is called now and then and returns false to stop.
  Result<VerifyReport> verify(const std::function<bool(const VerifyProgress&)>& progress) const;

  StoreStatus status() const;
  // Waits until the index covers the present head.
  void wait_for_index() const;

 private:
  Result<StreamInfo> describe_stream(const NamedStream& stream) const;

  struct Parts;
  explicit EventStore(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

// `tidegate log accept-loss`: keeps the readable prefix of a damaged log under a new log id. Nobody
// else may have the directory open. Returns what is left.
struct AcceptedLoss {
  LogId parent;
  LogId log;
  Sequence fork = 0;
  Sequence acknowledged_head = 0;  // what HEAD said
  std::uint64_t cursors_moved = 0;
  // Tables were damaged, and with them cursors that nobody can name any more.
  bool cursors_lost = false;
  // The same of streams whose events are all trimmed: their revisions begin anew.
  bool streams_lost = false;
  // The same of definitions of projections. Rows are folded anew and never lost.
  bool projections_lost = false;
};
std::variant<AcceptedLoss, EventStore::OpenError> accept_loss(StoreOptions options);

// `tidegate log verify|info --data`: opens read-only, changes no file.
std::variant<VerifyReport, EventStore::OpenError> verify_offline(
    const StoreOptions& options, const std::function<bool(const VerifyProgress&)>& progress);
std::variant<LogInfo, EventStore::OpenError> log_info_offline(const StoreOptions& options);

}  // namespace tidegate
