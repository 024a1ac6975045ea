#include "gateway/delivery/store_access.h"

#include <optional>
#include <utility>
#include <variant>

#include <fmt/format.h>

namespace tidegate {

namespace {

using Post = std::function<void(std::function<void()>)>;

Error too_many_reads() {
  return {.code = Code::kOverloaded,
          .message = "too many reads of the log are waiting",
          .retry_after_ms = 1000};
}

Sequence sequence_of(const StartPlace& place) {
  if (const auto* after = std::get_if<AfterPosition>(&place)) return after->position.sequence;
  if (const auto* after = std::get_if<AfterSequence>(&place)) return after->sequence;
  return 0;
}

// The stored position is the start, unless the place asked for is further: that one counts as an
// acknowledgement, once its history has been compared.
Result<ResolvedStart> resolve_cursor(EventStore& store, const OpenSubscription& request,
                                     const OpenedCursor& cursor) {
  const Reader& reader = store.reader();
  if (!cursor.state) return reader.resolve(request.place, request.filter);
  const Position& stored = cursor.state->position;
  if (sequence_of(request.place) <= stored.sequence) {
    auto start = reader.resolve(AfterPosition{stored}, request.filter);
    if (start) start->resumed = true;
    return start;
  }
  auto start = reader.resolve(request.place, request.filter);
  if (start && start->outcome == ResolvedStart::Outcome::kOk) {
    store.cursors().acknowledge(request.owner, request.cursor, cursor.generation, start->position,
                                [](const Position&) {});
  }
  return start;
}

// On a read thread.
Result<OpenedSubscription> find_place(EventStore& store, const OpenSubscription& request,
                                      std::function<void()> taken_over) {
  OpenedSubscription opened;
  if (request.cursor.empty()) {
    auto start = store.reader().resolve(request.place, request.filter);
    if (!start) return std::move(start).error();
    opened.start = *std::move(start);
    return opened;
  }
  auto cursor = store.cursors().open(request.owner, request.cursor, std::move(taken_over));
  if (!cursor) return std::move(cursor).error();
  auto start = resolve_cursor(store, request, *cursor);
  if (!start) {
    store.cursors().close(request.owner, request.cursor, cursor->generation);
    return std::move(start).error();
  }
  opened.start = *std::move(start);
  opened.generation = cursor->generation;
  if (cursor->state) opened.lapsed_from = cursor->state->lapsed_from;
  return opened;
}

// On a read thread.
Result<OpenedSubscription> open_on(EventStore& store, const PressureGauge& pressure,
                                   const OpenSubscription& request,
                                   std::function<void()> taken_over) {
  auto opened = find_place(store, request, std::move(taken_over));
  if (!opened || pressure.level() == Pressure::kNone) return opened;
  const ResolvedStart& start = opened->start;
  const bool reads_disk =
      start.outcome == ResolvedStart::Outcome::kOk && start.after + 1 < store.tail().first();
  if (!reads_disk) return opened;
  if (!request.cursor.empty())
    store.cursors().close(request.owner, request.cursor, opened->generation);
  return Error{.code = Code::kOverloaded,
               .message = "memory is short: no old events are read at the moment",
               .retry_after_ms = 5000};
}

// Turns an acknowledged place into a position of the current history. On a read thread.
Result<Position> judge_claim(EventStore& store, const CursorAck& ack) {
  if (!ack.claimed) return store.reader().position_at(ack.sequence);
  auto start = store.reader().resolve(AfterPosition{*ack.claimed}, Filter::everything());
  if (!start) return std::move(start).error();
  switch (start->outcome) {
    case ResolvedStart::Outcome::kOk:
      return start->position;
    case ResolvedStart::Outcome::kTrimmed:
      return Error{Code::kTrimmed,
                   fmt::format("{} is below the floor, {}", ack.sequence, start->floor)};
    case ResolvedStart::Outcome::kRewound:
    case ResolvedStart::Outcome::kAhead:
    case ResolvedStart::Outcome::kUnknownLog:
      break;
  }
  return Error{Code::kBadPosition,
               fmt::format("'{}' is not of this log's history", ack.claimed->text())};
}

Error disk_below_floor() {
  return {.code = Code::kDiskLow,
          .message =
              "disk space is below the hard floor: the cursor stays where it is until some is free",
          .retry_after_ms = 2000};
}

// The position of an event in memory, when it agrees with the claim: nearly every acknowledgement.
std::optional<Position> position_in_tail(const EventStore& store, const CursorAck& ack) {
  const SegmentRef segment = store.tail().find(ack.sequence);
  if (!segment) return std::nullopt;
  const std::size_t at = segment->index_after(ack.sequence - 1);
  const Position position = Position::at(store.log_id(), ack.sequence, segment->record(at).chain);
  if (ack.claimed && *ack.claimed != position) return std::nullopt;
  return position;
}

void acknowledge_at(EventStore& store, const Post& post, const CursorAck& ack,
                    const Position& position, std::function<void(Result<Position>)> done) {
  store.cursors().acknowledge(ack.owner, ack.cursor, ack.generation, position,
                              [post, done = std::move(done)](const Position& stored) {
                                post([done, stored] { done(stored); });
                              });
}

}  // namespace

StoreAccess::StoreAccess(EventStore& store, const PressureGauge& pressure,
                         std::function<void(std::function<void()>)> post)
    : store_(store), pressure_(pressure), post_(std::move(post)) {}

LogId StoreAccess::log_id() const {
  return store_.log_id();
}
Sequence StoreAccess::head() const {
  return store_.tail().head();
}
Sequence StoreAccess::floor() const {
  return store_.floor();
}
Sequence StoreAccess::tail_first() const {
  return store_.tail().first();
}
SegmentRef StoreAccess::tail_segment(Sequence sequence) const {
  return store_.tail().find(sequence);
}

void StoreAccess::later(std::function<void()> run) {
  post_(std::move(run));
}

void StoreAccess::read(const Filter& filter, Sequence after, std::size_t look_ups,
                       std::function<void(Result<ReadChunk>)> done) {
  const bool queued =
      store_.post_read([&store = store_, post = post_, filter, after, look_ups, done] {
        post([done, chunk = store.reader().read(filter, after, look_ups)] { done(chunk); });
      });
  if (!queued) post_([done] { done(too_many_reads()); });
}

void StoreAccess::open(OpenSubscription request,
                       std::function<void(Result<OpenedSubscription>)> done) {
  auto taken_over = [post = post_, told = request.taken_over] {
    if (told) post(told);
  };
  const bool queued = store_.post_read([&store = store_, &pressure = pressure_, post = post_,
                                        request = std::move(request), taken_over, done] {
    post([done, opened = open_on(store, pressure, request, taken_over)] { done(opened); });
  });
  if (!queued) post_([done] { done(too_many_reads()); });
}

void StoreAccess::acknowledge(CursorAck ack, std::function<void(Result<Position>)> done) {
  if (store_.status().cursors_refused) {
    post_([done] { done(disk_below_floor()); });
    return;
  }
  if (const auto position = position_in_tail(store_, ack)) {
    acknowledge_at(store_, post_, ack, *position, std::move(done));
    return;
  }
  const bool queued = store_.post_read([&store = store_, post = post_, ack = std::move(ack), done] {
    const auto position = judge_claim(store, ack);
    if (position) {
      acknowledge_at(store, post, ack, *position, done);
    } else {
      post([done, error = position.error()] { done(error); });
    }
  });
  if (!queued) post_([done] { done(too_many_reads()); });
}

void StoreAccess::close_cursor(const std::string& owner, const std::string& cursor,
                               std::uint64_t generation) {
  store_.cursors().close(owner, cursor, generation);
}

void StoreAccess::publish(AppendRequest request, std::function<void(Result<AppendResult>)> done) {
  request.done = [post = post_, done](Result<AppendResult> result) {
    post([done, result = std::move(result)] { done(result); });
  };
  if (Status queued = store_.append(request); !queued) {
    post_([done, error = queued.error()] { done(error); });
  }
}

}  // namespace tidegate
