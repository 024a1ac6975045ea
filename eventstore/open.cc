#include "eventstore/open.h"

#include <fmt/format.h>

#include "eventstore/base/log.h"
#include "eventstore/keys.h"
#include "eventstore/manifest_tail.h"
#include "eventstore/record.h"

namespace tidegate {
namespace {

OpenError refuse(const StoreOptions& options, const std::string& what) {
  return {{Code::kDataLoss,
           fmt::format("the log in {} is not whole: {}. Nothing was changed. Restore the directory "
                       "or a backup; {}",
                       options.dir, what, way_out(options.dir))},
          kExitData};
}

// Why a log that is there cannot be opened: it is not whole, or its disk does not work just now,
// and then giving up events would be the wrong advice.
OpenError cannot_read(const StoreOptions& options, const Error& error) {
  if (error.code == Code::kUnavailable) return {error, kExitIo};
  return refuse(options, error.message);
}

// A handle with what `meta` and the newest event say.
struct Readable {
  std::unique_ptr<Storage> storage;
  std::unique_ptr<History> history;
  LogEnd end;
};

Result<Readable> read_storage(const LogDirectory& directory, Storage::Mode mode,
                              const std::shared_ptr<rocksdb::FileSystem>& file_system) {
  Readable readable;
  auto storage = Storage::open(directory.db_path(), mode, file_system);
  if (!storage) return std::move(storage).error();
  readable.storage = *std::move(storage);
  auto history = History::read(*readable.storage);
  if (!history) return std::move(history).error();
  readable.history = std::make_unique<History>(*std::move(history));
  auto end = find_end(*readable.storage, *readable.history);
  if (!end) return std::move(end).error();
  readable.end = *end;
  return readable;
}

Result<Chain> chain_at(const Readable& readable, Sequence sequence) {
  if (sequence == 0) return readable.history->root_chain();
  const Floor floor = readable.history->floor();
  if (sequence + 1 == floor.sequence) return floor.chain_before;
  auto value = readable.storage->get(Family::kLog, log_key(sequence));
  if (!value) return std::move(value).error();
  if (!value->has_value())
    return Error{Code::kDataLoss, fmt::format("event {} is missing", sequence)};
  auto record = decode_record(sequence, **value);
  if (!record) return std::move(record).error();
  return record->chain;
}

// The first event that is missing although later ones are there. The write-ahead log has several
// files; when one of them is gone or ends early, RocksDB goes on with the next without a word.
// Missing tables it notices by itself, so only what was replayed is looked at.
Result<std::optional<Sequence>> first_hole(const Readable& readable) {
  const auto rows = readable.storage->iterate(
      Family::kLog, {.lower = log_key(readable.history->floor().sequence), .unflushed = true});
  rows->seek_to_first();
  if (!rows->is_valid()) return std::optional<Sequence>();
  Sequence expected = read_big_endian(rows->key());
  if (expected > readable.history->floor().sequence) {
    auto before = readable.storage->get(Family::kLog, log_key(expected - 1));
    if (!before) return std::move(before).error();
    if (!before->has_value()) return std::optional<Sequence>(expected - 1);
  }
  for (; rows->is_valid(); rows->next(), ++expected) {
    if (read_big_endian(rows->key()) != expected) return std::optional<Sequence>(expected);
  }
  auto status = rows->status();
  if (!status) return std::move(status).error();
  return std::optional<Sequence>();
}

// What is missing of what HEAD promises; empty when nothing is.
std::string missing_of(const Readable& readable, const HeadMark& mark) {
  auto hole = first_hole(readable);
  if (!hole) return hole.error().message;
  if (hole->has_value()) return fmt::format("event {} is missing before later ones", **hole);
  if (mark.log != readable.history->log_id()) {
    return fmt::format("HEAD belongs to the log {}, the data to {}", mark.log.text(),
                       readable.history->log_id().text());
  }
  const Sequence recovered = readable.end.head.sequence;
  if (recovered < mark.head.sequence) {
    return fmt::format("events up to {} were acknowledged, but only those up to {} are readable",
                       mark.head.sequence, recovered);
  }
  // A mark below the floor is as old as a trim, and was compared before it.
  if (mark.head.sequence + 1 < readable.history->floor().sequence) return {};
  auto chain = chain_at(readable, mark.head.sequence);
  if (!chain) return chain.error().message;
  if (*chain != mark.head.chain) {
    return fmt::format("event {} is not the one that was acknowledged", mark.head.sequence);
  }
  return {};
}

// Locks, and looks without changing anything. Nothing is returned when there is no log.
struct Probed {
  std::unique_ptr<LogDirectory> directory;
  HeadMark mark;
  std::optional<TornManifest> torn;
  std::optional<Readable> readable;
};

std::variant<Probed, OpenError> probe(const StoreOptions& options, bool create) {
  auto locked = LogDirectory::lock(options, create);
  if (auto* error = std::get_if<OpenError>(&locked)) return std::move(*error);
  Probed probed;
  probed.directory = std::get<0>(std::move(locked));
  auto has_log = probed.directory->has_log();
  if (auto* error = std::get_if<OpenError>(&has_log)) return std::move(*error);
  if (create) {
    if (auto error = probed.directory->check_space()) return *std::move(error);
  }
  if (!std::get<bool>(has_log)) return probed;
  auto mark = HeadFile::read(*probed.directory->file_system(), probed.directory->head_path());
  if (!mark) return cannot_read(options, mark.error());
  probed.mark = *mark;
  probed.torn = find_torn_manifest(*probed.directory->file_system(), probed.directory->db_path());
  auto view = options.file_system;
  if (probed.torn) view = view_without_tail(probed.directory->file_system(), *probed.torn);
  auto readable = read_storage(*probed.directory, Storage::Mode::kReadOnly, view);
  if (!readable) return cannot_read(options, readable.error());
  const std::string missing = missing_of(*readable, *mark);
  if (!missing.empty()) return refuse(options, missing);
  probed.readable = *std::move(readable);
  return probed;
}

}  // namespace

std::string way_out(const std::string& dir) {
  return fmt::format("to go on with what is readable, run `tidegate log accept-loss --data {}`",
                     dir);
}

Result<LogEnd> find_end(const Storage& storage, const History& history) {
  const Floor floor = history.floor();
  LogEnd end{{floor.sequence - 1, floor.chain_before}, floor.time_before_us};
  const auto rows = storage.iterate(Family::kLog, {.lower = log_key(floor.sequence)});
  rows->seek_to_last();
  if (rows->is_valid()) {
    const Sequence sequence = rows->key().size() == kLogKeyBytes ? read_big_endian(rows->key()) : 0;
    auto record = decode_record(sequence, rows->value());
    if (!record) return std::move(record).error();
    end = {{sequence, record->chain}, record->append_time_us};
  }
  auto status = rows->status();
  if (!status) return std::move(status).error();
  return end;
}

std::variant<OpenedLog, OpenError> open_log(const StoreOptions& options, std::int64_t now_us) {
  auto found = probe(options, true);
  if (auto* error = std::get_if<OpenError>(&found)) return std::move(*error);
  Probed& probed = std::get<Probed>(found);
  if (!probed.readable) {
    if (auto error = probed.directory->create_log(now_us)) return *std::move(error);
    auto mark = HeadFile::read(*probed.directory->file_system(), probed.directory->head_path());
    if (!mark) return OpenError{mark.error(), kExitIo};
    probed.mark = *mark;
  } else {
    probed.readable.reset();  // the probe's handle is closed before the next one opens
    probed.directory->remove_replaced();
    probed.directory->keep_write_ahead_logs();
    if (probed.torn) {
      if (auto error = probed.directory->cut_manifest(*probed.torn)) return *std::move(error);
    }
  }
  auto readable = read_storage(*probed.directory, Storage::Mode::kReadWrite, options.file_system);
  if (!readable) return cannot_read(options, readable.error());
  const std::string missing = missing_of(*readable, probed.mark);
  if (!missing.empty()) return refuse(options, missing);
  auto head_file = HeadFile::open(probed.directory->file_system(), probed.directory->head_path());
  if (!head_file) return OpenError{head_file.error(), kExitIo};

  OpenedLog opened;
  opened.head = readable->end.head;
  opened.last_time_us = readable->end.time_us;
  opened.directory = std::move(probed.directory);
  opened.storage = std::move(readable->storage);
  opened.history = std::move(readable->history);
  opened.head_file = *std::move(head_file);
  if (opened.head.sequence > probed.mark.head.sequence) {
    log(LogLevel::kInfo, "events above HEAD were recovered",
        {{"head", probed.mark.head.sequence}, {"recovered", opened.head.sequence}});
  }
  auto marked = opened.head_file->advance({opened.history->log_id(), opened.head});
  if (!marked) return OpenError{marked.error(), kExitIo};
  return opened;
}

std::variant<OpenedLog, OpenError> open_log_read_only(const StoreOptions& options) {
  auto found = probe(options, false);
  if (auto* error = std::get_if<OpenError>(&found)) return std::move(*error);
  Probed& probed = std::get<Probed>(found);
  if (!probed.readable) {
    return OpenError{{Code::kNotFound, fmt::format("there is no log in {}", options.dir)},
                     kExitData};
  }
  OpenedLog opened;
  opened.head = probed.readable->end.head;
  opened.last_time_us = probed.readable->end.time_us;
  opened.directory = std::move(probed.directory);
  opened.storage = std::move(probed.readable->storage);
  opened.history = std::move(probed.readable->history);
  return opened;
}

}  // namespace tidegate
