#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "eventstore/base/result.h"
#include "eventstore/storage.h"
#include "eventstore/types.h"

namespace tidegate {

// Rows that are derived from the log and kept beside it, in the `projections` column family: the
// seam on which the folder projections stands. What the keys and values mean is its business
// (projections/row_keys.h), but for this: keys that begin with kDerivedKind (keys.h) can be derived
// again, and only these are left out when what is readable of a damaged log is copied.
//
// Writes go past the write-ahead log: a crash loses the newest of them and leaves a prefix, so that
// rows and the checkpoint of the same batch always fit each other, and what was lost is derived
// again.
// Thread: any (internally synchronised).
class DerivedRows {
 public:
  explicit DerivedRows(Storage& storage);
  DerivedRows(const DerivedRows&) = delete;
  DerivedRows& operator=(const DerivedRows&) = delete;

  // Changes that become visible, and survive a crash, together. Thread: caller serialises.
  class Batch {
   public:
    explicit Batch(const DerivedRows& rows);
    void put(std::string_view key, std::string_view value);
    void remove(std::string_view key);
    // Every key in [lower, upper).
    void remove_range(std::string_view lower, std::string_view upper);

   private:
    friend class DerivedRows;
    StorageBatch batch_;
  };

  // Waits for the disk when rows are written faster than it takes them, rather than let the
  // appender wait. An error is a failed disk and fatal for the store (StoreOptions::on_fatal).
  Status write(Batch& batch);
  // On disk when it returns, by the write-ahead log: for what no log tells (definitions). Survives
  // a crash also when what `write` was given before does not.
  Status write_durable(Batch& batch);

  Result<std::optional<std::string>> get(std::string_view key) const;
  // The keys in [lower, upper) as they are now. An empty `upper` is no bound.
  std::unique_ptr<StorageIterator> iterate(std::string lower, std::string upper) const;

  // Makes all that was written survive a crash.
  Status flush();

  // `needed` says the lowest sequence that is still to be folded into rows that were written; a
  // trim flushes the rows and leaves that event and all above it. It is called on the trimming
  // thread. Null: nothing is needed. No call of the former `needed` goes on when this returns, so
  // the caller must not hold what that one waits for.
  void hold_trims(std::function<Sequence()> needed);
  // For EventStore::trim: the highest floor that the rows allow, after a flush.
  Result<Sequence> floor_max();

 private:
  Storage& storage_;
  // Held during the call as well, so that its owner may end once it is taken back.
  std::mutex needed_mutex_;
  std::function<Sequence()> needed_;
};

}  // namespace tidegate
