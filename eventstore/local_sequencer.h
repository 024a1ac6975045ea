#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "eventstore/base/clock.h"
#include "eventstore/cursors.h"
#include "eventstore/dedupe.h"
#include "eventstore/sequencer.h"
#include "eventstore/storage.h"
#include "eventstore/stream_table.h"
#include "eventstore/tail.h"

namespace tidegate {

class DiskSpace;
class HeadFile;
class StoreProbe;
class StreamIndex;

// The embedded sequencer: one appender thread that commits requests in groups.
//
//   take all that is queued -> judge and number each request -> one WriteBatch -> sync -> HEAD ->
//   tail -> wake loops -> cursors' answers -> answers
//
// So a subscriber may have an event before its publisher has the answer, and both come after the
// sync.
//
// No timer: while a group is being synced the next one forms, and a lone request is committed at
// once. Cursor acknowledgements ride along, or are written alone after a second. A group of
// `buffered` requests alone is answered before its sync, which comes with the next group or after
// 20 ms; only then are its events visible.
//
// After a failed write or sync nothing is known of the group: `on_fatal` is called, and no answer
// is given any more. Thread: any (internally synchronised).
class LocalSequencer final : public Sequencer {
 public:
  struct Options {
    LogId log;
    std::size_t queue_bytes_max = 0;
    std::int64_t last_time_us = 0;  // append time of the newest event
    bool unsafe_answer_before_sync = false;
    std::function<void()> head_moved;
    // The tail cannot go on before the index has caught up: somebody must see to it now.
    std::function<void()> want_index;
    std::function<void(const std::string& reason)> on_fatal;
  };
  struct Parts {
    Storage& storage;
    Tail& tail;
    StreamIndex& index;
    Cursors& cursors;
    HeadFile& head_file;
    DiskSpace& disk_space;
    DedupeWindow& dedupe;  // handed over: the appender thread's from now on
    Clock& clock;
    StoreProbe& probe;
  };
  LocalSequencer(Options options, Parts parts);
  ~LocalSequencer() override;

  Status append(AppendRequest& request) override;
  void when_room(std::function<void()> ready) override;
  std::size_t queued_bytes() const override {
    return queued_bytes_.load(std::memory_order_relaxed);
  }
  void stop() override;

  // The index has advanced: the appender may be waiting for it.
  void index_advanced();
  // The log cannot be trusted any more: tells `on_fatal`, and nothing is answered after it.
  void fail(const Error& error);
  bool has_failed() const { return failed_; }

 private:
  struct Queued {
    AppendRequest request;
    std::size_t bytes = 0;
    std::int64_t queued_ms = 0;
  };
  struct Outcome {
    AppendDone done;
    Result<AppendResult> result;
  };
  // What is decided but not yet durable.
  struct End {
    Sequence sequence = 0;
    Chain chain = 0;
    std::int64_t time_us = 0;
  };
  // One turn of the appender.
  struct Group {
    std::vector<Queued> requests;
    std::vector<Outcome> outcomes;
    std::size_t events = 0;
    std::size_t bytes = 0;
    bool needs_sync = false;
  };
  // A new event's key, kept between judging and numbering.
  struct Judged {
    DedupeWindow::Key key;
    std::string_view type;
    std::uint64_t content = 0;
    std::optional<DedupeWindow::Known> known;
    std::size_t same_as =
        0;  // an earlier event of this request with the same key, or its own index
  };

  void run();
  bool take_group(Group& group);
  std::vector<std::function<void()>> take_room_waiters();
  void commit(Group& group);
  bool refuse_when_disk_is_low(Group& group);
  // Judges a request and gives its events their places. When all of them are known it is a repeat
  // of one that has succeeded: it gets the same places, and its checks are not judged again.
  void number(Queued& queued, Group& group);
  // kDuplicateId when a known key comes with other content, also within the request.
  Result<std::vector<Judged>> judge_duplicates(const AppendRequest& request) const;
  // Of a request with at least one event that is not known. The streams count as they are now, with
  // the request's own known events: a partly known request may fail on what it appended before.
  // When it holds, only the events that are not known are appended.
  Status judge_checks(const AppendRequest& request);
  Result<AppendResult> number_events(const AppendRequest& request,
                                     const std::vector<Judged>& judged, Group& group);
  Result<Appended> append_event(const NewEvent& event, const Judged& judged, Group& group);
  bool write(Group& group, std::vector<Cursors::PendingWrite>& cursor_writes);
  void answer(Group& group);
  void wait_for_index();

  const Options options_;
  Parts parts_;

  // Appender thread only.
  StreamTable streams_;
  End end_;
  StorageBatch batch_;
  std::string value_;
  bool unsynced_ = false;
  std::int64_t unsynced_since_ms_ = 0;
  std::int64_t cursors_since_ms_ = 0;

  std::mutex mutex_;
  std::condition_variable wake_;
  // Under mutex_.
  std::deque<Queued> queue_;
  std::vector<std::function<void()>> room_waiters_;
  bool stopping_ = false;
  bool cursors_pending_ = false;

  std::atomic<std::size_t> queued_bytes_{0};
  std::atomic<bool> failed_{false};
  std::thread thread_;
};

}  // namespace tidegate
