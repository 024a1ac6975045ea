#include "tests/support/store_reading.h"

#include <fmt/format.h>

namespace tidegate::test {
namespace {

Error broken(const char* what, Sequence a, Sequence b) {
  return {Code::kInternal, fmt::format("the reader broke its contract: {} ({}, {})", what, a, b)};
}

LoggedEvent copy_of(const RecordView& record) {
  return {record.sequence,
          record.revision,
          record.append_time_us,
          record.chain,
          std::string(record.stream),
          std::string(record.type),
          std::string(record.event)};
}

}  // namespace

Result<std::vector<LoggedEvent>> read_log(const EventStore& store, const Filter& filter,
                                          Sequence after) {
  std::vector<LoggedEvent> events;
  while (true) {
    const Sequence head_before = store.tail().head();
    const auto chunk = store.reader().read(filter, after);
    if (!chunk) return chunk.error();
    if (chunk->examined < after) return broken("went back", after, chunk->examined);
    if (chunk->examined > store.tail().head())
      return broken("passed the head", after, chunk->examined);
    if (chunk->examined == after) {
      if (after < head_before) return broken("stopped below the head", after, head_before);
      return events;
    }
    Sequence last = 0;
    const std::size_t count = chunk->segment ? chunk->segment->count() : 0;
    for (std::size_t i = 0; i < count; ++i) {
      const RecordView& record = chunk->segment->record(i);
      if (record.sequence <= last) return broken("not ascending", last, record.sequence);
      last = record.sequence;
      if (last <= after || last > chunk->examined) continue;
      if (filter.matches(record.stream, record.type)) events.push_back(copy_of(record));
    }
    after = chunk->examined;
  }
}

Result<std::vector<LoggedEvent>> read_log(const EventStore& store, const Filter& filter) {
  return read_log(store, filter, store.floor() - 1);
}

Result<std::vector<LoggedEvent>> read_log(const EventStore& store) {
  return read_log(store, Filter::everything());
}

Result<std::vector<LoggedEvent>> read_log_backward(const EventStore& store, const Filter& filter,
                                                   Sequence before) {
  std::vector<LoggedEvent> events;
  while (before > store.floor()) {
    const auto chunk = store.reader().read_backward(filter, before);
    if (!chunk) return chunk.error();
    if (chunk->examined >= before) return broken("no progress downwards", before, chunk->examined);
    if (chunk->examined < store.floor()) return broken("passed the floor", before, chunk->examined);
    const std::size_t count = chunk->segment ? chunk->segment->count() : 0;
    for (std::size_t i = count; i-- > 0;) {
      const RecordView& record = chunk->segment->record(i);
      if (record.sequence >= before || record.sequence < chunk->examined) continue;
      if (filter.matches(record.stream, record.type)) events.push_back(copy_of(record));
    }
    before = chunk->examined;
  }
  return events;
}

}  // namespace tidegate::test
