#include "eventstore/reader.h"

#include <algorithm>
#include <functional>

#include <fmt/format.h>

#include "eventstore/chunk_cache.h"
#include "eventstore/history.h"
#include "eventstore/keys.h"
#include "eventstore/record.h"
#include "eventstore/storage.h"
#include "eventstore/stream_index.h"
#include "eventstore/tail.h"

// Where events come from, by the place after which they are wanted:
//
//   floor ............ indexed ........ tail.first ............ head
//   [ chunks from disk, shared by all readers ][ segments of the tail ]
//   [ few streams: by the stream index ][ few streams: as the others  ]
//
// The tail always reaches below `indexed` (the appender waits for the index), so a reader of few
// streams that has passed what is indexed goes on in memory.

namespace tidegate {
namespace {

// A look-up of one event costs what reading about so many of the log in a row costs.
constexpr Sequence kLookUpCost = 8;
// Streams that a filter with wildcards may match to be answered by the index, and streams to look
// at for them: a step pays for that each time.
constexpr std::size_t kFewStreams = 64;
constexpr std::size_t kFewRows = 1024;
// A step ends early when its events are large: what readers at different places hold is bounded by
// bytes. One event always fits.
constexpr std::size_t kReadBytesMax = std::size_t{4} << 20;

Error trimmed(Sequence wanted, Sequence floor) {
  return {Code::kTrimmed,
          fmt::format("sequence {} was trimmed: the log begins at {}", wanted, floor),
          {{ErrorDetail::Kind::kFact, "floor", std::to_string(floor)}}};
}

Error missing(Sequence sequence) {
  return {Code::kDataLoss,
          fmt::format("event {} is missing from the log; `tidegate log verify` tells how far "
                      "the damage goes",
                      sequence)};
}

struct OwnedRecord {
  std::string value;
  RecordView view;
};

// The views point into `value`, so it must not move after this.
Status read_record(const Storage& storage, Sequence sequence, OwnedRecord& record) {
  auto value = storage.get(Family::kLog, log_key(sequence));
  if (!value) return std::move(value).error();
  if (!value->has_value()) return missing(sequence);
  record.value = **std::move(value);
  auto view = decode_record(sequence, record.value);
  if (!view) return std::move(view).error();
  record.view = *view;
  return {};
}

SegmentRef make_segment(const std::vector<std::pair<Sequence, std::string>>& values,
                        std::size_t bytes, Status& status) {
  auto segment = std::make_shared<Segment>(bytes, std::max<std::size_t>(values.size(), 1));
  for (const auto& [sequence, value] : values) {
    auto record = decode_record(sequence, value);
    if (!record) {
      status = std::move(record).error();
      return nullptr;
    }
    const bool fits = segment->append(*record);
    TG_CHECK(fits, sequence);
  }
  if (!values.empty()) segment->publish(values.back().first);
  return segment;
}

// The newest events of [first, last], as many as a step may hold.
Result<SegmentRef> read_newest(const Storage& storage, Sequence first, Sequence last) {
  std::vector<std::pair<Sequence, std::string>> values;
  std::size_t bytes = 0;
  const auto rows =
      storage.iterate(Family::kLog, {.lower = log_key(first), .upper = log_key(last + 1)});
  Sequence expected = last;
  for (rows->seek_to_last(); rows->is_valid() && bytes < kReadBytesMax; rows->prev()) {
    if (rows->key().size() != kLogKeyBytes || read_big_endian(rows->key()) != expected)
      return missing(expected);
    values.emplace_back(expected--, rows->value());
    bytes += rows->value().size();
  }
  auto status = rows->status();
  if (!status) return std::move(status).error();
  if (expected >= first && bytes < kReadBytesMax) return missing(expected);
  std::reverse(values.begin(), values.end());
  auto segment = make_segment(values, bytes, status);
  if (!status) return std::move(status).error();
  return segment;
}

}  // namespace

Result<SegmentRef> read_segment(const Storage& storage, Sequence first, Sequence last) {
  std::vector<std::pair<Sequence, std::string>> values;
  std::size_t bytes = 0;
  const auto rows = storage.iterate(
      Family::kLog, {.lower = log_key(first), .upper = log_key(last + 1), .sequential = true});
  Sequence expected = first;
  for (rows->seek_to_first(); rows->is_valid() && bytes < kReadBytesMax; rows->next()) {
    if (rows->key().size() != kLogKeyBytes || read_big_endian(rows->key()) != expected)
      return missing(expected);
    values.emplace_back(expected++, rows->value());
    bytes += rows->value().size();
  }
  auto status = rows->status();
  if (!status) return std::move(status).error();
  if (expected <= last && bytes < kReadBytesMax) return missing(expected);
  auto segment = make_segment(values, bytes, status);
  if (!status) return std::move(status).error();
  return segment;
}

Reader::Reader(const Storage& storage, const Tail& tail, ChunkCache& chunks,
               const StreamIndex& index, const History& history)
    : storage_(storage), tail_(tail), chunks_(chunks), index_(index), history_(history) {}

// A trim may delete what an attempt is about to read, but it moves the floor first: a hole is
// damage only when the floor stood still meanwhile.
template <typename Attempt>
auto Reader::beside_trims(const Attempt& attempt) const {
  while (true) {
    const Sequence floor = history_.floor().sequence;
    auto result = attempt();
    if (result || result.error().code != Code::kDataLoss || history_.floor().sequence == floor)
      return result;
  }
}

Result<ReadChunk> Reader::read(const Filter& filter, Sequence after, std::size_t look_ups) const {
  TG_CHECK(look_ups > 0 && look_ups <= kLookUpsMax, look_ups);
  return beside_trims([&] { return read_once(filter, after, look_ups); });
}

Result<ReadChunk> Reader::read_backward(const Filter& filter, Sequence before) const {
  return beside_trims([&] { return read_backward_once(filter, before); });
}

Result<ReadChunk> Reader::read_once(const Filter& filter, Sequence after,
                                    std::size_t look_ups) const {
  const Sequence floor = history_.floor().sequence;
  if (after + 1 < floor) return trimmed(after + 1, floor);
  // Read before the rows, so that they cover it.
  const Sequence indexed = index_.indexed();
  if (after < indexed && after + 1 < tail_.first()) {
    auto streams = few_streams(filter);
    if (!streams) return std::move(streams).error();
    if (*streams) return read_streams(**streams, after, indexed, look_ups);
  }
  return read_run(after);
}

// The streams that the filter matches, each once, if they are few.
Result<std::optional<std::vector<std::string>>> Reader::few_streams(const Filter& filter) const {
  std::vector<std::string> names;
  for (const Pattern& pattern : filter.patterns()) {
    auto matching = index_.matching(pattern, kFewStreams, kFewRows);
    if (!matching || !*matching) return matching;
    names.insert(names.end(), (*matching)->begin(), (*matching)->end());
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  if (names.size() > kFewStreams) return std::optional<std::vector<std::string>>();
  return std::optional(std::move(names));
}

// The events right after `after`, whatever they are.
Result<ReadChunk> Reader::read_run(Sequence after) const {
  const Sequence head = tail_.head();
  if (after >= head) {
    auto chain = chain_at(head);
    if (!chain) return std::move(chain).error();
    return ReadChunk{nullptr, std::max(after, head), *chain};
  }
  SegmentRef segment = tail_.find(after + 1);
  if (!segment) {
    const std::uint64_t chunk = ChunkCache::chunk_of(after + 1);
    // The cache holds only whole chunks: a chunk at one of the ends of the log still changes.
    const Sequence floor = history_.floor().sequence;
    const bool whole = ChunkCache::first_of(chunk) >= floor && ChunkCache::last_of(chunk) <= head;
    if (whole) {
      auto cached = chunks_.get(chunk);
      if (!cached) return std::move(cached).error();
      segment = *std::move(cached);
    }
    // A chunk of large events is cut short: what follows is each reader's own.
    if (!segment || segment->last() <= after) {
      auto read = read_segment(storage_, after + 1, std::min(ChunkCache::last_of(chunk), head));
      if (!read) return std::move(read).error();
      segment = *std::move(read);
    }
  }
  // A segment of the tail may show events a moment before the head says so.
  const std::size_t count = segment->index_after(head);
  TG_CHECK(count > 0 && segment->record(count - 1).sequence > after, after);
  const RecordView& last = segment->record(count - 1);
  return ReadChunk{std::move(segment), last.sequence, last.chain};
}

// By the index: merges the next events of the streams.
Result<ReadChunk> Reader::read_streams(const std::vector<std::string>& streams, Sequence after,
                                       Sequence indexed, std::size_t look_ups) const {
  std::vector<Sequence> merged;
  Sequence examined = indexed;
  for (const std::string& stream : streams) {
    auto sequences = index_.sequences_after(stream, after, indexed, look_ups);
    if (!sequences) return std::move(sequences).error();
    // A stream that was cut short is known only up to its last one.
    if (sequences->size() >= look_ups) examined = std::min(examined, sequences->back());
    merged.insert(merged.end(), sequences->begin(), sequences->end());
  }
  std::sort(merged.begin(), merged.end());
  std::erase_if(merged, [&](Sequence sequence) { return sequence > examined; });
  if (merged.size() >= look_ups) {
    merged.resize(look_ups);
    examined = merged.back();
    if (examined - after <= kLookUpCost * look_ups) return read_run(after);
  }
  SegmentRef segment;
  if (!merged.empty()) {
    auto loaded = load(merged);
    if (!loaded) return std::move(loaded).error();
    segment = *std::move(loaded);
    if (segment->last() < merged.back()) examined = segment->last();
  }
  if (segment && segment->last() == examined) {
    const Chain chain = segment->record(segment->count() - 1).chain;
    return ReadChunk{std::move(segment), examined, chain};
  }
  auto chain = chain_at(examined);
  if (!chain) return std::move(chain).error();
  return ReadChunk{std::move(segment), examined, *chain};
}

// In the given order, ascending or descending, as many as a step may hold.
Result<SegmentRef> Reader::load(const std::vector<Sequence>& sequences) const {
  std::vector<std::pair<Sequence, std::string>> values;
  std::size_t bytes = 0;
  for (const Sequence sequence : sequences) {
    auto value = storage_.get(Family::kLog, log_key(sequence));
    if (!value) return std::move(value).error();
    if (!value->has_value()) return missing(sequence);
    bytes += (*value)->size();
    values.emplace_back(sequence, **std::move(value));
    if (bytes >= kReadBytesMax) break;
  }
  std::sort(values.begin(), values.end(),
            [](const auto& one, const auto& other) { return one.first < other.first; });
  Status status;
  auto segment = make_segment(values, bytes, status);
  if (!status) return std::move(status).error();
  return segment;
}

Result<ReadChunk> Reader::read_backward_once(const Filter& filter, Sequence before) const {
  const Sequence floor = history_.floor().sequence;
  const Sequence end = std::min(before, tail_.head() + 1);
  if (end <= floor) return ReadChunk{nullptr, floor, 0};
  if (end <= index_.indexed() + 1) {
    auto streams = few_streams(filter);
    if (!streams) return std::move(streams).error();
    if (*streams) return read_streams_backward(**streams, end);
  }
  SegmentRef segment = tail_.find(end - 1);
  if (!segment) {
    const std::uint64_t chunk = ChunkCache::chunk_of(end - 1);
    auto loaded = read_newest(storage_, std::max(ChunkCache::first_of(chunk), floor), end - 1);
    if (!loaded) return std::move(loaded).error();
    segment = *std::move(loaded);
  }
  const Sequence first = std::max(segment->first(), floor);
  return ReadChunk{std::move(segment), first, 0};
}

Result<ReadChunk> Reader::read_streams_backward(const std::vector<std::string>& streams,
                                                Sequence before) const {
  const Sequence floor = history_.floor().sequence;
  std::vector<Sequence> merged;
  Sequence examined = floor;
  for (const std::string& stream : streams) {
    auto sequences = index_.sequences_before(stream, before, kLookUpsMax);
    if (!sequences) return std::move(sequences).error();
    if (sequences->size() >= kLookUpsMax) examined = std::max(examined, sequences->back());
    merged.insert(merged.end(), sequences->begin(), sequences->end());
  }
  std::erase_if(merged, [&](Sequence sequence) { return sequence < examined; });
  std::sort(merged.begin(), merged.end(), std::greater<>());
  if (merged.size() > kLookUpsMax) {
    merged.resize(kLookUpsMax);
    examined = merged.back();
  }
  if (merged.empty()) return ReadChunk{nullptr, examined, 0};
  auto segment = load(merged);
  if (!segment) return std::move(segment).error();
  if ((*segment)->first() > merged.back()) examined = (*segment)->first();
  return ReadChunk{*std::move(segment), examined, 0};
}

Result<Chain> Reader::chain_at(Sequence sequence) const {
  if (sequence == 0) return history_.root_chain();
  const Floor floor = history_.floor();
  if (sequence + 1 == floor.sequence) return floor.chain_before;
  if (sequence < floor.sequence) return trimmed(sequence, floor.sequence);
  const Head head = tail_.durable_head();
  if (sequence == head.sequence) return head.chain;
  if (const SegmentRef segment = tail_.find(sequence)) {
    return segment->record(segment->index_after(sequence - 1)).chain;
  }
  OwnedRecord record;
  auto read = read_record(storage_, sequence, record);
  if (!read) return std::move(read).error();
  return record.view.chain;
}

Result<std::int64_t> Reader::time_at(Sequence sequence) const {
  if (const SegmentRef segment = tail_.find(sequence)) {
    return segment->record(segment->index_after(sequence - 1)).append_time_us;
  }
  OwnedRecord record;
  auto read = read_record(storage_, sequence, record);
  if (!read) return std::move(read).error();
  return record.view.append_time_us;
}

Result<Position> Reader::position_at(Sequence sequence) const {
  if (sequence > tail_.head()) {
    return Error{Code::kBadPosition,
                 fmt::format("sequence {} is above the head, {}", sequence, tail_.head())};
  }
  auto chain = beside_trims([&] { return chain_at(sequence); });
  if (!chain) return std::move(chain).error();
  return Position::at(history_.log_id(), sequence, *chain);
}

Result<Sequence> Reader::last_before_time(std::int64_t time_us) const {
  return beside_trims([&] { return search_time(time_us); });
}

Result<Sequence> Reader::search_time(std::int64_t time_us) const {
  // Append times never decrease, so this is a binary search: `low` is before the time, `high` is
  // not.
  Sequence low = history_.floor().sequence - 1;
  Sequence high = tail_.head() + 1;
  while (low + 1 < high) {
    const Sequence middle = low + (high - low) / 2;
    auto time = time_at(middle);
    if (!time) return std::move(time).error();
    (*time < time_us ? low : high) = middle;
  }
  return low;
}

// The place before the newest `count` matching events.
Result<Sequence> Reader::before_last(const Filter& filter, std::uint32_t count) const {
  Sequence before = tail_.head() + 1;
  const Sequence floor = history_.floor().sequence;
  while (before > floor) {
    auto chunk = read_backward(filter, before);
    if (!chunk) return std::move(chunk).error();
    if (chunk->segment) {
      for (std::size_t i = chunk->segment->index_after(before - 1); i-- > 0;) {
        const RecordView& record = chunk->segment->record(i);
        if (record.sequence < chunk->examined) break;
        if (filter.matches(record.stream, record.type) && --count == 0) return record.sequence - 1;
      }
    }
    before = chunk->examined;
  }
  return floor - 1;
}

Result<ResolvedStart> Reader::resolve(const StartPlace& place, const Filter& filter) const {
  if (const auto* position = std::get_if<AfterPosition>(&place))
    return resolve_position(position->position);
  if (const auto* after = std::get_if<AfterSequence>(&place)) return start_after(after->sequence);
  if (std::holds_alternative<FromStart>(place)) return start_at(history_.floor().sequence - 1);
  if (std::holds_alternative<FromHead>(place)) return start_at(tail_.head());
  const auto* const time = std::get_if<FromTime>(&place);
  auto after = time != nullptr ? last_before_time(time->time_us)
                               : before_last(filter, std::get<LastN>(place).count);
  if (!after) return std::move(after).error();
  return start_at(*after);
}

// A place that names no sequence moves with the floor.
Result<ResolvedStart> Reader::start_at(Sequence after) const {
  while (true) {
    auto start = start_after(std::max(after, history_.floor().sequence - 1));
    if (start && start->outcome == ResolvedStart::Outcome::kTrimmed) continue;
    if (start) start->resumed = false;
    return start;
  }
}

Result<ResolvedStart> Reader::start_after(Sequence after) const {
  ResolvedStart start;
  start.after = after;
  start.resumed = true;
  start.floor = history_.floor().sequence;
  start.head = tail_.head();
  if (after > start.head) {
    start.outcome = ResolvedStart::Outcome::kAhead;
    return start;
  }
  if (after + 1 < start.floor) {
    start.outcome = ResolvedStart::Outcome::kTrimmed;
    return start;
  }
  auto position = position_at(after);
  if (!position && position.error().code == Code::kTrimmed) {
    start.outcome = ResolvedStart::Outcome::kTrimmed;
    start.floor = history_.floor().sequence;
    return start;
  }
  if (!position) return std::move(position).error();
  start.position = *position;
  return start;
}

Result<ResolvedStart> Reader::resolve_position(const Position& position) const {
  auto start = start_after(position.sequence);
  if (!start) return start;
  const auto shared_until = history_.shared_until(position.log);
  if (!shared_until) {
    start->outcome = ResolvedStart::Outcome::kUnknownLog;
  } else if (position.sequence > *shared_until || (start->outcome == ResolvedStart::Outcome::kOk &&
                                                   position.check != start->position.check)) {
    start->outcome = ResolvedStart::Outcome::kRewound;
  }
  return start;
}

}  // namespace tidegate
