#include <fmt/format.h>

#include "eventstore/base/clock.h"
#include "eventstore/base/log.h"
#include "eventstore/cursors.h"
#include "eventstore/keys.h"
#include "eventstore/open.h"
#include "eventstore/record.h"
#include "eventstore/stream_index.h"
#include "tidegate/storage/v1/record.pb.h"

// The way out of a log that does not hold what was acknowledged: everything after the readable
// prefix is given up, in the open. The order of steps makes a second run after a kill come to the
// same end: all changes are one synced batch, and HEAD follows; until then the open refuses.

namespace tidegate {
namespace {

// The end of the events that follow one another without a gap, with a chain that holds.
Result<LogEnd> readable_prefix(const Storage& storage, const History& history) {
  const Floor floor = history.floor();
  LogEnd end{{floor.sequence - 1, floor.chain_before}, floor.time_before_us};
  const auto rows =
      storage.iterate(Family::kLog, {.lower = log_key(floor.sequence), .sequential = true});
  for (rows->seek_to_first(); rows->is_valid(); rows->next()) {
    const Sequence sequence = rows->key().size() == kLogKeyBytes ? read_big_endian(rows->key()) : 0;
    auto record = decode_record(sequence, rows->value());
    const bool follows = record && sequence == end.head.sequence + 1 &&
                         chain_after(end.head.chain, rows->value()) == record->chain;
    if (!follows) break;
    end = {{sequence, record->chain}, record->append_time_us};
  }
  return end;
}

// Cuts the index back to `fork`. It must not be derived anew: below the floor its rows are all that
// is known of revisions.
class IndexCut {
 public:
  IndexCut(const Storage& storage, StorageBatch& batch, Sequence fork)
      : storage_(storage), batch_(batch), fork_(fork) {}

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
      if (is_first) keep_beginning(entry.number, *run, row);
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
  void keep_beginning(std::uint64_t number, const IndexRun& run, storage::v1::StreamRow& row) {
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
    // Where the event before the run was is not needed to go on numbering: the fork is an upper
    // bound.
    row.set_last_sequence(before != 0 ? before : fork_);
    if (before != 0) batch_.put(Family::kIndex, run_key(number, before), kept.SerializeAsString());
  }

  const Storage& storage_;
  StorageBatch& batch_;
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
  const auto mark = HeadFile::read(*directory->file_system(), directory->head_path());

  directory->keep_write_ahead_logs();
  auto opened = Storage::open(directory->db_path(), Storage::Mode::kSalvage, options.file_system);
  if (!opened) return nothing_readable(opened.error());
  Storage& storage = **opened;
  auto history = History::read(storage);
  if (!history) return nothing_readable(history.error());
  auto end = readable_prefix(storage, *history);
  if (!end) return nothing_readable(end.error());

  const SystemClock system_clock;
  const Clock* const clock = options.clock != nullptr ? options.clock : &system_clock;
  AcceptedLoss loss;
  loss.parent = history->log_id();
  loss.log = LogId::random();
  loss.fork = end->head.sequence;
  loss.acknowledged_head = mark ? mark->head.sequence : 0;

  StorageBatch batch(storage);
  auto cut = IndexCut(storage, batch, loss.fork).run();
  if (!cut) return OpenError{cut.error(), kExitData};
  const Position fork = Position::at(loss.log, loss.fork, end->head.chain);
  auto moved = clamp_cursors(storage, *history, fork, batch);
  if (!moved) return OpenError{moved.error(), kExitData};
  loss.cursors_moved = *moved;
  history->add_branch({loss.log, loss.fork, clock->wall_us(), "accepted_loss"});
  history->put_lineage(batch);
  batch.remove_above(Family::kLog, log_key(loss.fork + 1));
  auto written = storage.write_synced(batch);
  if (!written) return OpenError{written.error(), kExitIo};
  if (auto error = directory->write_head({loss.log, end->head})) return *std::move(error);
  log(LogLevel::kWarn, "loss accepted",
      {{"parent", loss.parent.text()},
       {"log", loss.log.text()},
       {"fork", loss.fork},
       {"acknowledged_head", loss.acknowledged_head},
       {"cursors_moved", loss.cursors_moved}});
  return loss;
}

}  // namespace tidegate
