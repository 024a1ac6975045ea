#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "gateway/delivery/log_access.h"
#include "tidegate/v1/event.pb.h"

namespace tidegate::test {

// A log in memory whose tail, floor and answers the test controls. Answers wait as tasks until the
// test runs them, in any order it likes. Thread: caller serialises.
class FakeLog final : public LogAccess {
 public:
  struct Record {
    RecordView view;  // its views point into the strings below
    std::string stream;
    std::string event;
  };
  struct Cursor {
    std::optional<Sequence> stored;
    Sequence lapsed_from = 0;
    std::uint64_t generation = 0;
    bool is_open = false;
    std::function<void()> taken_over;
  };

  explicit FakeLog(std::size_t segment_events = 8) : segment_events_(segment_events) {}

  // --- what the test does ---

  void append(const std::string& stream, const std::string& type, std::size_t data_bytes = 2) {
    auto record = std::make_unique<Record>();
    record->stream = stream;
    v1::CloudEvent event;
    event.set_id("e" + std::to_string(records_.size() + 1));
    event.set_source("/t");
    event.set_spec_version("1.0");
    event.set_type(type);
    event.set_text_data('"' + std::string(data_bytes, 'd') + '"');
    record->event = event.SerializeAsString();
    // Field 4 of the event, after its tag and length.
    const std::string field = std::string(1, '\x22') + static_cast<char>(type.size()) + type;
    const std::size_t at = record->event.find(field) + 2;
    const Sequence sequence = records_.size() + 1;
    record->view = {.sequence = sequence,
                    .revision = ++revisions_[stream],
                    .append_time_us = time_of(sequence),
                    .chain = chain_of_sequence(sequence),
                    .stream = record->stream,
                    .type = std::string_view(record->event).substr(at, type.size()),
                    .event = record->event};
    records_.push_back(std::move(record));
    extend_tail();
  }

  // The tail forgets everything below this, by whole segments.
  void evict_below(Sequence sequence) {
    while (!tail_.empty() && tail_.front()->last() < sequence) {
      tail_first_ = tail_.front()->last() + 1;
      tail_.pop_front();
      if (tail_.empty()) filling_.reset();
    }
  }
  // The tail shows this many events before the head says so.
  void hold_head_back(std::size_t events) { held_back_ = events; }
  void evict_all() { evict_below(head() + 1); }
  void trim_to(Sequence floor) { floor_ = std::max(floor_, floor); }
  // Another history from here on.
  void rename() { log_ = LogId::random(); }

  std::size_t tasks() const { return tasks_.size(); }
  void run_task(std::size_t at = 0) {
    const auto task = std::move(tasks_[at]);
    tasks_.erase(tasks_.begin() + static_cast<std::ptrdiff_t>(at));
    task();
  }
  void run_tasks() {
    while (!tasks_.empty()) run_task();
  }
  void fail_next_read(Code code) { read_failure_ = code; }
  void fail_next_open(Code code) { open_failure_ = code; }
  void fail_next_acknowledge(Code code) { acknowledge_failure_ = code; }
  // Publishes wait here until the test answers them.
  struct Publish {
    AppendRequest request;
    std::function<void(Result<AppendResult>)> done;
  };
  std::deque<Publish> publishes;
  std::vector<std::size_t> reads;  // what each asked for
  std::size_t acknowledgements = 0;

  Cursor& cursor(const std::string& name, const std::string& owner = "") {
    return cursors_[{owner, name}];
  }
  // As opening it elsewhere does.
  void take_over(const std::string& name, const std::string& owner = "") {
    Cursor& cursor = cursors_[{owner, name}];
    if (cursor.is_open) tasks_.push_back(cursor.taken_over);
    ++cursor.generation;
    cursor.is_open = false;
  }

  const Record& record(Sequence sequence) const { return *records_[sequence - 1]; }
  Position position(Sequence sequence) const {
    return Position::at(log_, sequence, chain_of_sequence(sequence));
  }
  static std::int64_t time_of(Sequence sequence) {
    return 1'700'000'000'000'000 + static_cast<std::int64_t>(sequence) * 1'000'000;
  }

  // --- LogAccess ---

  LogId log_id() const override { return log_; }
  Sequence head() const override { return records_.size() - held_back_; }
  Sequence floor() const override { return floor_; }
  Sequence tail_first() const override { return tail_first_; }
  SegmentRef tail_segment(Sequence sequence) const override {
    if (sequence < tail_first_ || sequence > head()) return nullptr;
    for (const auto& segment : tail_) {
      if (segment->last() >= sequence) return segment;
    }
    return nullptr;
  }

  void later(std::function<void()> run) override { tasks_.push_back(std::move(run)); }

  void read(const Filter& filter, Sequence after, std::size_t look_ups,
            std::function<void(Result<ReadChunk>)> done) override {
    reads.push_back(look_ups);
    tasks_.push_back([this, filter, after, done] { done(read_now(filter, after)); });
  }

  void open(OpenSubscription request,
            std::function<void(Result<OpenedSubscription>)> done) override {
    tasks_.push_back([this, request, done] { done(open_now(request)); });
  }

  void acknowledge(CursorAck ack, std::function<void(Result<Position>)> done) override {
    ++acknowledgements;
    tasks_.push_back([this, ack, done] {
      Cursor& cursor = cursors_[{ack.owner, ack.cursor}];
      if (cursor.generation != ack.generation) return;
      if (const auto failure = std::exchange(acknowledge_failure_, std::nullopt)) {
        done(Error{*failure, "injected"});
        return;
      }
      if (ack.claimed && *ack.claimed != position(ack.sequence)) {
        done(Error{Code::kBadPosition, "another history"});
        return;
      }
      cursor.stored = std::max(cursor.stored.value_or(0), ack.sequence);
      done(position(*cursor.stored));
    });
  }

  // Acknowledgements that were made before still count, as they do in the store.
  void close_cursor(const std::string& owner, const std::string& name,
                    std::uint64_t generation) override {
    Cursor& cursor = cursors_[{owner, name}];
    if (cursor.generation == generation) cursor.is_open = false;
  }

  void publish(AppendRequest request, std::function<void(Result<AppendResult>)> done) override {
    publishes.push_back({std::move(request), std::move(done)});
  }

 private:
  static constexpr std::size_t kSegmentBytes = 1 << 10;

  static Chain chain_of_sequence(Sequence sequence) { return (sequence + 1) * 0x9E3779B97F4A7C15U; }

  void extend_tail() {
    const RecordView& view = records_.back()->view;
    if (!filling_ || filling_->count() >= segment_events_ || !filling_->append(view)) {
      filling_ = std::make_shared<Segment>(kSegmentBytes, segment_events_);
      filling_->append(view);
      tail_.push_back(filling_);
    }
    filling_->publish(view.sequence);
  }

  // Chunks begin at multiples of a size, so that they hold events at or below `after`, and
  // sometimes end before the last event they hold.
  Result<ReadChunk> read_now(const Filter& filter, Sequence after) {
    if (const auto failure = std::exchange(read_failure_, std::nullopt)) {
      return Error{*failure, "injected"};
    }
    if (after + 1 < floor_) return Error{Code::kTrimmed, "below the floor"};
    if (after >= head()) return ReadChunk{nullptr, after, chain_of_sequence(after)};
    constexpr Sequence kChunk = 10;
    const Sequence first = std::max(floor_, after - after % kChunk + 1);
    const Sequence last = std::min<Sequence>(head(), after + kChunk);
    const Sequence examined = after % 3 == 0 ? std::max(after + 1, last - last % 2) : last;
    auto segment = std::make_shared<Segment>(kSegmentBytes, 2 * kChunk);
    bool has_any = false;
    for (Sequence sequence = first; sequence <= last; ++sequence) {
      const RecordView& view = record(sequence).view;
      // The index gives only what a filter matches, the log everything.
      if (filter.patterns().front().is_exact() && !filter.matches(view.stream, view.type)) continue;
      if (!segment->append(view)) {
        return cut(segment, sequence - 1, after);
      }
      segment->publish(sequence);
      has_any = true;
    }
    const auto reach = std::min(examined, last);
    return ReadChunk{has_any ? SegmentRef(segment) : nullptr, reach, chain_of_sequence(reach)};
  }

  // The segment was full before the end of the chunk.
  Result<ReadChunk> cut(const std::shared_ptr<Segment>& full, Sequence last, Sequence after) const {
    if (last > after) return ReadChunk{full, last, chain_of_sequence(last)};
    auto segment = std::make_shared<Segment>(kSegmentBytes, 1);
    segment->append(record(after + 1).view);
    segment->publish(after + 1);
    return ReadChunk{segment, after + 1, chain_of_sequence(after + 1)};
  }

  Result<OpenedSubscription> open_now(const OpenSubscription& request) {
    if (const auto failure = std::exchange(open_failure_, std::nullopt)) {
      return Error{*failure, "injected"};
    }
    OpenedSubscription opened;
    if (request.cursor.empty()) {
      opened.start = resolve(request.place, request.filter);
      return opened;
    }
    Cursor& cursor = cursors_[{request.owner, request.cursor}];
    if (cursor.is_open) tasks_.push_back(cursor.taken_over);
    opened.generation = ++cursor.generation;
    opened.lapsed_from = std::exchange(cursor.lapsed_from, 0);
    cursor.is_open = true;
    cursor.taken_over = request.taken_over;
    if (cursor.stored && sequence_of(request.place) <= *cursor.stored) {
      opened.start = resolve(AfterSequence{*cursor.stored}, request.filter);
      return opened;
    }
    opened.start = resolve(request.place, request.filter);
    if (cursor.stored && opened.start.outcome == ResolvedStart::Outcome::kOk) {
      cursor.stored = opened.start.after;
    }
    return opened;
  }

  static Sequence sequence_of(const StartPlace& place) {
    if (const auto* after = std::get_if<AfterPosition>(&place)) return after->position.sequence;
    if (const auto* after = std::get_if<AfterSequence>(&place)) return after->sequence;
    return 0;
  }

  ResolvedStart resolve(const StartPlace& place, const Filter& filter) const {
    using Outcome = ResolvedStart::Outcome;
    ResolvedStart start;
    start.floor = floor_;
    start.head = head();
    if (std::holds_alternative<FromHead>(place)) start.after = head();
    if (std::holds_alternative<FromStart>(place)) start.after = floor_ - 1;
    if (const auto* from = std::get_if<FromTime>(&place)) {
      start.after = floor_ - 1;
      while (start.after < head() && time_of(start.after + 1) < from->time_us) ++start.after;
    }
    if (const auto* last = std::get_if<LastN>(&place)) {
      start.after = head();
      for (std::uint32_t found = 0; found < last->count && start.after + 1 > floor_;
           --start.after) {
        const RecordView& view = record(start.after).view;
        if (filter.matches(view.stream, view.type) && ++found == last->count) {
          --start.after;
          break;
        }
      }
    }
    const auto* position_asked = std::get_if<AfterPosition>(&place);
    if (position_asked != nullptr || std::holds_alternative<AfterSequence>(place)) {
      start.resumed = true;
      start.after = sequence_of(place);
    }
    if (position_asked != nullptr && position_asked->position.log != log_) {
      start.outcome = Outcome::kUnknownLog;
    } else if (start.after > head()) {
      start.outcome = Outcome::kAhead;
    } else if (start.after + 1 < floor_) {
      start.outcome = Outcome::kTrimmed;
    } else if (position_asked != nullptr && position_asked->position != position(start.after)) {
      start.outcome = Outcome::kRewound;
    } else {
      start.position = position(start.after);
    }
    return start;
  }

  const std::size_t segment_events_;
  LogId log_ = LogId::random();
  std::vector<std::unique_ptr<Record>> records_;
  std::map<std::string, Revision> revisions_;
  Sequence floor_ = 1;
  Sequence tail_first_ = 1;
  std::size_t held_back_ = 0;
  std::deque<std::shared_ptr<Segment>> tail_;
  std::shared_ptr<Segment> filling_;
  std::deque<std::function<void()>> tasks_;
  std::map<std::pair<std::string, std::string>, Cursor> cursors_;
  std::optional<Code> read_failure_;
  std::optional<Code> open_failure_;
  std::optional<Code> acknowledge_failure_;
};

}  // namespace tidegate::test
