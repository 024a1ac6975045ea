#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "eventstore/base/result.h"
#include "eventstore/types.h"

namespace rocksdb {
class FileSystem;
}

namespace tidegate {

// The column families; docs/storage-format.md says what each holds. Their order is that of the
// names in storage.cc.
enum class Family : std::uint8_t { kLog, kIndex, kCursors, kProjections, kMeta };

class Storage;

// Changes that become visible, and durable, together.
// Thread: caller serialises. The storage must outlive it.
class StorageBatch {
 public:
  explicit StorageBatch(const Storage& storage);
  ~StorageBatch();
  StorageBatch(const StorageBatch&) = delete;
  StorageBatch& operator=(const StorageBatch&) = delete;

  void put(Family family, std::string_view key, std::string_view value);
  void remove(Family family, std::string_view key);
  // Removes every key in [lower, upper).
  void remove_range(Family family, std::string_view lower, std::string_view upper);
  // Removes every key from `first` on.
  void remove_above(Family family, std::string_view first);
  void clear();
  bool is_empty() const;

 private:
  friend class Storage;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Walks the keys of a family in [lower, upper) as they were when it was made.
// Thread: caller serialises. Views are good until the next move. Keep it short-lived: it pins files
// and memory.
class StorageIterator {
 public:
  ~StorageIterator();
  StorageIterator(const StorageIterator&) = delete;
  StorageIterator& operator=(const StorageIterator&) = delete;

  bool is_valid() const;
  void seek(std::string_view key);           // the first key at or above
  void seek_for_prev(std::string_view key);  // the last key at or below
  void seek_to_first();
  void seek_to_last();
  void next();
  void prev();
  std::string_view key() const;
  std::string_view value() const;
  // Why is_valid() turned false: ok at the end, kDataLoss otherwise.
  Status status() const;

 private:
  friend class Storage;
  struct Impl;
  explicit StorageIterator(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The RocksDB handle: its options with their reasons (storage.cc), and nothing of what the bytes
// mean.
//
// Several threads write: the appender, upkeep (the index), the read threads (cursors that are
// sought or removed, the floor), and who derives rows. RocksDB takes one batch at a time; who must
// not get between two batches of another has a lock of its own (Cursors::write_turn, one trim at a
// time). Thread: any (internally synchronised).
class Storage {
 public:
  // kSalvage reads what it can: it goes on behind damage in the write-ahead log, so that the caller
  // must find out by itself what follows what, opens with damaged tables, and lets them alone.
  enum class Mode : std::uint8_t { kCreate, kReadWrite, kReadOnly, kSalvage };
  // kDataLoss when what is there is not a whole database, kUnavailable when the disk fails.
  // `file_system` null: the real one. A read-only handle replays the log in memory and changes no
  // file.
  static Result<std::unique_ptr<Storage>> open(const std::string& dir, Mode mode,
                                               std::shared_ptr<rocksdb::FileSystem> file_system);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  // Called, on the writing thread, when any write below fails: whoever began it, the log cannot go
  // on. To be set before other threads write.
  void on_write_failed(std::function<void(const Error&)> failed);

  // Returns when the batch and all before it are on disk. After an error nothing is known of the
  // batch, and every later write fails: the caller must stop acknowledging for good.
  Status write_synced(StorageBatch& batch);
  // Into the write-ahead log without a sync. The bytes have left the process when it returns (into
  // the kernel's page cache: `manual_wal_flush` is off), so that a killed process loses nothing of
  // it; a power loss may, until `sync` or a later write_synced makes it durable.
  Status write_unsynced(StorageBatch& batch);
  Status sync();
  // Past the write-ahead log: of what was written since the last `flush` of the family a crash
  // leaves a prefix. For `index` and the rows of `projections` only, which are derived from the
  // log.
  Status write_unlogged(StorageBatch& batch);
  // Returns when a few more batches into the family can stall no writer. RocksDB stops the writers
  // of all families, the appender too, while one of them has too much memory that is not flushed.
  Status make_room(Family family);

  Result<std::optional<std::string>> get(Family family, std::string_view key) const;
  struct Range {
    std::string lower = {};
    std::string upper = {};   // empty: no bound
    bool sequential = false;  // reads ahead, leaves the block cache alone
    bool unflushed = false;   // only what no table holds yet: after an open, what was replayed
  };
  std::unique_ptr<StorageIterator> iterate(Family family, Range range) const;

  Status flush(Family family);
  // Frees whole files of `log` below the sequence, then hides the rest. The index drops its runs as
  // it compacts.
  Status delete_log_below(Sequence floor);
  std::uint64_t bytes_on_disk() const;
  // Reads every table: kDataLoss when one is missing or has a block that cannot be read.
  Status verify_tables() const;
  // Makes `get` of an event read only the tables that may hold it. For salvage: it writes a row
  // below every event.
  Status tell_tables_apart();

  // The floor as the index's compaction sees it: runs that end below are dropped.
  void set_floor(Sequence floor);

 private:
  friend class StorageBatch;
  struct Impl;
  Status written(Status status) const;
  explicit Storage(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidegate
