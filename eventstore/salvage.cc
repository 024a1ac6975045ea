#include "eventstore/salvage.h"

#include <algorithm>

#include "eventstore/cursors.h"
#include "eventstore/keys.h"
#include "eventstore/record.h"
#include "eventstore/stream_index.h"
#include "tidegate/storage/v1/record.pb.h"

namespace tidegate {
namespace {

constexpr std::size_t kBatchBytes = 4 << 20;

using VisitRow = std::function<Status(std::string_view key, std::string_view value)>;

// Calls `visit` with the rows from the front up to the damage and from the back down to it. Whether
// those were all.
Result<bool> visit_readable(const Storage& storage, Family family, const Storage::Range& range,
                            const VisitRow& visit) {
  std::string reached;
  const auto forward = storage.iterate(family, range);
  for (forward->seek_to_first(); forward->is_valid(); forward->next()) {
    auto status = visit(forward->key(), forward->value());
    if (!status) return std::move(status).error();
    reached = forward->key();
  }
  if (forward->status()) return true;
  const auto backward = storage.iterate(family, range);
  for (backward->seek_to_last(); backward->is_valid() && backward->key() > reached;
       backward->prev()) {
    auto status = visit(backward->key(), backward->value());
    if (!status) return std::move(status).error();
  }
  return false;
}

class Copy {
 public:
  Copy(const Storage& from, const History& history, Storage& to,
       const std::function<Status()>& has_room)
      : from_(from), history_(history), to_(to), has_room_(has_room), batch_(to) {}

  Result<Salvaged> run() {
    history_.put_lineage(batch_);
    History::put_floor(batch_, history_.floor());
    Salvaged salvaged;
    auto log = copy_log();
    if (!log) return std::move(log).error();
    auto cursors = copy_cursors();
    if (!cursors) return std::move(cursors).error();
    salvaged.all_cursors = *cursors;
    auto streams = copy_index();
    if (!streams) return std::move(streams).error();
    salvaged.all_streams = *streams;
    auto definitions = copy_definitions();
    if (!definitions) return std::move(definitions).error();
    salvaged.all_definitions = *definitions;
    auto written = write();
    if (!written) return std::move(written).error();
    return salvaged;
  }

 private:
  Status put(Family family, std::string_view key, std::string_view value) {
    batch_.put(family, key, value);
    bytes_ += key.size() + value.size();
    return bytes_ < kBatchBytes ? Status() : write();
  }

  Status write() {
    auto room = has_room_();
    if (!room) return room;
    auto written = to_.write_unsynced(batch_);
    batch_.clear();
    bytes_ = 0;
    return written;
  }

  Status copy_log() {
    LogEnd end = before_first(history_.floor());
    while (const auto value = next_readable(from_, end)) {
      auto status = put(Family::kLog, log_key(end.head.sequence), *value);
      if (!status) return status;
    }
    last_ = end.head.sequence;
    return {};
  }

  Result<bool> copy_cursors() {
    bool sound = true;
    auto all = visit_readable(from_, Family::kCursors, {}, [&](auto key, auto value) {
      if (decode_cursor(value)) return put(Family::kCursors, key, value);
      sound = false;
      return Status();
    });
    if (!all) return all;
    return *all && sound;
  }

  // What lies on both sides of the derived rows.
  Result<bool> copy_definitions() {
    const VisitRow copy = [this](std::string_view key, std::string_view value) {
      return put(Family::kProjections, key, value);
    };
    const Storage::Range before{.upper = std::string(1, kDerivedKind)};
    const Storage::Range behind{.lower = std::string(1, kDerivedKind + 1)};
    auto all_before = visit_readable(from_, Family::kProjections, before, copy);
    if (!all_before) return all_before;
    auto all_behind = visit_readable(from_, Family::kProjections, behind, copy);
    if (!all_behind) return all_behind;
    return *all_before && *all_behind;
  }

  Result<bool> copy_index() {
    const auto looked =
        visit_readable(from_, Family::kIndex, {}, [](auto, auto) { return Status(); });
    if (!looked) return looked;
    if (*looked) {
      return visit_readable(from_, Family::kIndex, {},
                            [&](auto key, auto value) { return put(Family::kIndex, key, value); });
    }
    // The next opening derives it from the log.
    if (history_.floor().sequence == 1) return true;
    auto streams = copy_streams();
    if (!streams) return std::move(streams).error();
    return false;
  }

  // The index as of the floor, without runs: the opening takes up the events from there.
  Status copy_streams() {
    storage::v1::IndexCheckpoint checkpoint;
    checkpoint.set_indexed_sequence(history_.floor().sequence - 1);
    checkpoint.set_next_stream_number(1);
    const Storage::Range streams{.lower = std::string(1, kStreamKind),
                                 .upper = std::string(1, kStreamKind + 1)};
    auto all = visit_readable(from_, Family::kIndex, streams, [&](auto key, auto value) {
      storage::v1::StreamRow row;
      if (!row.ParseFromArray(value.data(), static_cast<int>(value.size()))) return Status();
      checkpoint.set_next_stream_number(
          std::max(checkpoint.next_stream_number(), row.number() + 1));
      // What is given up may count in the row. The opening sets a stream right that has events
      // above the floor; of others the revision may stay too high, which leaves a gap but repeats
      // none.
      if (row.last_sequence() > last_) row.set_last_sequence(history_.floor().sequence - 1);
      return put(Family::kIndex, key, row.SerializeAsString());
    });
    if (!all) return std::move(all).error();
    return put(Family::kIndex, checkpoint_key(), checkpoint.SerializeAsString());
  }

  const Storage& from_;
  const History& history_;
  Storage& to_;
  const std::function<Status()>& has_room_;
  StorageBatch batch_;
  std::size_t bytes_ = 0;
  Sequence last_ = 0;  // of the events that were copied
};

}  // namespace

LogEnd before_first(const Floor& floor) {
  return {{floor.sequence - 1, floor.chain_before}, floor.time_before_us};
}

std::optional<std::string> next_readable(const Storage& storage, LogEnd& end) {
  const Sequence sequence = end.head.sequence + 1;
  auto value = storage.get(Family::kLog, log_key(sequence));
  if (!value || !value->has_value()) return std::nullopt;
  const auto record = decode_record(sequence, **value);
  if (!record || chain_after(end.head.chain, **value) != record->chain) return std::nullopt;
  end = {{sequence, record->chain}, record->append_time_us};
  return **std::move(value);
}

Result<Salvaged> copy_readable(const Storage& from, const History& history, Storage& to,
                               const std::function<Status()>& has_room) {
  return Copy(from, history, to, has_room).run();
}

}  // namespace tidegate
