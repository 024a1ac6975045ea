#include "projections/projector.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "eventstore/base/log.h"

namespace tidegate {
namespace {

// While it catches up: a row that changes in each of these steps is written once.
constexpr unsigned kStepsPerCommit = 4;
// How often a step looks at the clock and at what the fold holds. An event may take a script
// milliseconds.
constexpr std::size_t kEventsPerLook = 64;
constexpr std::size_t kScriptEventsPerLook = 1;
// About as many rows are in a commit at most: while one is written, the log's appender waits.
constexpr std::size_t kRowsPerCommit = 4096;
constexpr std::size_t kMatchedStreamsBytesMax = std::size_t{4} << 20;
// Of an entry of the map beside its name.
constexpr std::size_t kMatchedStreamBytes = 64;

}  // namespace

Projector::Projector(const EventStore& store, std::shared_ptr<Projection> projection,
                     std::shared_ptr<FoldedVersion> version, const Limits& limits,
                     const Clock& clock, ProjectionProbe& probe)
    : store_(store),
      projection_(std::move(projection)),
      version_(std::move(version)),
      limits_(limits),
      events_per_look_(std::holds_alternative<Script>(version_->definition().fold)
                           ? kScriptEventsPerLook
                           : kEventsPerLook),
      clock_(clock),
      probe_(probe),
      examined_(version_->reached()) {}

Sequence Projector::behind(Sequence head) const {
  if (version_->has_failed() || projection_->is_paused() || head <= examined_) return 0;
  return head - examined_;
}

bool Projector::must_commit() const {
  return holds_too_much() || fold_->changed_rows() >= kRowsPerCommit;
}

// Takes up the checkpoint, with a fold that knows nothing else.
Status Projector::start() {
  if (!version_->unreadable().empty()) return Error{Code::kBadArgument, version_->unreadable()};
  auto fold = make_fold(version_->definition());
  if (!fold) return std::move(fold).error();
  fold_ = *std::move(fold);
  const Position position = version_->checkpoint().position;
  examined_ = position.sequence;
  check_ = position.check;
  events_ = 0;
  steps_ = 0;
  for (const Projection::Version& version : projection_->state().versions) {
    if (version.folded == version_) skipped_ = version.skipped;
  }
  return {};
}

Projector::Outcome Projector::step() {
  if (!fold_) {
    auto started = start();
    if (!started) return fail({0, "", "", started.error().message});
  }
  Step step;
  step.target = bad_event_ ? bad_event_->sequence - 1 : store_.tail().head();
  step.end_ms = clock_.steady_ms() + limits_.step_ms;
  while (examined_ < step.target && !step.is_over) {
    auto chunk = store_.reader().read(version_->definition().filter, examined_);
    if (!chunk) return commit_and_fail(chunk.error());
    auto bad = fold_chunk(*chunk, step);
    if (bad) return stop_before(*std::move(bad));
  }
  ++steps_;
  if (examined_ < step.target && steps_ < kStepsPerCommit && !must_commit())
    return Outcome::kGoesOn;
  const Outcome outcome = commit();
  if (outcome != Outcome::kCommitted || !bad_event_ || examined_ < step.target) return outcome;
  return fail(*std::move(bad_event_));
}

// Folds the events of the chunk that lie in (examined_, target], as far as the step goes.
std::optional<Projector::BadEvent> Projector::fold_chunk(const ReadChunk& chunk, Step& step) {
  const Sequence until = std::min(chunk.examined, step.target);
  const std::size_t count = chunk.segment ? chunk.segment->count() : 0;
  for (std::size_t i = count == 0 ? 0 : chunk.segment->index_after(examined_); i < count; ++i) {
    const RecordView& record = chunk.segment->record(i);
    if (record.sequence > until) break;
    if (wants(record)) {
      auto applied = fold_->apply(record, version_->rows());
      if (!applied) {
        const bool is_of_event = applied.error().code == Code::kBadEvent;
        return BadEvent{{record.sequence, std::string(record.stream), std::string(record.type),
                         applied.error().message},
                        is_of_event};
      }
      ++events_;
    }
    examined_ = record.sequence;
    check_ = static_cast<std::uint32_t>(record.chain >> 32);
    ++step.looked_at;
    step.is_over = step.looked_at >= limits_.step_events ||
                   (step.looked_at % events_per_look_ == 0 &&
                    (clock_.steady_ms() >= step.end_ms || must_commit()));
    if (step.is_over) return std::nullopt;
  }
  if (examined_ >= until) return std::nullopt;
  // No event that the filter matches lies between.
  if (until == chunk.examined) {
    examined_ = until;
    check_ = static_cast<std::uint32_t>(chunk.chain >> 32);
  } else {
    auto position = store_.reader().position_at(until);
    if (!position) return BadEvent{{0, "", "", position.error().message}, false};
    examined_ = until;
    check_ = position->check;
  }
  step.is_over = clock_.steady_ms() >= step.end_ms;
  return std::nullopt;
}

bool Projector::wants(const RecordView& record) {
  if (!version_->definition().filter.matches_type(record.type)) return false;
  if (!matches_stream(record.stream)) return false;
  return skipped_.empty() || !std::binary_search(skipped_.begin(), skipped_.end(), record.sequence);
}

bool Projector::matches_stream(std::string_view stream) {
  const Filter& filter = version_->definition().filter;
  // A comparison is as quick as a look into the map.
  if (filter.patterns().size() == 1 && filter.patterns().front().is_exact())
    return filter.matches_stream(stream);
  const auto known = matched_streams_.find(stream);
  if (known != matched_streams_.end()) return known->second;
  if (matched_streams_bytes_ > kMatchedStreamsBytesMax) {
    matched_streams_.clear();
    matched_streams_bytes_ = 0;
  }
  matched_streams_bytes_ += stream.size() + kMatchedStreamBytes;
  const bool matches = filter.matches_stream(stream);
  matched_streams_.emplace(stream, matches);
  return matches;
}

Projector::Outcome Projector::commit() {
  const auto began = std::chrono::steady_clock::now();
  const Sequence before = version_->reached();
  auto changes = fold_->take_changes();
  if (!changes) {
    return fail({0, "", "",
                 fmt::format("between events {} and {}: {}", before + 1, examined_,
                             changes.error().message)});
  }
  const Position position{store_.log_id(), examined_, check_};
  auto checkpoint = version_->rows().commit(*changes, position, events_);
  if (!checkpoint) return fail({0, "", "", checkpoint.error().message});
  auto commit = std::make_shared<RowCommit>();
  commit->before = before;
  commit->position = position;
  commit->rows.reserve(changes->size());
  for (RowChange& change : *changes) commit->rows.push_back(std::move(change.row));
  version_->committed(*checkpoint, std::move(commit));
  const auto took = std::chrono::steady_clock::now() - began;
  probe_.committed(projection_->name(), events_, changes->size(),
                   std::chrono::duration_cast<std::chrono::microseconds>(took).count());
  events_ = 0;
  steps_ = 0;
  if (holds_too_much()) fold_->forget();
  return Outcome::kCommitted;
}

// The log cannot be read: what is folded up to there counts.
Projector::Outcome Projector::commit_and_fail(const Error& error) {
  if (examined_ > version_->reached() && commit() == Outcome::kFailed) return Outcome::kFailed;
  if (error.code != Code::kTrimmed) return fail({0, "", "", error.message});
  return fail({0, "", "",
               fmt::format("the log was trimmed past it: it had come to {}, and the log begins at "
                           "{}; rebuild it",
                           examined_, store_.floor())});
}

Projector::Outcome Projector::stop_before(BadEvent bad) {
  if (!bad.is_of_event) return fail({0, "", "", std::move(bad.failure.message)});
  if (version_->reached() + 1 >= bad.failure.sequence) return fail(std::move(bad.failure));
  bad_event_ = std::move(bad.failure);
  fold_.reset();
  return Outcome::kGoesOn;
}

Projector::Outcome Projector::fail(FoldFailure failure) {
  log(LogLevel::kWarn, "projection stopped",
      {{"projection", projection_->name()},
       {"version", version_->number()},
       {"sequence", failure.sequence},
       {"reason", failure.message}});
  fold_.reset();
  bad_event_.reset();
  examined_ = version_->reached();
  probe_.failed(projection_->name());
  version_->fail(std::move(failure));
  return Outcome::kFailed;
}

}  // namespace tidegate
