#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "eventstore/base/result.h"
#include "eventstore/segment.h"
#include "projections/row.h"

namespace tidegate {

struct Definition;

// Where a fold finds the rows that it does not hold in memory.
// Thread: caller serialises.
class RowSource {
 public:
  virtual ~RowSource() = default;
  // As of the last commit; nothing when there is no such row.
  virtual Result<std::optional<StoredRow>> find(std::string_view key) = 0;
};

// How events become rows. A fold is deterministic: the same events, in order, make the same rows,
// wherever the boundaries between commits lie and however often it forgets. It holds the rows that
// it works on in memory, in the form that is quickest to change, and gives them out as JSON once
// per commit.
//
// An event changes at most one row.
// Thread: caller serialises.
class Fold {
 public:
  virtual ~Fold() = default;

  // Folds one event that the definition's filter matches. An error is the fault of the event or of
  // the definition (kBadEvent, with a message for the operator), or says that the rows cannot be
  // read (kDataLoss); after it only `forget` may be called: the rows in memory are not to be
  // trusted.
  virtual Status apply(const RecordView& event, RowSource& rows) = 0;

  // Takes the rows that changed since the last call, in key order, each once as it is now. A row
  // that came and went in between is told as removed. An error as of `apply`.
  virtual Result<std::vector<RowChange>> take_changes() = 0;

  // Drops every row from memory, changes that were not taken included.
  virtual void forget() = 0;

  // Rows that changed since they were last taken.
  virtual std::size_t changed_rows() const = 0;

  // Memory of the rows that it holds.
  virtual std::size_t bytes() const = 0;
};

// The fold of a definition, with no rows in memory. An error (kBadArgument) when its script cannot
// be loaded; what `Definition::parse` accepted otherwise does not fail.
Result<std::unique_ptr<Fold>> make_fold(const Definition& definition);

}  // namespace tidegate
