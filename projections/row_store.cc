#include "projections/row_store.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "eventstore/base/check.h"
#include "projections/row_keys.h"
#include "projections/row_value.h"

namespace tidegate {
namespace {

// Of rows that were committed lately: about 60,000 of them.
constexpr std::size_t kKnownBytesMax = std::size_t{8} << 20;

// Marks that go with one commit; more than a commit of a fold makes (projector.cc).
constexpr std::uint64_t kForgottenMax = 8192;

std::size_t known_cost(std::string_view key) {
  return key.size() + 96;  // a node of the map, its bucket and its allocation
}

// Whether there is such a key; the iterator then stands at it.
Result<bool> seek_exactly(StorageIterator& rows, std::string_view key) {
  rows.seek(key);
  if (rows.is_valid()) return rows.key() == key;
  auto status = rows.status();
  if (!status) return std::move(status).error();
  return false;
}

// How much of a step's limits is used up.
class PageBudget {
 public:
  explicit PageBudget(const RowStore::PageLimits& limits) : limits_(limits) {}

  void examine() { ++examined_; }
  void add(const Row& row) {
    ++rows_;
    bytes_ += row.key.size() + row.document.size();
  }
  // Never before the first row, so that every step gets on.
  bool is_spent() const {
    return examined_ > 0 &&
           (examined_ >= limits_.examined || rows_ >= limits_.rows || bytes_ >= limits_.bytes);
  }

 private:
  const RowStore::PageLimits& limits_;
  std::size_t examined_ = 0;
  std::size_t rows_ = 0;
  std::size_t bytes_ = 0;
};

// Adds the row at which the iterator stands, unless it is a mark.
Status add_row(const StorageIterator& rows, RowStore::Page& page, PageBudget& budget) {
  const auto value = decode_row(rows.value());
  if (!value) return damaged_rows();
  if (value->document.empty()) return {};
  page.rows.push_back(
      {std::string(row_of_row_key(rows.key())), std::string(value->document), value->sequence});
  budget.add(page.rows.back());
  return {};
}

}  // namespace

struct RowStore::Change {
  Sequence sequence = 0;
  std::string key;
  bool is_removed = false;
};

RowStore::RowStore(DerivedRows& rows, std::uint64_t fold_number, std::uint64_t removals_max)
    : rows_(rows),
      base_(fold_prefix(fold_number)),
      end_(fold_prefix(fold_number + 1)),
      removals_max_(removals_max) {}

Result<std::optional<Checkpoint>> RowStore::checkpoint() const {
  auto value = rows_.get(fold_checkpoint_key(base_));
  if (!value) return std::move(value).error();
  if (!value->has_value()) return std::optional<Checkpoint>();
  auto decoded = decode_checkpoint(**value);
  if (!decoded) return std::move(decoded).error();
  return std::optional<Checkpoint>(*decoded);
}

Result<std::optional<StoredRow>> RowStore::find(std::string_view key) {
  auto value = rows_.get(row_key(base_, key));
  if (!value) return std::move(value).error();
  if (!value->has_value()) return std::optional<StoredRow>();
  const auto row = decode_row(**value);
  if (!row) return damaged_rows();
  if (row->document.empty()) return std::optional<StoredRow>();
  return std::optional<StoredRow>(StoredRow{std::string(row->document), std::string(row->state)});
}

// Writing
// -----------------------------------------------------------------------------------

Result<Checkpoint> RowStore::commit(std::span<const RowChange> changes, const Position& position,
                                    std::uint64_t events) {
  auto loaded = load_checkpoint();
  if (!loaded) return std::move(loaded).error();
  TG_CHECK(position.sequence >= checkpoint_->position.sequence, position.sequence,
           checkpoint_->position.sequence);
  if (checkpoint_->removals > removals_max_) {
    auto forgotten = forget_removals();
    if (!forgotten) return std::move(forgotten).error();
  }
  Checkpoint next = *checkpoint_;
  next.position = position;
  next.events += events;
  DerivedRows::Batch batch(rows_);
  auto written = put_changes(batch, changes, next);
  if (written) {
    batch.put(fold_checkpoint_key(base_), encode_checkpoint(next));
    written = rows_.write(batch);
  }
  if (!written) {
    forget_known();  // it says what the batch would have made
    return std::move(written).error();
  }
  checkpoint_ = next;
  return next;
}

Status RowStore::load_checkpoint() {
  if (checkpoint_) return {};
  auto stored = checkpoint();
  if (!stored) return std::move(stored).error();
  checkpoint_ = stored->value_or(Checkpoint{});
  return {};
}

Status RowStore::put_changes(DerivedRows::Batch& batch, std::span<const RowChange> changes,
                             Checkpoint& next) {
  for (const RowChange& change : changes) {
    // Who has seen the last checkpoint would never hear of an older change.
    TG_CHECK(change.row.sequence > checkpoint_->position.sequence &&
                 change.row.sequence <= next.position.sequence,
             change.row.sequence, checkpoint_->position.sequence, next.position.sequence);
    auto put = put_change(batch, change, next);
    if (!put) return put;
  }
  return {};
}

Status RowStore::put_change(DerivedRows::Batch& batch, const RowChange& change, Checkpoint& next) {
  const Row& row = change.row;
  auto known = find_known(row.key);
  if (!known) return std::move(known).error();
  if (known->sequence > 0) batch.remove(change_key(base_, known->sequence, row.key));
  if (known->is_mark()) {
    batch.remove(mark_key(base_, known->sequence, row.key));
    --next.removals;
  }
  if (known->is_live()) {
    --next.rows;
    next.bytes -= row.key.size() + known->document_bytes;
  }
  batch.put(change_key(base_, row.sequence, row.key), row.is_removed() ? kRemoved : kChanged);
  if (row.is_removed()) {
    batch.put(mark_key(base_, row.sequence, row.key), "");
    batch.put(row_key(base_, row.key), encode_row({row.sequence, {}, {}}));
    ++next.removals;
  } else {
    batch.put(row_key(base_, row.key), encode_row({row.sequence, row.document, change.state}));
    ++next.rows;
    next.bytes += row.key.size() + row.document.size();
  }
  remember(row.key, {row.sequence, static_cast<std::uint32_t>(row.document.size())});
  return {};
}

Result<RowStore::Known> RowStore::find_known(const std::string& key) const {
  if (const auto found = known_.find(key); found != known_.end()) return found->second;
  auto value = rows_.get(row_key(base_, key));
  if (!value) return std::move(value).error();
  if (!value->has_value()) return Known{};
  const auto row = decode_row(**value);
  if (!row) return damaged_rows();
  return Known{row->sequence, static_cast<std::uint32_t>(row->document.size())};
}

void RowStore::remember(const std::string& key, const Known& known) {
  if (known_bytes_ > kKnownBytesMax) forget_known();
  if (known_.insert_or_assign(key, known).second) known_bytes_ += known_cost(key);
}

void RowStore::forget_known() {
  known_.clear();
  known_bytes_ = 0;
}

// In a batch of its own, so that the marks are those of the last commit and no others.
Status RowStore::forget_removals() {
  Checkpoint next = *checkpoint_;
  const std::uint64_t wanted = std::min(next.removals - removals_max_ / 2, kForgottenMax);
  std::uint64_t forgotten = 0;
  DerivedRows::Batch batch(rows_);
  // From the floor: what was forgotten before would have to be passed over.
  const auto marks =
      rows_.iterate(mark_key(base_, next.removals_floor + 1, ""), end_of_kind(base_, kMarkKind));
  for (marks->seek_to_first(); marks->is_valid(); marks->next()) {
    const Sequence sequence = sequence_of_change_key(marks->key());
    if (forgotten >= wanted && sequence != next.removals_floor) break;
    const std::string row(row_of_change_key(marks->key()));
    batch.remove(marks->key());
    batch.remove(change_key(base_, sequence, row));
    batch.remove(row_key(base_, row));
    if (known_.erase(row) > 0) known_bytes_ -= known_cost(row);
    next.removals_floor = sequence;
    ++forgotten;
  }
  auto status = marks->status();
  if (!status) return status;
  if (forgotten > next.removals) return damaged_rows();
  next.removals -= forgotten;
  batch.put(fold_checkpoint_key(base_), encode_checkpoint(next));
  auto written = rows_.write(batch);
  if (written) checkpoint_ = next;
  return written;
}

Status RowStore::erase() {
  checkpoint_.reset();
  forget_known();
  DerivedRows::Batch batch(rows_);
  batch.remove_range(base_, end_);
  return rows_.write(batch);
}

// Reading: one iterator each, which sees one moment
// -----------------------------------------------------------------------------------

std::unique_ptr<StorageIterator> RowStore::iterate() const {
  return rows_.iterate(base_, end_);
}

Result<Checkpoint> RowStore::read_checkpoint(StorageIterator& rows) const {
  auto found = seek_exactly(rows, fold_checkpoint_key(base_));
  if (!found) return std::move(found).error();
  if (!*found) return Checkpoint{};
  return decode_checkpoint(rows.value());
}

Result<RowStore::Page> RowStore::page(const RowSelection& selection,
                                      const std::optional<std::string>& after,
                                      const PageLimits& limits) const {
  const auto rows = iterate();
  auto checkpoint_read = read_checkpoint(*rows);
  if (!checkpoint_read) return std::move(checkpoint_read).error();
  Page page;
  page.checkpoint = *checkpoint_read;
  auto read = selection.keys.empty() ? scan(*rows, selection, after, limits, page)
                                     : look_up(*rows, selection, after, limits, page);
  if (!read) return std::move(read).error();
  return page;
}

Status RowStore::scan(StorageIterator& rows, const RowSelection& selection,
                      const std::optional<std::string>& after, const PageLimits& limits,
                      Page& page) const {
  std::string first = selection.prefix;
  if (after && *after >= first) first = *after + '\0';  // the next key that there can be
  const std::string prefix = row_key(base_, selection.prefix);
  PageBudget budget(limits);
  std::string last;
  for (rows.seek(row_key(base_, first)); rows.is_valid() && rows.key().starts_with(prefix);
       rows.next()) {
    if (budget.is_spent()) {
      page.next = std::move(last);
      return {};
    }
    last = row_of_row_key(rows.key());
    budget.examine();
    auto added = add_row(rows, page, budget);
    if (!added) return added;
  }
  return rows.status();
}

Status RowStore::look_up(StorageIterator& rows, const RowSelection& selection,
                         const std::optional<std::string>& after, const PageLimits& limits,
                         Page& page) const {
  const auto& keys = selection.keys;
  PageBudget budget(limits);
  for (auto key = after ? std::upper_bound(keys.begin(), keys.end(), *after) : keys.begin();
       key != keys.end(); ++key) {
    if (budget.is_spent()) {
      page.next = *std::prev(key);
      return {};
    }
    budget.examine();
    auto found = seek_exactly(rows, row_key(base_, *key));
    if (!found) return std::move(found).error();
    if (!*found) continue;
    auto added = add_row(rows, page, budget);
    if (!added) return added;
  }
  return {};
}

Result<RowStore::Changes> RowStore::changes_after(const RowSelection& selection,
                                                  const ChangePlace& place,
                                                  const PageLimits& limits) const {
  const auto rows = iterate();
  auto checkpoint_read = read_checkpoint(*rows);
  if (!checkpoint_read) return std::move(checkpoint_read).error();
  Changes changes;
  changes.checkpoint = *checkpoint_read;
  changes.reached = place;
  changes.is_complete = true;
  const Sequence end = changes.checkpoint.position.sequence;
  const Sequence floor = changes.checkpoint.removals_floor;
  if (place.sequence > end || (place.sequence == end && place.key.empty())) return changes;
  if (place.sequence < floor || (place.sequence == floor && !place.key.empty())) {
    return Error{Code::kTrimmed,
                 fmt::format("removals of rows up to event {} are forgotten, so that what changed "
                             "after event {} is not known; read the rows anew",
                             floor, place.sequence)};
  }
  ChangePlace examined{end};
  auto found = selection.keys.empty() ? scan_changes(*rows, selection, place, limits, examined)
                                      : changes_of_keys(*rows, selection, place);
  if (!found) return std::move(found).error();
  auto read = read_rows(*rows, *found, limits, changes);
  if (!read) return std::move(read).error();
  if (changes.is_complete) {
    changes.is_complete = examined.key.empty();
    changes.reached = std::move(examined);
  }
  return changes;
}

// The changes are in order; when the limits end it, `examined` says how far it came.
Result<std::vector<RowStore::Change>> RowStore::scan_changes(StorageIterator& rows,
                                                             const RowSelection& selection,
                                                             const ChangePlace& place,
                                                             const PageLimits& limits,
                                                             ChangePlace& examined) const {
  const std::string prefix = base_ + kChangeKind;
  const std::string first = place.key.empty() ? change_key(base_, place.sequence + 1, "")
                                              : change_key(base_, place.sequence, place.key + '\0');
  std::vector<Change> found;
  ChangePlace last;
  std::size_t looked = 0;
  for (rows.seek(first); rows.is_valid() && rows.key().starts_with(prefix); rows.next()) {
    // Not behind a row whose key is empty: as a place that would mean all rows of the sequence.
    if ((looked >= limits.examined || found.size() >= limits.rows) && !last.key.empty()) {
      examined = std::move(last);
      return found;
    }
    ++looked;
    last = {sequence_of_change_key(rows.key()), std::string(row_of_change_key(rows.key()))};
    if (selection.includes(last.key))
      found.push_back({last.sequence, last.key, rows.value() == kRemoved});
  }
  auto status = rows.status();
  if (!status) return std::move(status).error();
  return found;
}

// Some keys are looked up, however many rows have changed.
Result<std::vector<RowStore::Change>> RowStore::changes_of_keys(StorageIterator& rows,
                                                                const RowSelection& selection,
                                                                const ChangePlace& place) const {
  std::vector<Change> changed;
  for (const std::string& key : selection.keys) {
    auto found = seek_exactly(rows, row_key(base_, key));
    if (!found) return std::move(found).error();
    if (!*found) continue;
    const auto value = decode_row(rows.value());
    if (!value) return damaged_rows();
    const bool is_known =
        value->sequence < place.sequence ||
        (value->sequence == place.sequence && (place.key.empty() || key <= place.key));
    if (!is_known) changed.push_back({value->sequence, key, value->document.empty()});
  }
  // Those of one sequence stay in the order of their keys.
  std::stable_sort(changed.begin(), changed.end(),
                   [](const Change& a, const Change& b) { return a.sequence < b.sequence; });
  return changed;
}

// Fetches the rows of changes, as far as the limits allow.
Status RowStore::read_rows(StorageIterator& rows, const std::vector<Change>& found,
                           const PageLimits& limits, Changes& changes) const {
  PageBudget budget(limits);
  for (const Change& change : found) {
    if (budget.is_spent() && !changes.reached.key.empty()) {
      changes.is_complete = false;
      return {};
    }
    budget.examine();
    Row row{change.key, {}, change.sequence};
    if (!change.is_removed) {
      auto is_there = seek_exactly(rows, row_key(base_, change.key));
      if (!is_there) return std::move(is_there).error();
      const auto value = *is_there ? decode_row(rows.value()) : std::nullopt;
      if (!value || value->sequence != change.sequence || value->document.empty())
        return damaged_rows();
      row.document = value->document;
    }
    budget.add(row);
    changes.rows.push_back(std::move(row));
    changes.reached = {change.sequence, change.key};
  }
  return {};
}

}  // namespace tidegate
