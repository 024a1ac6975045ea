#include "tests/support/invariants.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <xxhash.h>

#include <fmt/format.h>

#include "tests/support/store_reading.h"
#include "tidegate/storage/v1/record.pb.h"

namespace tidegate::test {
namespace {

constexpr std::size_t kProblemsMax = 20;
// Reading each stream by itself costs a read per stream.
constexpr std::size_t kStreamsReadMax = 50;

struct StreamShape {
  Revision first_revision = 0;
  Revision last_revision = 0;
  Sequence last_sequence = 0;
  std::vector<Sequence> sequences;
};

class Problems {
 public:
  template <typename... Args>
  void add(fmt::format_string<Args...> text, Args&&... args) {
    if (list_.size() < kProblemsMax)
      list_.push_back(fmt::format(text, std::forward<Args>(args)...));
  }
  std::vector<std::string> take() { return std::move(list_); }

 private:
  std::vector<std::string> list_;
};

Chain chain_after_event(Chain before, const LoggedEvent& event) {
  storage::v1::Record record;
  record.set_stream(event.stream);
  record.set_revision(event.revision);
  record.set_append_time_us(event.append_time_us);
  record.set_event(event.event);
  std::string bytes(sizeof before, '\0');
  std::memcpy(bytes.data(), &before, sizeof before);
  bytes += record.SerializeAsString();
  return XXH3_64bits(bytes.data(), bytes.size());
}

// The chain before the first event, when it can be known.
std::optional<Chain> first_chain(const EventStore& store, const LogInfo& info) {
  if (store.floor() != 1 || info.lineage.empty()) return std::nullopt;
  const std::string_view id = info.lineage.front().log.text();
  return XXH3_64bits(id.data(), id.size());
}

std::map<std::string, StreamShape> check_log(const EventStore& store, const LogInfo& info,
                                             const std::vector<LoggedEvent>& events,
                                             Problems& problems) {
  std::map<std::string, StreamShape> streams;
  std::optional<Chain> chain = first_chain(store, info);
  Sequence expected = store.floor();
  std::int64_t time_us = 0;
  for (const LoggedEvent& event : events) {
    if (event.sequence != expected)
      problems.add("sequence {} where {} belongs", event.sequence, expected);
    expected = event.sequence + 1;
    if (event.append_time_us < time_us) problems.add("append time goes back at {}", event.sequence);
    time_us = event.append_time_us;
    if (chain && chain_after_event(*chain, event) != event.chain) {
      problems.add("the chain at {} does not recompute", event.sequence);
    }
    chain = event.chain;
    StreamShape& stream = streams[event.stream];
    if (stream.sequences.empty()) {
      stream.first_revision = event.revision;
      if (store.floor() == 1 && event.revision != 1) {
        problems.add("{} begins at revision {}", event.stream, event.revision);
      }
    } else if (event.revision != stream.last_revision + 1) {
      problems.add("revision {} of {} follows {}", event.revision, event.stream,
                   stream.last_revision);
    }
    stream.last_revision = event.revision;
    stream.last_sequence = event.sequence;
    stream.sequences.push_back(event.sequence);
  }
  if (expected != store.tail().head() + 1) {
    problems.add("the log ends at {}, the head is {}", expected - 1, store.tail().head());
  }
  const Head head = store.tail().durable_head();
  if (chain && *chain != head.chain)
    problems.add("the head's chain is not that of event {}", head.sequence);
  return streams;
}

void check_index(const EventStore& store, const std::map<std::string, StreamShape>& streams,
                 Problems& problems) {
  std::size_t read = 0;
  for (const auto& [name, shape] : streams) {
    const auto info = store.stream_info(name);
    if (!info) {
      problems.add("stream_info of {}: {}", name, info.error().message);
      continue;
    }
    if (info->last_revision != shape.last_revision || info->last_sequence != shape.last_sequence ||
        info->first_revision > shape.first_revision) {
      problems.add("the index has {} at revisions {}-{}, sequence {}; the log {}-{}, {}", name,
                   info->first_revision, info->last_revision, info->last_sequence,
                   shape.first_revision, shape.last_revision, shape.last_sequence);
    }
    if (++read > kStreamsReadMax) continue;
    const auto exact = Filter::make({name}, {});
    const auto events = read_log(store, exact.value());
    if (!events) {
      problems.add("reading {}: {}", name, events.error().message);
      continue;
    }
    std::vector<Sequence> sequences;
    for (const LoggedEvent& event : *events) sequences.push_back(event.sequence);
    if (sequences != shape.sequences) {
      problems.add("the index gives {} events of {}, the log {}", sequences.size(), name,
                   shape.sequences.size());
    }
  }
}

void check_stream_list(const EventStore& store, const std::map<std::string, StreamShape>& streams,
                       Problems& problems) {
  std::string after;
  std::vector<std::string> listed;
  while (true) {
    const auto page = store.list_streams("", after, 7);
    if (!page) {
      problems.add("list_streams: {}", page.error().message);
      return;
    }
    if (page->empty()) break;
    for (const StreamInfo& info : *page) {
      if (info.name <= after) problems.add("list_streams gives {} after {}", info.name, after);
      after = info.name;
      listed.push_back(info.name);
    }
  }
  for (const auto& [name, shape] : streams) {
    if (!std::binary_search(listed.begin(), listed.end(), name))
      problems.add("{} is not listed", name);
  }
  if (store.floor() == 1 && listed.size() != streams.size()) {
    problems.add("{} streams are listed, the log has {}", listed.size(), streams.size());
  }
}

void check_cursors(EventStore& store, const std::vector<std::string>& owners, Problems& problems) {
  for (const std::string& owner : owners) {
    const auto cursors = store.cursors().list(owner, "", "", 1000);
    if (!cursors) {
      problems.add("cursors of {}: {}", owner, cursors.error().message);
      continue;
    }
    for (const NamedCursor& cursor : *cursors) {
      const Sequence at = cursor.state.position.sequence;
      if (at > store.tail().head()) {
        problems.add("cursor {} of {} stands at {}, the head is {}", cursor.name, owner, at,
                     store.tail().head());
      }
    }
  }
}

}  // namespace

std::vector<std::string> check_invariants(EventStore& store,
                                          const std::vector<std::string>& owners) {
  Problems problems;
  store.wait_for_index();
  const auto info = store.log_info();
  const auto events = read_log(store);
  if (!info || !events) {
    problems.add("cannot read: {}", !info ? info.error().message : events.error().message);
    return problems.take();
  }
  const auto streams = check_log(store, *info, *events, problems);
  check_index(store, streams, problems);
  check_stream_list(store, streams, problems);
  check_cursors(store, owners, problems);
  const auto report = store.verify([](const VerifyProgress&) { return true; });
  if (!report) {
    problems.add("verify: {}", report.error().message);
  } else {
    for (const std::string& problem : report->problems) problems.add("verify: {}", problem);
    if (!report->is_clean() && report->problems.empty())
      problems.add("verify counts problems, names none");
  }
  return problems.take();
}

}  // namespace tidegate::test
