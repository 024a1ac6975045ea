#pragma once

#include <cstdint>
#include <set>
#include <string_view>
#include <vector>

#include "eventstore/base/result.h"
#include "eventstore/derived_rows.h"
#include "projections/projection.h"
#include "tidegate/storage/v1/record.pb.h"

namespace tidegate {

// The definitions on disk: what no log tells. Everything here is durable when it returns.
//
// Each projection has a record, and the record with the empty name says from which number on the
// versions of a new projection count: above those of every removed one, so that a place in the
// changes of a removed projection is never taken for one of its successor.
// Thread: caller serialises (Changes: one change at a time).
class Registry {
 public:
  using Record = storage::v1::ProjectionRecord;

  explicit Registry(DerivedRows& rows);
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // The records of all projections, by name. kDataLoss when one is damaged.
  Result<std::vector<Record>> load();

  // A number for new rows, given once for all time.
  Result<std::uint64_t> allot_fold_number();
  // Of the versions of a new projection.
  std::uint32_t first_number() const { return first_number_; }

  Status put(const Projection& projection, const Projection::State& state);
  Status remove(const Projection& projection, const Projection::State& state);

  // Takes away rows that no record names: of versions that were dropped just before a crash.
  Status erase_orphans(const std::set<std::uint64_t>& named);

 private:
  void put_catalog(DerivedRows::Batch& batch) const;

  DerivedRows& rows_;
  std::uint64_t next_fold_number_ = 1;
  std::uint32_t first_number_ = 1;
};

}  // namespace tidegate
