#include "projections/trial.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "eventstore/event_store.h"
#include "projections/fold.h"

namespace tidegate {
namespace {

constexpr Sequence kTrialEventsMax = 1'000'000;
constexpr std::size_t kTrialRowsBytesMax = std::size_t{64} << 20;
// How much is folded before the rows are taken over: what is folded twice when an event fails, and
// what the fold holds at most beside the rows.
constexpr std::uint64_t kTrialEventsPerTake = 16'384;
constexpr std::size_t kTrialFoldBytes = std::size_t{16} << 20;
// A script may take milliseconds for each.
constexpr std::uint64_t kTrialEventsPerAsking = 64;

// The rows of a trial, in memory.
// Thread: caller serialises.
class TrialRows final : public RowSource {
 public:
  Result<std::optional<StoredRow>> find(std::string_view key) override {
    const auto found = rows_.find(key);
    if (found == rows_.end()) return std::optional<StoredRow>();
    return std::optional<StoredRow>(StoredRow{found->second.row.document, found->second.state});
  }

  void take(std::vector<RowChange> changes) {
    for (RowChange& change : changes) {
      const auto known = rows_.find(change.row.key);
      if (known != rows_.end()) {
        bytes_ -= bytes_of(known->second);
        rows_.erase(known);
      }
      if (change.row.is_removed()) continue;
      bytes_ += bytes_of(change);
      std::string key = change.row.key;
      rows_.emplace(std::move(key), std::move(change));
    }
  }

  std::size_t bytes() const { return bytes_; }
  std::size_t count() const { return rows_.size(); }
  std::vector<Row> first(std::size_t rows_max) const {
    std::vector<Row> rows;
    for (const auto& [key, change] : rows_) {
      if (rows.size() >= rows_max) break;
      rows.push_back(change.row);
    }
    return rows;
  }

 private:
  static std::size_t bytes_of(const RowChange& change) {
    return 2 * change.row.key.size() + change.row.document.size() + change.state.size();
  }

  std::map<std::string, RowChange, std::less<>> rows_;
  std::size_t bytes_ = 0;
};

// Thread: caller serialises.
class Trial {
 public:
  Trial(const EventStore& store, const Definition& definition, const TrialRange& range,
        const std::function<bool()>& go_on)
      : store_(store), definition_(definition), range_(range), go_on_(go_on), taken_(range.after) {}

  Result<TrialReport> run();

 private:
  // Begins after what was taken, with a fold that knows nothing else.
  Status begin();
  Status fold_until(Sequence until);
  Status fold_chunk(const ReadChunk& chunk, Sequence until);
  Status take();

  const EventStore& store_;
  const Definition& definition_;
  const TrialRange& range_;
  const std::function<bool()>& go_on_;
  std::unique_ptr<Fold> fold_;
  TrialRows rows_;
  Sequence examined_ = 0;
  std::uint64_t looked_at_ = 0;
  std::uint64_t matched_ = 0;
  // In the rows.
  Sequence taken_ = 0;
  std::uint64_t taken_matched_ = 0;
  std::optional<FoldFailure> failure_;
  bool has_stopped_ = false;
};

Status Trial::begin() {
  auto fold = make_fold(definition_);
  if (!fold) return std::move(fold).error();
  fold_ = *std::move(fold);
  examined_ = taken_;
  matched_ = taken_matched_;
  return {};
}

Result<TrialReport> Trial::run() {
  const Sequence head = store_.tail().head();
  Sequence until = range_.until == 0 ? head : std::min(range_.until, head);
  until = std::min(until, range_.after + kTrialEventsMax);
  TrialReport report;
  while (true) {
    auto folded = begin();
    if (folded) folded = fold_until(until);
    if (!folded) return std::move(folded).error();
    if (!failure_) break;
    // Once more, up to the event before; an earlier one may fail then, so it comes to an end.
    report.failure = std::exchange(failure_, std::nullopt);
    until = report.failure->sequence == 0 ? taken_ : report.failure->sequence - 1;
  }
  auto position = store_.reader().position_at(examined_);
  if (!position) return std::move(position).error();
  report.position = *position;
  report.examined = examined_ - range_.after;
  report.matched = matched_;
  report.rows = rows_.first(range_.rows_max);
  report.row_count = rows_.count();
  return report;
}

// Ends early with `failure_`.
Status Trial::fold_until(Sequence until) {
  while (examined_ < until && !has_stopped_) {
    if (go_on_ && !go_on_()) {
      has_stopped_ = true;
      break;
    }
    auto chunk = store_.reader().read(definition_.filter, examined_);
    if (!chunk) return std::move(chunk).error();
    auto folded = fold_chunk(*chunk, until);
    if (!folded || failure_) return folded;
  }
  return take();
}

Status Trial::fold_chunk(const ReadChunk& chunk, Sequence until) {
  const Sequence end = std::min(chunk.examined, until);
  const std::size_t count = chunk.segment ? chunk.segment->count() : 0;
  for (std::size_t i = count == 0 ? 0 : chunk.segment->index_after(examined_); i < count; ++i) {
    const RecordView& record = chunk.segment->record(i);
    if (record.sequence > end) break;
    if (definition_.filter.matches(record.stream, record.type)) {
      auto applied = fold_->apply(record, rows_);
      if (!applied && applied.error().code != Code::kBadEvent) return applied;
      if (!applied) {
        failure_ = FoldFailure{record.sequence, std::string(record.stream),
                               std::string(record.type), applied.error().message};
        return {};
      }
      ++matched_;
    }
    examined_ = record.sequence;
    if (++looked_at_ % kTrialEventsPerAsking == 0 && go_on_ && !go_on_()) {
      has_stopped_ = true;
      return {};
    }
    if (matched_ - taken_matched_ >= kTrialEventsPerTake || fold_->bytes() > kTrialFoldBytes) {
      auto taken = take();
      if (!taken || failure_) return taken;
    }
  }
  examined_ = std::max(examined_, end);
  return {};
}

Status Trial::take() {
  auto changes = fold_->take_changes();
  if (!changes) {
    failure_ = FoldFailure{0, "", "",
                           fmt::format("between events {} and {}: {}", taken_ + 1, examined_,
                                       changes.error().message)};
    return {};
  }
  rows_.take(*std::move(changes));
  taken_ = examined_;
  taken_matched_ = matched_;
  if (fold_->bytes() > kTrialFoldBytes) fold_->forget();
  if (rows_.bytes() <= kTrialRowsBytesMax) return {};
  return Error{Code::kLimit, fmt::format("the rows of a trial may take {} MiB, and these take more "
                                         "after event {}: choose a shorter range",
                                         kTrialRowsBytesMax >> 20, taken_)};
}

}  // namespace

Result<TrialReport> try_definition(const EventStore& store, const Definition& definition,
                                   const TrialRange& range, const std::function<bool()>& go_on) {
  return Trial(store, definition, range, go_on).run();
}

}  // namespace tidegate
