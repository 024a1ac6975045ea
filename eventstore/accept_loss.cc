#include <fmt/format.h>

#include "eventstore/base/clock.h"
#include "eventstore/base/log.h"
#include "eventstore/cursors.h"
#include "eventstore/keys.h"
#include "eventstore/open.h"
#include "eventstore/salvage.h"
#include "eventstore/stream_index.h"
#include "tidegate/storage/v1/record.pb.h"

// The way out of a log that does not hold what was acknowledged: everything after the readable
// prefix is given up, in the open. It happens aside: all changes are one synced batch to a database
// of links to the files of db/, or, because a damaged table would be met again by every later read
// of its range, to a copy of what is readable. That takes the place of db/, and HEAD follows; until
// then the open refuses, and a second run after a kill comes to the same end.

namespace tidegate {
namespace {

// Cuts the index back to `fork`. It must not be derived anew: below the floor its rows are all that
// is known of revisions.
class IndexCut {
 public:
  IndexCut(const Storage& storage, StorageBatch& batch, const Floor& floor, Sequence fork)
      : storage_(storage), batch_(batch), floor_(floor), fork_(fork) {}

  Status run() {
    auto value = storage_.get(Family::kIndex, checkpoint_key());
    if (!value) return std::move(value).error();
    storage::v1::IndexCheckpoint checkpoint;
    if (!value->has_value() || !checkpoint.ParseFromString(**value)) return {};
    if (checkpoint.indexed_sequence() <= fork_) return {};
    const auto rows = storage_.iterate(Family::kIndex, {.lower = std::string(1, kStreamKind),
                                                        .upper = std::string(1, kStreamKind + 1)});
    for (rows->seek_to_first(); rows->is_valid(); rows->next()) {
      auto entry = decode_stream_entry(rows->value());
      if (!entry) return std::move(entry).error();
      if (entry->last_sequence <= fork_) continue;
      auto cut = cut_stream(rows->key(), *entry);
      if (!cut) return cut;
    }
    auto status = rows->status();
    if (!status) return status;
    checkpoint.set_indexed_sequence(fork_);
    batch_.put(Family::kIndex, checkpoint_key(), checkpoint.SerializeAsString());
    return {};
  }

 private:
  Status cut_stream(std::string_view key, const StreamEntry& entry) {
    const auto runs = storage_.iterate(Family::kIndex, {.lower = run_key(entry.number, fork_ + 1),
                                                        .upper = run_key(entry.number + 1, 0)});
    storage::v1::StreamRow row;
    row.set_number(entry.number);
    row.set_first_revision(entry.first_revision);
    bool is_first = true;
    for (runs->seek_to_first(); runs->is_valid(); runs->next()) {
      auto run = decode_run(runs->value());
      if (!run) return std::move(run).error();
      if (is_first) {
        auto kept = keep_beginning(entry.number, *run, row);
        if (!kept) return kept;
      }
      is_first = false;
      batch_.remove(Family::kIndex, runs->key());
    }
    auto status = runs->status();
    if (!status) return status;
    if (row.last_revision() < row.first_revision()) {
      batch_.remove(Family::kIndex, key);  // the stream began after the fork
    } else {
      batch_.put(Family::kIndex, key, row.SerializeAsString());
    }
    return {};
  }

  // The first run that ends above the fork: its events up to the fork stay.
  Status keep_beginning(std::uint64_t number, const IndexRun& run, storage::v1::StreamRow& row) {
    storage::v1::RunRow kept;
    kept.set_first_revision(run.first_revision);
    Sequence before = 0;
    for (const Sequence sequence : run.sequences) {
      if (sequence > fork_) break;
      kept.add_sequence_deltas(sequence - before);
      before = sequence;
    }
    row.set_last_revision(run.first_revision +
                          static_cast<std::uint64_t>(kept.sequence_deltas_size()) - 1);
    if (before != 0) {
      row.set_last_sequence(before);
      batch_.put(Family::kIndex, run_key(number, before), kept.SerializeAsString());
      return {};
    }
    auto last = last_before_fork(number);
    if (!last) return std::move(last).error();
    row.set_last_sequence(*last);
    return {};
  }

  // The end of the newest run up to the fork. Where a stream's last event was that is trimmed is no
  // longer known, only that it was below the floor.
  Result<Sequence> last_before_fork(std::uint64_t number) {
    const auto runs = storage_.iterate(
        Family::kIndex, {.lower = run_key(number, 0), .upper = run_key(number, fork_ + 1)});
    runs->seek_to_last();
    if (runs->is_valid()) return run_last_sequence(runs->key());
    auto status = runs->status();
    if (!status) return std::move(status).error();
    return floor_.sequence - 1;
  }

  const Storage& storage_;
  StorageBatch& batch_;
  const Floor floor_;
  const Sequence fork_;
};

// Moves the cursors that stood beyond the fork back to it.
Result<std::uint64_t> clamp_cursors(const Storage& storage, const History& history,
                                    const Position& fork, StorageBatch& batch) {
  std::uint64_t moved = 0;
  const auto rows = storage.iterate(Family::kCursors, {});
  for (rows->seek_to_first(); rows->is_valid(); rows->next()) {
    auto cursor = decode_cursor(rows->value());
    if (!cursor) return std::move(cursor).error();
    const auto shared = history.shared_until(cursor->position.log);
    if (shared && cursor->position.sequence <= std::min(*shared, fork.sequence)) continue;
    cursor->lapsed_from = cursor->position.sequence;
    cursor->position = fork;
    ++cursor->generation;
    batch.put(Family::kCursors, rows->key(), encode_cursor(*cursor));
    ++moved;
  }
  auto status = rows->status();
  if (!status) return std::move(status).error();
  return moved;
}

OpenError nothing_readable(const Error& error) {
  return {{Code::kDataLoss,
           fmt::format("nothing of the log can be read: {}. Restore a backup", error.message)},
          kExitData};
}

Status has_room(const StoreOptions& options, std::uint64_t log_bytes) {
  const std::uint64_t free = free_bytes_of(options);
  if (free >= options.disk_hard_bytes) return {};
  return Error{
      Code::kDiskLow,
      fmt::format("tables of the log are damaged, so that what is readable must be copied; "
                  "there is not enough room for that on the file system of {}: up to {} "
                  "MiB are needed, and {} MiB must stay free. Free some space and accept "
                  "the loss again (the log was not changed)",
                  options.dir, log_bytes >> 20, options.disk_hard_bytes >> 20)};
}

// The database in which the loss is accepted.
struct Ground {
  std::unique_ptr<Storage> storage;
  std::string path;
};

std::variant<Ground, OpenError> copy_to(const LogDirectory& directory, const StoreOptions& options,
                                        Storage& from, AcceptedLoss& loss) {
  auto history = History::read(from);
  if (!history) return nothing_readable(history.error());
  const std::uint64_t bytes = from.bytes_on_disk();
  auto apart = from.tell_tables_apart();
  if (!apart) return OpenError{apart.error(), kExitIo};
  auto made = Storage::open(directory.copy_path(), Storage::Mode::kCreate, options.file_system);
  if (!made) return OpenError{made.error(), kExitCannotCreate};
  auto copied = copy_readable(from, *history, **made, [&] { return has_room(options, bytes); });
  if (!copied) {
    const bool is_full = copied.error().code == Code::kDiskLow;
    return OpenError{copied.error(), is_full ? kExitCannotCreate : kExitIo};
  }
  loss.cursors_lost = !copied->all_cursors;
  loss.streams_lost = !copied->all_streams;
  loss.projections_lost = !copied->all_definitions;
  return Ground{*std::move(made), directory.copy_path()};
}

// The same files as those of db/ when all of its tables are sound, else a copy of what is readable.
std::variant<Ground, OpenError> find_ground(const LogDirectory& directory,
                                            const StoreOptions& options, AcceptedLoss& loss) {
  if (auto error = directory.link_db()) return *std::move(error);
  const std::string path = directory.links_path();
  auto opened = Storage::open(path, Storage::Mode::kSalvage, options.file_system);
  if (!opened) return nothing_readable(opened.error());
  auto tables = (*opened)->verify_tables();
  if (tables) return Ground{*std::move(opened), path};
  log(LogLevel::kWarn, "tables of the log are damaged: copying what is readable",
      {{"error", tables.error().message},
       {"bytes", (*opened)->bytes_on_disk()},
       {"free_bytes", free_bytes_of(options)}});
  return copy_to(directory, options, **opened, loss);
}

// Makes the readable prefix a history of its own, in one synced batch.
std::variant<HeadMark, OpenError> fork_history(Storage& storage, std::int64_t now_us,
                                               AcceptedLoss& loss) {
  auto history = History::read(storage);
  if (!history) return nothing_readable(history.error());
  LogEnd end = before_first(history->floor());
  while (next_readable(storage, end)) {
  }
  loss.parent = history->log_id();
  loss.log = LogId::random();
  loss.fork = end.head.sequence;

  StorageBatch batch(storage);
  auto cut = IndexCut(storage, batch, history->floor(), loss.fork).run();
  if (!cut) return OpenError{cut.error(), kExitData};
  const Position fork = Position::at(loss.log, loss.fork, end.head.chain);
  auto moved = clamp_cursors(storage, *history, fork, batch);
  if (!moved) return OpenError{moved.error(), kExitData};
  loss.cursors_moved = *moved;
  history->add_branch({loss.log, loss.fork, now_us, "accepted_loss"});
  history->put_lineage(batch);
  batch.remove_above(Family::kLog, log_key(loss.fork + 1));
  auto written = storage.write_synced(batch);
  if (!written) return OpenError{written.error(), kExitIo};
  return HeadMark{loss.log, end.head};
}

// Makes the database that takes the place of db/: its path, and the mark of where it ends.
struct Accepted {
  std::string path;
  HeadMark mark;
};

std::variant<Accepted, OpenError> accept_aside(const LogDirectory& directory,
                                               const StoreOptions& options, AcceptedLoss& loss) {
  auto found = find_ground(directory, options, loss);
  if (auto* error = std::get_if<OpenError>(&found)) return std::move(*error);
  const Ground& ground = std::get<Ground>(found);
  const SystemClock system_clock;
  const Clock* const clock = options.clock != nullptr ? options.clock : &system_clock;
  auto mark = fork_history(*ground.storage, clock->wall_us(), loss);
  if (auto* error = std::get_if<OpenError>(&mark)) return std::move(*error);
  return Accepted{ground.path, std::get<HeadMark>(mark)};
}

}  // namespace

std::variant<AcceptedLoss, OpenError> accept_loss(StoreOptions options) {
  auto locked = LogDirectory::lock(options, false);
  if (auto* error = std::get_if<OpenError>(&locked)) return std::move(*error);
  const auto directory = std::get<0>(std::move(locked));
  auto has_log = directory->has_log();
  if (auto* error = std::get_if<OpenError>(&has_log)) return std::move(*error);
  if (!std::get<bool>(has_log)) {
    return OpenError{{Code::kNotFound, fmt::format("there is no log in {}", options.dir)},
                     kExitData};
  }
  if (auto error = directory->check_space()) return *std::move(error);
  if (auto error = directory->settle_replacement()) return *std::move(error);
  AcceptedLoss loss;
  if (const auto head = HeadFile::read(*directory->file_system(), directory->head_path()))
    loss.acknowledged_head = head->head.sequence;
  directory->keep_write_ahead_logs();

  auto accepted = accept_aside(*directory, options, loss);
  if (auto* error = std::get_if<OpenError>(&accepted)) {
    directory->remove_replaced();  // the room is needed
    return std::move(*error);
  }
  const auto& [path, mark] = std::get<Accepted>(accepted);
  if (auto error = directory->replace_db(path)) return *std::move(error);
  if (auto error = directory->write_head(mark)) return *std::move(error);
  directory->remove_replaced();
  log(LogLevel::kWarn, "loss accepted",
      {{"parent", loss.parent.text()},
       {"log", loss.log.text()},
       {"fork", loss.fork},
       {"acknowledged_head", loss.acknowledged_head},
       {"cursors_moved", loss.cursors_moved},
       {"cursors_lost", loss.cursors_lost},
       {"streams_lost", loss.streams_lost},
       {"projections_lost", loss.projections_lost}});
  return loss;
}

}  // namespace tidegate
