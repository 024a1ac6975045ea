#include "eventstore/local_sequencer.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <absl/container/flat_hash_map.h>
#include <fmt/format.h>

#include "eventstore/base/log.h"
#include "eventstore/disk_space.h"
#include "eventstore/event_store.h"
#include "eventstore/head_file.h"
#include "eventstore/keys.h"
#include "eventstore/record.h"
#include "eventstore/stream_index.h"

namespace tidegate {
namespace {

// A group is one WriteBatch, which RocksDB copies into its log and its memory table: this bounds
// both.
constexpr std::size_t kGroupBytesMax = 8 << 20;
constexpr std::int64_t kBufferedSyncMs = 20;
constexpr std::int64_t kCursorWriteMs = 1000;
// Advice to a refused publisher: a full queue drains in a fraction of a second, a full disk does
// not.
constexpr std::uint32_t kRetryQueueMs = 100;
constexpr std::uint32_t kRetryDiskMs = 2000;

Error disk_low() {
  return {Code::kDiskLow,
          "disk space is low: publishing is refused until some is free; reading goes on",
          {},
          kRetryDiskMs};
}

std::string describe(const Check& check, Revision actual) {
  const std::string is = actual == 0 ? "has no event" : fmt::format("is at revision {}", actual);
  switch (check.kind) {
    case Check::Kind::kRevision:
      return fmt::format("expected revision {}, but the stream {}", check.revision, is);
    case Check::Kind::kAbsent:
      return fmt::format("expected no event, but the stream {}", is);
    case Check::Kind::kPresent:
      return "expected an event, but the stream has none";
  }
  return {};
}

bool holds(const Check& check, Revision actual) {
  switch (check.kind) {
    case Check::Kind::kRevision:
      return actual == check.revision;
    case Check::Kind::kAbsent:
      return actual == 0;
    case Check::Kind::kPresent:
      return actual != 0;
  }
  return false;
}

ErrorDetail::Kind detail_kind(Check::Kind kind) {
  switch (kind) {
    case Check::Kind::kRevision:
      return ErrorDetail::Kind::kRevision;
    case Check::Kind::kAbsent:
      return ErrorDetail::Kind::kAbsent;
    case Check::Kind::kPresent:
      return ErrorDetail::Kind::kPresent;
  }
  return ErrorDetail::Kind::kFact;
}

Error duplicate_id(const NewEvent& event, std::size_t index) {
  const EventHead head = scan_event(event.event);
  return {
      Code::kDuplicateId,
      fmt::format("stream '{}' already has an event with source '{}' and id '{}' and other content",
                  event.stream, head.source, head.id),
      {{ErrorDetail::Kind::kField, fmt::format("events[{}].event.id", index),
        "used before with other content"}}};
}

}  // namespace

LocalSequencer::LocalSequencer(Options options, Parts parts)
    : options_(std::move(options)), parts_(parts), streams_(parts.index), batch_(parts.storage) {
  const Head head = parts_.tail.durable_head();
  end_ = {head.sequence, head.chain, options_.last_time_us};
  parts_.cursors.set_wake([this] {
    {
      const std::lock_guard lock(mutex_);
      cursors_pending_ = true;
    }
    wake_.notify_one();
  });
  thread_ = std::thread([this] { run(); });
}

LocalSequencer::~LocalSequencer() {
  stop();
}

void LocalSequencer::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (!thread_.joinable()) return;
  thread_.join();
  parts_.cursors.set_wake(nullptr);
}

Status LocalSequencer::append(AppendRequest& request) {
  TG_CHECK(request.done != nullptr);
  if (failed_) return Error{Code::kUnavailable, "the log has failed and takes no events any more"};
  if (!parts_.disk_space.allows_publishing()) return disk_low();
  const std::size_t bytes = request.bytes();
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return Error{Code::kDraining, "the log is being closed", {}, kRetryDiskMs};
    if (!queue_.empty() && queued_bytes_ + bytes > options_.queue_bytes_max) {
      return Error{
          Code::kOverloaded, "the ingest queue is full: try again later", {}, kRetryQueueMs};
    }
    queued_bytes_ += bytes;
    queue_.push_back({std::move(request), bytes, parts_.clock.steady_ms()});
  }
  wake_.notify_one();
  return {};
}

void LocalSequencer::when_room(std::function<void()> ready) {
  {
    const std::lock_guard lock(mutex_);
    if (!queue_.empty() && !stopping_ && !failed_) {
      room_waiters_.push_back(std::move(ready));
      return;
    }
  }
  ready();
}

void LocalSequencer::index_advanced() {
  wake_.notify_all();
}

void LocalSequencer::run() {
  Group group;
  while (take_group(group)) {
    commit(group);
    for (const auto& ready : take_room_waiters()) ready();
    group = {};
  }
  for (const auto& ready : take_room_waiters()) ready();
}

std::vector<std::function<void()>> LocalSequencer::take_room_waiters() {
  const std::lock_guard lock(mutex_);
  // Half empty is room: a waiter that comes back too early only waits again.
  if (!stopping_ && queued_bytes_ > options_.queue_bytes_max / 2) return {};
  return std::exchange(room_waiters_, {});
}

// Waits for work: requests, or cursors or buffered events whose time has come. False when all is
// done and stop was asked.
bool LocalSequencer::take_group(Group& group) {
  std::unique_lock lock(mutex_);
  while (queue_.empty()) {
    if (failed_) return false;
    const std::int64_t now = parts_.clock.steady_ms();
    if (cursors_pending_ && cursors_since_ms_ == 0) cursors_since_ms_ = now;
    std::int64_t wait_ms = 60'000;
    if (unsynced_) wait_ms = std::min(wait_ms, unsynced_since_ms_ + kBufferedSyncMs - now);
    if (cursors_pending_) wait_ms = std::min(wait_ms, cursors_since_ms_ + kCursorWriteMs - now);
    if (stopping_ && (unsynced_ || cursors_pending_)) wait_ms = 0;
    if (wait_ms <= 0) {
      group.needs_sync = true;
      break;
    }
    if (stopping_) return false;
    wake_.wait_for(lock, std::chrono::milliseconds(wait_ms));
  }
  while (!queue_.empty() && group.bytes < kGroupBytesMax) {
    group.bytes += queue_.front().bytes;
    group.requests.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  queued_bytes_ -= std::min<std::size_t>(group.bytes, queued_bytes_);
  cursors_pending_ = false;
  return !failed_;
}

void LocalSequencer::commit(Group& group) {
  const std::int64_t start_ms = parts_.clock.steady_ms();
  const std::int64_t queued_ms =
      group.requests.empty() ? 0 : start_ms - group.requests.front().queued_ms;
  if (!parts_.disk_space.is_ample()) parts_.disk_space.refresh();
  if (!refuse_when_disk_is_low(group)) {
    wait_for_index();
    for (Queued& queued : group.requests) number(queued, group);
  }
  if (failed_) return;
  const auto commit_start = std::chrono::steady_clock::now();
  {
    const std::lock_guard turn(parts_.cursors.write_turn());
    std::vector<Cursors::PendingWrite> cursor_writes;
    if (parts_.disk_space.allows_cursors()) {
      cursor_writes = parts_.cursors.take_pending();
      cursors_since_ms_ = 0;
    } else {
      // Tried again in a second, when there may be space.
      cursors_since_ms_ = start_ms;
      const std::lock_guard lock(mutex_);
      cursors_pending_ = !stopping_ && parts_.cursors.has_pending();
    }
    if (options_.unsafe_answer_before_sync) answer(group);
    if (!write(group, cursor_writes)) return;
    parts_.cursors.written(std::move(cursor_writes));
  }
  if (group.events > 0) {
    const auto took = std::chrono::steady_clock::now() - commit_start;
    parts_.probe.group_committed(
        group.events, group.bytes, queued_ms * 1000,
        std::chrono::duration_cast<std::chrono::microseconds>(took).count());
  }
  answer(group);
}

// True when the whole group was refused.
bool LocalSequencer::refuse_when_disk_is_low(Group& group) {
  if (parts_.disk_space.allows_publishing()) return false;
  for (Queued& queued : group.requests) {
    parts_.probe.request_refused(Code::kDiskLow);
    group.outcomes.push_back({std::move(queued.request.done), disk_low()});
  }
  return true;
}

// Judges one request on everything that was decided before it, durable or not, and numbers its
// events.
void LocalSequencer::number(Queued& queued, Group& group) {
  const AppendRequest& request = queued.request;
  // An answer leaves after the sync of what it was judged on; only a successful buffered one need
  // not wait.
  const auto refuse = [&](Error error) {
    group.needs_sync = true;
    parts_.probe.request_refused(error.code);
    group.outcomes.push_back({std::move(queued.request.done), std::move(error)});
  };
  auto judged = judge_duplicates(request);
  if (!judged) return refuse(std::move(judged).error());
  const bool all_known = std::all_of(judged->begin(), judged->end(),
                                     [](const Judged& event) { return event.known.has_value(); });
  // A repeated request whose events are all here has succeeded already, whatever its checks say
  // now.
  if (!all_known) {
    auto checked = judge_checks(request);
    if (!checked) return refuse(std::move(checked).error());
  }
  auto result = number_events(request, *judged, group);
  if (!result) {
    fail(result.error());
    return;
  }
  if (all_known || request.durability == Durability::kSynced) group.needs_sync = true;
  group.outcomes.push_back({std::move(queued.request.done), std::move(result)});
}

Result<std::vector<LocalSequencer::Judged>> LocalSequencer::judge_duplicates(
    const AppendRequest& request) const {
  std::vector<Judged> judged(request.events.size());
  struct HashOfKey {
    std::size_t operator()(const DedupeWindow::Key& key) const { return key.low; }
  };
  absl::flat_hash_map<DedupeWindow::Key, std::size_t, HashOfKey> first_use;
  if (judged.size() > 1) first_use.reserve(judged.size());
  for (std::size_t i = 0; i < judged.size(); ++i) {
    const NewEvent& event = request.events[i];
    const EventHead head = scan_event(event.event);
    judged[i].key = DedupeWindow::key_of(event.stream, head.source, head.id);
    judged[i].type = head.type;
    parts_.dedupe.prefetch(judged[i].key);
  }
  for (std::size_t i = 0; i < judged.size(); ++i) {
    const NewEvent& event = request.events[i];
    judged[i].content = DedupeWindow::content_of(event.event);
    judged[i].known = parts_.dedupe.find(judged[i].key);
    judged[i].same_as = i;
    if (judged[i].known && judged[i].known->content != judged[i].content)
      return duplicate_id(event, i);
    if (judged[i].known || judged.size() == 1) continue;
    const auto [place, is_first] = first_use.emplace(judged[i].key, i);
    if (is_first) continue;
    judged[i].same_as = place->second;
    if (judged[place->second].content != judged[i].content) return duplicate_id(event, i);
  }
  return judged;
}

Status LocalSequencer::judge_checks(const AppendRequest& request) {
  Error refused{Code::kCheckFailed, {}};
  for (const Check& check : request.checks) {
    auto actual = streams_.last_revision(check.stream);
    if (!actual) return std::move(actual).error();
    if (holds(check, *actual)) continue;
    refused.details.push_back({detail_kind(check.kind), check.stream, describe(check, *actual)});
  }
  if (refused.details.empty()) return {};
  refused.message =
      fmt::format("{} of {} checks failed; '{}': {}", refused.details.size(), request.checks.size(),
                  refused.details.front().subject, refused.details.front().description);
  return refused;
}

Result<AppendResult> LocalSequencer::number_events(const AppendRequest& request,
                                                   const std::vector<Judged>& judged,
                                                   Group& group) {
  AppendResult result;
  result.durability = request.durability;
  result.events.reserve(request.events.size());
  std::size_t deduplicated = 0;
  Position latest;
  for (std::size_t i = 0; i < request.events.size(); ++i) {
    if (judged[i].known) {
      const DedupeWindow::Known& known = *judged[i].known;
      result.events.push_back({known.sequence, known.revision, true});
      if (known.sequence > latest.sequence) latest = {options_.log, known.sequence, known.check};
      ++deduplicated;
    } else if (judged[i].same_as != i) {
      result.events.push_back(result.events[judged[i].same_as]);
      result.events.back().deduplicated = true;
      ++deduplicated;
    } else {
      auto appended = append_event(request.events[i], judged[i], group);
      if (!appended) return std::move(appended).error();
      result.events.push_back(*appended);
      latest = Position::at(options_.log, end_.sequence, end_.chain);
    }
  }
  if (deduplicated > 0) parts_.probe.events_deduplicated(deduplicated);
  result.position = latest;
  return result;
}

Result<Appended> LocalSequencer::append_event(const NewEvent& event, const Judged& judged,
                                              Group& group) {
  auto last = streams_.last_revision(event.stream);
  if (!last) return std::move(last).error();
  const Revision revision = *last + 1;
  end_.time_us = std::max(end_.time_us, parts_.clock.wall_us());
  ++end_.sequence;
  value_.clear();
  end_.chain = append_record(value_, end_.chain, event.stream, revision, end_.time_us, event.event);
  batch_.put(Family::kLog, log_key(end_.sequence), value_);
  parts_.tail.append(
      {end_.sequence, revision, end_.time_us, end_.chain, event.stream, judged.type, event.event});
  streams_.appended(event.stream, revision, end_.sequence);
  parts_.dedupe.insert(judged.key, {end_.sequence, revision, judged.content,
                                    static_cast<std::uint32_t>(end_.chain >> 32)});
  ++group.events;
  return Appended{end_.sequence, revision, false};
}

// False when the log has failed: nothing may be answered.
bool LocalSequencer::write(Group& group, std::vector<Cursors::PendingWrite>& cursor_writes) {
  Cursors::put(batch_, cursor_writes);
  const bool sync = group.needs_sync || !cursor_writes.empty() || unsynced_;
  if (batch_.is_empty() && !unsynced_) return true;
  Status written;
  if (!sync) {
    written = parts_.storage.write_unsynced(batch_);
    unsynced_ = true;
    unsynced_since_ms_ = parts_.clock.steady_ms();
  } else if (batch_.is_empty()) {
    written = parts_.storage.sync();
  } else {
    written = parts_.storage.write_synced(batch_);
  }
  batch_.clear();
  if (!written) {
    fail(written.error());
    return false;
  }
  if (!sync) return true;
  unsynced_ = false;
  const Head head{end_.sequence, end_.chain};
  if (head.sequence == parts_.tail.head()) return true;
  auto marked = parts_.head_file.advance({options_.log, head});
  if (!marked) {
    fail(marked.error());
    return false;
  }
  parts_.tail.publish(head);
  options_.head_moved();
  return true;
}

void LocalSequencer::answer(Group& group) {
  for (Outcome& outcome : group.outcomes) outcome.done(std::move(outcome.result));
  group.outcomes.clear();
}

// Readers of exact names rely on the tail reaching below what is indexed.
void LocalSequencer::wait_for_index() {
  const auto far_behind = [&] {
    if (!parts_.tail.is_nearly_full()) return false;
    const Sequence first = parts_.tail.first();
    return parts_.index.indexed() < first + (parts_.tail.head() - first) / 2;
  };
  if (!far_behind()) return;
  options_.want_index();
  std::unique_lock lock(mutex_);
  while (far_behind() && !failed_) wake_.wait_for(lock, std::chrono::milliseconds(10));
}

void LocalSequencer::fail(const Error& error) {
  failed_ = true;
  options_.on_fatal(error.message);
}

}  // namespace tidegate
