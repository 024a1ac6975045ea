#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "eventstore/base/result.h"
#include "eventstore/types.h"

namespace rocksdb {
class FileSystem;
}

namespace tidegate {

// What HEAD says: this much of this history was durable.
struct HeadMark {
  LogId log;
  Head head;
};

// HEAD: two checksummed slots that are written in turn, outside of RocksDB. RocksDB opens a log
// whose newest part is missing without a word; the mark is what tells.
//
// A mark is written (no sync) after a group is synced and before it is answered, and the file is
// synced every second. So it is never ahead of the log, exact after a process death, and at most a
// second old after a power loss.
//
//   slot (64 bytes, at 0 and at 4096): "TGHEAD01" | counter | log id (16) | sequence | chain |
//   XXH3-64 of the 56 bytes before
//
// Thread: any (internally synchronised).
class HeadFile {
 public:
  // Creates the file with both slots, synced. The caller syncs the directory.
  static Status create(rocksdb::FileSystem& file_system, const std::string& path,
                       const HeadMark& mark);
  // kDataLoss when no slot is valid, kNotFound when there is no file.
  static Result<HeadMark> read(rocksdb::FileSystem& file_system, const std::string& path);
  static Result<std::unique_ptr<HeadFile>> open(std::shared_ptr<rocksdb::FileSystem> file_system,
                                                const std::string& path);
  ~HeadFile();
  HeadFile(const HeadFile&) = delete;
  HeadFile& operator=(const HeadFile&) = delete;

  Status advance(const HeadMark& mark);
  // Nothing to do when no mark was written since the last call.
  Status sync();

 private:
  struct Impl;
  explicit HeadFile(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidegate
