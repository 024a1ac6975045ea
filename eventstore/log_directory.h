#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "eventstore/event_store.h"
#include "eventstore/head_file.h"
#include "eventstore/manifest_tail.h"

namespace tidegate {

using OpenError = EventStore::OpenError;

// Exit codes of sysexits.h that an open can end with.
inline constexpr int kExitData = 65;
inline constexpr int kExitCannotCreate = 73;
inline constexpr int kExitIo = 74;
inline constexpr int kExitBusy = 75;
inline constexpr int kExitConfig = 78;

// The directory of a log and the files in it that are not RocksDB's:
//
//   FORMAT      "tidegate-log 1.0": written last, so a directory without it is not a log
//   HEAD        head_file.h
//   LOCK        held while somebody has the log open
//   db/         RocksDB
//   wal-kept/   links to the write-ahead logs as they were before the last start
//   ballast     disk_space.h
//   .new/       a log that is being created
//   db.links/   the files of db/ by hard links, in which a loss is accepted
//   db.copy/    what takes the place of db/
//   db.damaged/ the db/ whose place is taken
//
// Thread: caller serialises.
class LogDirectory {
 public:
  // Locks the directory (creating it when `create`). The lock ends with the object.
  static std::variant<std::unique_ptr<LogDirectory>, OpenError> lock(const StoreOptions& options,
                                                                     bool create);
  ~LogDirectory();
  LogDirectory(const LogDirectory&) = delete;
  LogDirectory& operator=(const LogDirectory&) = delete;

  const std::shared_ptr<rocksdb::FileSystem>& file_system() const;
  std::string db_path() const;
  std::string head_path() const;

  // Whether there is a log of a format that this build reads. An unfinished creation counts as no
  // log.
  std::variant<bool, OpenError> has_log() const;
  // Fails with kExitCannotCreate below the hard floor, after giving back the ballast.
  std::optional<OpenError> check_space() const;
  // Builds a new log aside and moves it into place; a kill in between leaves nothing half made.
  std::optional<OpenError> create_log(std::int64_t now_us) const;
  // Replaces HEAD.
  std::optional<OpenError> write_head(const HeadMark& mark) const;
  // Another database takes the place of db/, which stays as it is until then. A kill on the way
  // leaves a log that an open refuses or one that is as it was, and `settle_replacement`, which
  // comes before the others, finishes what was begun and removes what is left of others.
  std::optional<OpenError> settle_replacement() const;
  // db/ by hard links: what a handle on it changes does not change db/. Of damaged write-ahead logs
  // and torn MANIFESTs copies without what is damaged.
  std::optional<OpenError> link_db() const;
  std::string links_path() const;
  std::string copy_path() const;
  // By one of these paths. It must be durable but for its name, and nobody may have either open.
  std::optional<OpenError> replace_db(const std::string& by) const;
  // Frees what a replacement leaves behind; only once db/ is known to be the one that counts.
  void remove_replaced() const;
  // Links the write-ahead logs aside, so that an open that cuts them loses no evidence. Failures
  // are logged.
  void keep_write_ahead_logs() const;
  // Replaces a MANIFEST by what is sound of it; a kill leaves the one or the other. Nobody may have
  // the database open.
  std::optional<OpenError> cut_manifest(const TornManifest& torn) const;

 private:
  struct Impl;
  explicit LogDirectory(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The file system of the options, or the real one.
std::shared_ptr<rocksdb::FileSystem> file_system_of(const StoreOptions& options);
std::uint64_t free_bytes_of(const StoreOptions& options);

}  // namespace tidegate
