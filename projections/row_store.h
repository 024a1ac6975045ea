#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/base/result.h"
#include "eventstore/base/string_map.h"
#include "eventstore/derived_rows.h"
#include "eventstore/types.h"
#include "projections/fold.h"
#include "projections/row.h"

namespace tidegate {

// Up to where rows reflect the log, and what they amount to.
struct Checkpoint {
  Position position;  // every matching event up to it is folded in
  std::uint64_t rows = 0;
  std::uint64_t bytes = 0;     // of keys and documents
  std::uint64_t events = 0;    // folded in, of those that match
  std::uint64_t removals = 0;  // marks of removed rows that are held
  // Removals at or below this sequence are forgotten: changes can be told only to who has seen it.
  Sequence removals_floor = 0;
};

// The rows of one version of a projection on disk: key -> document, the same rows once more in the
// order of their last change, and the checkpoint. Each version has a number of its own for all time
// (`fold number`), so that versions never meet.
//
// Keys of the `projections` column family (row_keys.h), all numbers big-endian:
//   'f' fold number 'a'                    -> checkpoint
//   'f' fold number 'c' sequence, row key  -> 0 (changed) or 1 (removed) byte
//   'f' fold number 'm' sequence, row key  -> nothing: a row that is removed
//   'f' fold number 'r' row key            -> sequence of the last change, document, state
// The changes hold each row once, at its last change: what changed after any sequence is read off
// in order, at the price of the changes alone. A removal stays as a mark (a row without document,
// its change, and an 'm' to find the oldest ones by) until more than `kRemovalsMax` are held; then
// the oldest are forgotten, down to the half or some thousands at once, and `removals_floor` rises.
// A row that came and went between two commits leaves a mark too: a crash may have taken back a
// commit that somebody read it from. Marks are forgotten with the next commit.
//
// Thread: any (internally synchronised) for reading, which blocks on the disk; `commit` and `erase`
// by one thread.
class RowStore final : public RowSource {
 public:
  static constexpr std::uint64_t kRemovalsMax = 100'000;

  RowStore(DerivedRows& rows, std::uint64_t fold_number, std::uint64_t removals_max = kRemovalsMax);

  // Nothing was ever committed: null.
  Result<std::optional<Checkpoint>> checkpoint() const;
  Result<std::optional<StoredRow>> find(std::string_view key) override;

  // Writes the changes (sequences above the last checkpoint, up to the position) and the checkpoint
  // in one batch; fills the counts in. After an error nothing of it is written, unless the disk has
  // failed.
  Result<Checkpoint> commit(std::span<const RowChange> changes, const Position& position,
                            std::uint64_t events);
  // Removes everything of this version; the next commit is its first. Past the write-ahead log too:
  // a crash may bring all of it back.
  Status erase();

  // A piece of the rows, in key order, as of one moment.
  struct Page {
    std::vector<Row> rows;
    Checkpoint checkpoint;            // of the same moment
    std::optional<std::string> next;  // there are more: ask again with `after` = this key
  };
  // Of each at least one; the row with which `bytes` is reached is in.
  struct PageLimits {
    std::size_t rows = 1000;
    std::size_t bytes = std::size_t{1} << 20;
    // Rows looked at.
    std::size_t examined = 10'000;
  };
  // Rows of the selection with keys above `after`. Before the first commit: no rows, a checkpoint
  // with sequence 0.
  Result<Page> page(const RowSelection& selection, const std::optional<std::string>& after,
                    const PageLimits& limits) const;

  // The rows of the selection that changed last after the place, in the order of their change,
  // removed ones included.
  struct ChangePlace {
    Sequence sequence = 0;
    // Of this sequence, those up to this key are known. Empty: all.
    std::string key = {};
  };
  struct Changes {
    std::vector<Row> rows;
    Checkpoint checkpoint;  // of the same moment
    ChangePlace reached;
    bool is_complete = false;  // `rows` ends at the checkpoint
  };
  // kTrimmed when removals after the place may be forgotten. A place above the checkpoint (a crash
  // lost rows that are not yet folded again): no rows, complete, and `reached` is the place.
  Result<Changes> changes_after(const RowSelection& selection, const ChangePlace& place,
                                const PageLimits& limits) const;

 private:
  // What a commit must know of a row as it is. Sequence 0: there is none, nor a mark.
  struct Known {
    Sequence sequence = 0;
    std::uint32_t document_bytes = 0;  // 0: a mark
    bool is_live() const { return document_bytes > 0; }
    bool is_mark() const { return sequence > 0 && document_bytes == 0; }
  };
  struct Change;

  Result<Known> find_known(const std::string& key) const;
  void remember(const std::string& key, const Known& known);
  void forget_known();
  Status load_checkpoint();
  Status put_change(DerivedRows::Batch& batch, const RowChange& change, Checkpoint& next);
  Status put_changes(DerivedRows::Batch& batch, std::span<const RowChange> changes,
                     Checkpoint& next);
  Status forget_removals();
  std::unique_ptr<StorageIterator> iterate() const;
  Result<Checkpoint> read_checkpoint(StorageIterator& rows) const;
  Status scan(StorageIterator& rows, const RowSelection& selection,
              const std::optional<std::string>& after, const PageLimits& limits, Page& page) const;
  Status look_up(StorageIterator& rows, const RowSelection& selection,
                 const std::optional<std::string>& after, const PageLimits& limits,
                 Page& page) const;
  Result<std::vector<Change>> changes_of_keys(StorageIterator& rows, const RowSelection& selection,
                                              const ChangePlace& place) const;
  Result<std::vector<Change>> scan_changes(StorageIterator& rows, const RowSelection& selection,
                                           const ChangePlace& place, const PageLimits& limits,
                                           ChangePlace& examined) const;
  Status read_rows(StorageIterator& rows, const std::vector<Change>& found,
                   const PageLimits& limits, Changes& changes) const;

  DerivedRows& rows_;
  const std::string base_;  // 'f' and the fold number
  const std::string end_;   // behind everything of it
  const std::uint64_t removals_max_;
  // Committing thread only. Rows that change all the time are not read for it.
  std::optional<Checkpoint> checkpoint_;
  StringMap<Known> known_;
  std::size_t known_bytes_ = 0;
};

}  // namespace tidegate
