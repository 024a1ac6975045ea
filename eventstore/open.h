#pragma once

#include <memory>
#include <variant>

#include "eventstore/head_file.h"
#include "eventstore/history.h"
#include "eventstore/log_directory.h"
#include "eventstore/storage.h"

namespace tidegate {

// A log that was found to be whole: nothing that was acknowledged is missing.
struct OpenedLog {
  std::unique_ptr<LogDirectory> directory;
  std::unique_ptr<Storage> storage;
  std::unique_ptr<HeadFile> head_file;  // null when read-only
  std::unique_ptr<History> history;
  Head head;
  std::int64_t last_time_us = 0;
};

// The opening sequence (docs/storage-format.md): lock, FORMAT, free space, read-only probe,
// comparison with HEAD, and only then an open that may write. Creates the log when there is none.
// It blocks on the disk for as long as the replay of the write-ahead log takes, twice.
// Thread: caller serialises (all functions of this file).
std::variant<OpenedLog, OpenError> open_log(const StoreOptions& options, std::int64_t now_us);

// The same as far as it changes nothing, for offline inspection.
std::variant<OpenedLog, OpenError> open_log_read_only(const StoreOptions& options);

// What to do about a log that is not whole when there is no backup.
std::string way_out(const std::string& dir);

// The newest event of a log.
struct LogEnd {
  Head head;
  std::int64_t time_us = 0;
};
Result<LogEnd> find_end(const Storage& storage, const History& history);

}  // namespace tidegate
