#include "eventstore/stream_index.h"

#include <algorithm>

#include "eventstore/base/check.h"
#include "eventstore/keys.h"
#include "tidegate/storage/v1/record.pb.h"

namespace tidegate {
namespace {

Error damaged() {
  return {Code::kDataLoss, "the stream index is damaged; `tidegate log verify` tells more"};
}

std::string encode(const StreamEntry& entry) {
  storage::v1::StreamRow row;
  row.set_number(entry.number);
  row.set_first_revision(entry.first_revision);
  row.set_last_revision(entry.last_revision);
  row.set_last_sequence(entry.last_sequence);
  return row.SerializeAsString();
}

// The end of the keys that begin with `prefix`.
std::string after_prefix(std::string prefix) {
  while (!prefix.empty()) {
    if (static_cast<unsigned char>(prefix.back()) != 0xFF) {
      ++prefix.back();
      return prefix;
    }
    prefix.pop_back();
  }
  return prefix;
}

Storage::Range runs_of(std::uint64_t number) {
  return {.lower = run_key(number, 0), .upper = run_key(number + 1, 0)};
}

}  // namespace

Result<StreamEntry> decode_stream_entry(std::string_view value) {
  storage::v1::StreamRow row;
  if (!row.ParseFromArray(value.data(), static_cast<int>(value.size()))) return damaged();
  return StreamEntry{row.number(), row.first_revision(), row.last_revision(), row.last_sequence()};
}

Result<IndexRun> decode_run(std::string_view value) {
  storage::v1::RunRow row;
  if (!row.ParseFromArray(value.data(), static_cast<int>(value.size()))) return damaged();
  IndexRun run;
  run.first_revision = row.first_revision();
  run.sequences.reserve(static_cast<std::size_t>(row.sequence_deltas_size()));
  Sequence sequence = 0;
  for (const std::uint64_t delta : row.sequence_deltas())
    run.sequences.push_back(sequence += delta);
  if (run.sequences.empty()) return damaged();
  return run;
}

StreamIndex::StreamIndex(Storage& storage) : storage_(storage) {}

Status StreamIndex::open() {
  auto value = storage_.get(Family::kIndex, checkpoint_key());
  if (!value) return std::move(value).error();
  if (!value->has_value()) return {};
  storage::v1::IndexCheckpoint checkpoint;
  if (!checkpoint.ParseFromString(**value)) return damaged();
  next_stream_number_ = checkpoint.next_stream_number();
  indexed_ = checkpoint.indexed_sequence();
  flushed_ = checkpoint.indexed_sequence();
  return {};
}

Status StreamIndex::apply(const Segment& segment, Sequence last) {
  if (known_.size() > kKnownStreamsMax) known_.clear();
  Part part{{}, indexed(), next_stream_number_};
  Status status = collect(segment, last, part);
  if (status && part.streams.empty()) return {};
  if (status) status = write(part);
  if (!status) {
    known_.clear();  // it knows what is not on disk
    return status;
  }
  for (Streams::value_type* stream : part.streams) stream->second.run = {};
  next_stream_number_ = part.next_number;
  // Pairs with the acquire in indexed(): who sees it finds the rows.
  indexed_.store(part.end, std::memory_order_release);
  return {};
}

// The events after indexed(), by stream.
Status StreamIndex::collect(const Segment& segment, Sequence last, Part& part) {
  for (std::size_t i = segment.index_after(part.end); i < segment.count(); ++i) {
    const RecordView& record = segment.record(i);
    if (record.sequence > last) break;
    TG_CHECK(record.sequence == part.end + 1, record.sequence, part.end);
    auto stream = known(record.stream, record.revision, part.next_number);
    if (!stream) return std::move(stream).error();
    auto& [entry, run] = (*stream)->second;
    if (run.empty()) part.streams.push_back(*stream);
    run.push_back(record.sequence);
    entry.last_revision = record.revision;
    entry.last_sequence = record.sequence;
    part.end = record.sequence;
  }
  return {};
}

Result<StreamIndex::Streams::value_type*> StreamIndex::known(std::string_view stream,
                                                             Revision first_revision,
                                                             std::uint64_t& next_number) {
  if (const auto at = known_.find(stream); at != known_.end()) return &*at;
  auto entry = find(stream);
  if (!entry) return std::move(entry).error();
  const StreamEntry fresh{next_number, first_revision, 0, 0};
  if (!entry->has_value()) ++next_number;
  return &*known_.emplace(stream, Stream{entry->value_or(fresh)}).first;
}

// In the order of the keys, which takes the memtable a fraction of the time (Storage::open).
Status StreamIndex::write(Part& part) {
  StorageBatch batch(storage_);
  auto& streams = part.streams;
  std::sort(streams.begin(), streams.end(), [](const auto* one, const auto* other) {
    return one->second.entry.number < other->second.entry.number;
  });
  for (const Streams::value_type* stream : streams) {
    const auto& [entry, run] = stream->second;
    storage::v1::RunRow row;
    row.set_first_revision(entry.last_revision - run.size() + 1);
    Sequence before = 0;
    for (const Sequence sequence : run) {
      row.add_sequence_deltas(sequence - before);
      before = sequence;
    }
    batch.put(Family::kIndex, run_key(entry.number, before), row.SerializeAsString());
  }
  std::sort(streams.begin(), streams.end(),
            [](const auto* one, const auto* other) { return one->first < other->first; });
  for (const Streams::value_type* stream : streams) {
    batch.put(Family::kIndex, stream_key(stream->first), encode(stream->second.entry));
  }
  storage::v1::IndexCheckpoint checkpoint;
  checkpoint.set_indexed_sequence(part.end);
  checkpoint.set_next_stream_number(part.next_number);
  batch.put(Family::kIndex, checkpoint_key(), checkpoint.SerializeAsString());
  return storage_.write_unlogged(batch);
}

Status StreamIndex::flush() {
  const Sequence covered = indexed();
  auto flushed = storage_.flush(Family::kIndex);
  if (flushed) flushed_.store(covered, std::memory_order_release);
  return flushed;
}

Result<std::optional<StreamEntry>> StreamIndex::find(std::string_view stream) const {
  auto value = storage_.get(Family::kIndex, stream_key(stream));
  if (!value) return std::move(value).error();
  if (!value->has_value()) return std::optional<StreamEntry>();
  auto entry = decode_stream_entry(**value);
  if (!entry) return std::move(entry).error();
  return std::optional<StreamEntry>(*entry);
}

Result<std::vector<NamedStream>> StreamIndex::list(std::string_view prefix,
                                                   std::string_view after_name,
                                                   std::size_t limit) const {
  std::vector<NamedStream> streams;
  const std::string lower = stream_key(prefix);
  const auto rows =
      storage_.iterate(Family::kIndex, {.lower = lower, .upper = after_prefix(lower)});
  // The key after `after_name` in byte order is the name and a NUL.
  rows->seek(after_name.empty() ? lower : stream_key(after_name) + '\0');
  for (; rows->is_valid() && streams.size() < limit; rows->next()) {
    auto entry = decode_stream_entry(rows->value());
    if (!entry) return std::move(entry).error();
    streams.push_back({std::string(rows->key().substr(1)), *entry});
  }
  auto status = rows->status();
  if (!status) return std::move(status).error();
  return streams;
}

Result<std::optional<std::vector<std::string>>> StreamIndex::matching(const Pattern& pattern,
                                                                      std::size_t names_max,
                                                                      std::size_t rows_max) const {
  std::vector<std::string> names;
  if (pattern.is_exact()) {
    names.push_back(pattern.text());
    return std::optional(std::move(names));
  }
  const std::string_view text = pattern.text();
  const std::string lower = stream_key(text.substr(0, text.find_first_of("*>")));
  const auto rows =
      storage_.iterate(Family::kIndex, {.lower = lower, .upper = after_prefix(lower)});
  std::size_t looked_at = 0;
  for (rows->seek_to_first(); rows->is_valid(); rows->next()) {
    if (++looked_at > rows_max) return std::optional<std::vector<std::string>>();
    const std::string_view name = rows->key().substr(1);
    if (!pattern.matches(name)) continue;
    if (names.size() == names_max) return std::optional<std::vector<std::string>>();
    names.emplace_back(name);
  }
  auto status = rows->status();
  if (!status) return std::move(status).error();
  return std::optional(std::move(names));
}

Result<std::vector<Sequence>> StreamIndex::sequences_after(std::string_view stream, Sequence after,
                                                           Sequence until,
                                                           std::size_t limit) const {
  std::vector<Sequence> found;
  auto entry = find(stream);
  if (!entry) return std::move(entry).error();
  if (!entry->has_value()) return found;
  const auto rows = storage_.iterate(Family::kIndex, runs_of((*entry)->number));
  for (rows->seek(run_key((*entry)->number, after + 1)); rows->is_valid() && found.size() < limit;
       rows->next()) {
    auto run = decode_run(rows->value());
    if (!run) return std::move(run).error();
    for (const Sequence sequence : run->sequences) {
      if (sequence > until) return found;
      if (sequence > after) found.push_back(sequence);
    }
  }
  auto status = rows->status();
  if (!status) return std::move(status).error();
  return found;
}

Result<std::vector<Sequence>> StreamIndex::sequences_before(std::string_view stream,
                                                            Sequence before,
                                                            std::size_t limit) const {
  std::vector<Sequence> found;
  auto entry = find(stream);
  if (!entry) return std::move(entry).error();
  if (!entry->has_value()) return found;
  const auto rows = storage_.iterate(Family::kIndex, runs_of((*entry)->number));
  // The first run that ends at or above `before` may begin below it.
  rows->seek(run_key((*entry)->number, before));
  if (!rows->is_valid()) rows->seek_to_last();
  for (; rows->is_valid() && found.size() < limit; rows->prev()) {
    auto run = decode_run(rows->value());
    if (!run) return std::move(run).error();
    for (auto sequence = run->sequences.rbegin(); sequence != run->sequences.rend(); ++sequence) {
      if (*sequence < before) found.push_back(*sequence);
    }
  }
  auto status = rows->status();
  if (!status) return std::move(status).error();
  return found;
}

}  // namespace tidegate
