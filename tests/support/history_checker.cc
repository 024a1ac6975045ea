#include "tests/support/history_checker.h"

#include <algorithm>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>
#include <xxhash.h>

#include <fmt/format.h>

namespace tidegate::test {
namespace {

constexpr std::size_t kWitnessesMax = 20;

class Findings {
 public:
  void add(std::string_view invariant, std::string witness) {
    if (++counts_[std::string(invariant)] > kWitnessesMax) return;
    violations_.push_back({std::string(invariant), std::move(witness)});
  }
  std::vector<Violation> take() { return std::move(violations_); }

 private:
  std::map<std::string, std::size_t> counts_;
  std::vector<Violation> violations_;
};

std::string_view cut_token(std::string_view& rest) {
  const std::size_t dot = rest.find('.');
  const std::string_view token = rest.substr(0, dot);
  rest = dot == std::string_view::npos ? std::string_view() : rest.substr(dot + 1);
  return token;
}

// The log by sequence and by content.
class LogTable {
 public:
  explicit LogTable(const History& history) : floor_(history.floor), log_(history.log) {
    by_hash_.reserve(log_.size());
    for (const LogEntry& entry : log_) by_hash_.emplace(entry.hash, &entry);
  }

  const LogEntry* at(Sequence sequence) const {
    if (sequence < floor_ || sequence - floor_ >= log_.size()) return nullptr;
    return &log_[sequence - floor_];
  }
  const LogEntry* find(std::uint64_t hash) const {
    const auto found = by_hash_.find(hash);
    return found == by_hash_.end() ? nullptr : found->second;
  }
  Sequence floor() const { return floor_; }
  Sequence head() const { return floor_ + log_.size() - 1; }
  const std::vector<LogEntry>& entries() const { return log_; }

 private:
  Sequence floor_;
  const std::vector<LogEntry>& log_;
  std::unordered_map<std::uint64_t, const LogEntry*> by_hash_;
};

void check_shape(const LogTable& table, Findings& findings) {
  std::unordered_map<std::string, Revision> last_revisions;
  std::unordered_map<std::uint64_t, Sequence> first_places;
  Sequence expected = table.floor();
  for (const LogEntry& entry : table.entries()) {
    if (entry.sequence != expected) {
      findings.add("I4",
                   fmt::format("sequence {} is where {} should be", entry.sequence, expected));
    }
    ++expected;
    const auto [last, is_first] = last_revisions.emplace(entry.stream, entry.revision);
    // Above a floor a stream may begin at any revision.
    const bool is_wrong =
        is_first ? table.floor() == 1 && entry.revision != 1 : entry.revision != last->second + 1;
    if (is_wrong) {
      findings.add("I4", fmt::format("{} at sequence {} has revision {} after {}", entry.stream,
                                     entry.sequence, entry.revision, is_first ? 0 : last->second));
    }
    last->second = entry.revision;
    const auto [place, is_new] = first_places.emplace(entry.hash, entry.sequence);
    if (!is_new)
      findings.add("I5", fmt::format("{} is at sequences {} and {}", entry.id, place->second,
                                     entry.sequence));
  }
}

std::string name_of(const PublishRecord& request) {
  return fmt::format("request {}:{}", request.publisher, request.number);
}

void check_acknowledged(const PublishRecord& request, const LogTable& table, Findings& findings) {
  for (std::size_t i = 0; i < request.events.size(); ++i) {
    const SentEvent& event = request.events[i];
    const LogEntry* const entry =
        i < request.places.size() ? table.at(request.places[i].sequence) : nullptr;
    if (entry != nullptr && entry->hash == event.hash) continue;
    if (i < request.places.size() && request.places[i].sequence < table.floor()) continue;
    findings.add("I1",
                 fmt::format("{}: {} was acknowledged at {}, where {}", name_of(request), event.id,
                             i < request.places.size() ? request.places[i].sequence : 0,
                             entry == nullptr ? "nothing is" : entry->id + " is"));
  }
}

// All or nothing; nothing when it was refused.
void check_wholeness(const PublishRecord& request, const LogTable& table, Findings& findings) {
  std::size_t present = 0;
  std::string one_present;
  for (const SentEvent& event : request.events) {
    if (table.find(event.hash) == nullptr) continue;
    ++present;
    one_present = event.id;
  }
  if (request.outcome == PublishRecord::Outcome::kRefused) {
    if (present > 0)
      findings.add("I2",
                   fmt::format("{} was refused, but {} is there", name_of(request), one_present));
  } else if (request.outcome == PublishRecord::Outcome::kUnknown && present != 0 &&
             present != request.events.size()) {
    findings.add("I2", fmt::format("{}: {} of {} events are there, {} is", name_of(request),
                                   present, request.events.size(), one_present));
  }
}

void check_requests(const History& history, const LogTable& table, Findings& findings) {
  std::unordered_map<std::uint64_t, const PublishRecord*> sent;
  for (const PublishRecord& request : history.requests) {
    for (const SentEvent& event : request.events) sent.emplace(event.hash, &request);
    if (request.outcome == PublishRecord::Outcome::kOk)
      check_acknowledged(request, table, findings);
    if (table.floor() == 1) check_wholeness(request, table, findings);
  }
  for (const LogEntry& entry : table.entries()) {
    if (sent.contains(entry.hash)) continue;
    findings.add("I2", fmt::format("{} at sequence {} was never sent with this content", entry.id,
                                   entry.sequence));
  }
}

// The requests that were given new places, which is what order is about.
std::vector<const PublishRecord*> newly_placed(const History& history) {
  std::vector<const PublishRecord*> placed;
  for (const PublishRecord& request : history.requests) {
    const bool has_old = std::any_of(request.places.begin(), request.places.end(),
                                     [](const EventPlace& place) { return place.deduplicated; });
    if (request.outcome == PublishRecord::Outcome::kOk && !has_old && !request.places.empty())
      placed.push_back(&request);
  }
  return placed;
}

void check_order_of_publishers(const History& history, Findings& findings) {
  std::vector<const PublishRecord*> placed = newly_placed(history);
  std::sort(placed.begin(), placed.end(), [](const PublishRecord* a, const PublishRecord* b) {
    return std::pair(a->publisher, a->number) < std::pair(b->publisher, b->number);
  });
  const PublishRecord* last = nullptr;
  for (const PublishRecord* request : placed) {
    Sequence before =
        last != nullptr && last->publisher == request->publisher ? last->places.back().sequence : 0;
    for (const EventPlace& place : request->places) {
      if (place.sequence <= before) {
        findings.add("I5", fmt::format("{} has sequence {} after {}", name_of(*request),
                                       place.sequence, before));
      }
      before = place.sequence;
    }
    last = request;
  }
}

// An answer before another request was sent: the first has the lower sequences.
void check_real_time(const History& history, Findings& findings) {
  std::vector<const PublishRecord*> by_start = newly_placed(history);
  std::vector<const PublishRecord*> by_end = by_start;
  std::sort(by_start.begin(), by_start.end(),
            [](auto* a, auto* b) { return a->invoked_ns < b->invoked_ns; });
  std::sort(by_end.begin(), by_end.end(),
            [](auto* a, auto* b) { return a->answered_ns < b->answered_ns; });
  const PublishRecord* highest = nullptr;
  std::size_t ended = 0;
  for (const PublishRecord* request : by_start) {
    for (; ended < by_end.size() && by_end[ended]->answered_ns < request->invoked_ns; ++ended) {
      if (highest == nullptr ||
          by_end[ended]->places.back().sequence > highest->places.back().sequence) {
        highest = by_end[ended];
      }
    }
    if (highest == nullptr || request->places.front().sequence > highest->places.back().sequence)
      continue;
    findings.add("I5",
                 fmt::format("{} was sent after {} was answered with {}, but has {}",
                             name_of(*request), name_of(*highest), highest->places.back().sequence,
                             request->places.front().sequence));
  }
}

// Walks one subscriber's records beside the sequences that its filter matches.
class SubscriptionWalk {
 public:
  SubscriptionWalk(const SubscriberHistory& subscriber, const LogTable& table,
                   std::vector<Sequence> matching, Findings& findings)
      : subscriber_(subscriber),
        table_(table),
        matching_(std::move(matching)),
        findings_(findings) {}

  void run() {
    for (const DeliveryRecord& record : subscriber_.records) step(record);
    if (was_reset_) return;
    if (place_ && *place_ >= table_.head()) return;
    report("I6", fmt::format("ended at {}, below the head {}", place_.value_or(0), table_.head()));
  }

 private:
  using Kind = DeliveryRecord::Kind;

  void step(const DeliveryRecord& record) {
    switch (record.kind) {
      case Kind::kOpened:
        return open(record.sequence);
      case Kind::kBegun:
        return begin(record.sequence);
      case Kind::kEvent:
        return event(record);
      case Kind::kMark:
        return mark(record.sequence);
      case Kind::kAckSent:
        sent_ = std::max(sent_, record.sequence);
        return;
      case Kind::kAcked:
        return acked(record.sequence);
      case Kind::kGap:
        place_ = record.sequence - 1;
        return;
      case Kind::kReset:
        was_reset_ = true;
        return;
    }
  }

  // A client that remembers its place asks for what it has seen, not for more.
  void open(Sequence asked) {
    if (place_ && subscriber_.resume != Resume::kCursor) {
      skip_to(asked, fmt::format("asked to go on after {}", asked));
    }
    asked_ = asked;
    last_here_ = 0;
    place_.reset();
  }

  void begin(Sequence place) {
    was_reset_ = false;
    place_ = place;
    if (subscriber_.resume != Resume::kCursor) {
      if (place < asked_)
        report("I8", fmt::format("asked to go on after {}, began again after {}", asked_, place));
      if (place > asked_)
        report("I6", fmt::format("asked to go on after {}, began only after {}", asked_, place));
      return;
    }
    if (place < acked_)
      report("I12", fmt::format("began after {}, but {} was stored", place, acked_));
    if (place > std::max(sent_, asked_)) {
      report("I12", fmt::format("began after {}, but only {} was acknowledged", place, sent_));
    }
  }

  void event(const DeliveryRecord& record) {
    const LogEntry* const entry = table_.at(record.sequence);
    if (record.sequence >= table_.floor() && (entry == nullptr || entry->hash != record.hash)) {
      return report("I3", fmt::format("got an event at {}, where {}", record.sequence,
                                      entry == nullptr ? "nothing is" : entry->id + " is"));
    }
    if (!place_)
      return report(
          "I7", fmt::format("got {} before it was told where delivery begins", record.sequence));
    const bool may_repeat = subscriber_.resume == Resume::kCursor;
    if (record.sequence <= *place_) {
      const bool is_again = record.sequence == last_here_ || record.sequence <= asked_;
      return report(is_again ? "I8" : "I7",
                    fmt::format("got {} when it was at {}", record.sequence, *place_));
    }
    if (!may_repeat && record.sequence <= last_)
      report("I8", fmt::format("got {} again", record.sequence));
    if (!std::binary_search(matching_.begin(), matching_.end(), record.sequence)) {
      report("I6", fmt::format("got {} ({}), which its filter does not match", record.sequence,
                               entry == nullptr ? "trimmed" : entry->stream + " " + entry->type));
    }
    skip_to(record.sequence - 1, fmt::format("got {}", record.sequence));
    place_ = record.sequence;
    last_here_ = record.sequence;
    last_ = std::max(last_, record.sequence);
  }

  void mark(Sequence upto) {
    if (!place_)
      return report("I7",
                    fmt::format("was told {} before it was told where delivery begins", upto));
    if (upto > table_.head())
      return report("I3", fmt::format("was told {}, above the head {}", upto, table_.head()));
    skip_to(upto, fmt::format("was told that all was examined up to {}", upto));
    place_ = std::max(*place_, upto);
  }

  void acked(Sequence sequence) {
    if (sequence < acked_) report("I12", fmt::format("{} was stored after {}", sequence, acked_));
    if (sequence > sent_)
      report("I12", fmt::format("{} was stored, but only {} was acknowledged", sequence, sent_));
    acked_ = std::max(acked_, sequence);
  }

  // Nothing that matches may lie in (place, upto].
  void skip_to(Sequence upto, const std::string& what) {
    const auto missing = std::upper_bound(matching_.begin(), matching_.end(), *place_);
    if (missing == matching_.end() || *missing > upto) return;
    report("I6", fmt::format("{} when it was at {}, and never got {}", what, *place_, *missing));
  }

  void report(std::string_view invariant, const std::string& what) {
    findings_.add(invariant, subscriber_.name + " " + what);
  }

  const SubscriberHistory& subscriber_;
  const LogTable& table_;
  const std::vector<Sequence> matching_;
  Findings& findings_;
  std::optional<Sequence> place_;  // on the present connection, once it is known
  Sequence asked_ = 0;
  Sequence last_ = 0;       // highest event on any connection
  Sequence last_here_ = 0;  // on this one
  Sequence sent_ = 0;       // highest acknowledgement
  Sequence acked_ = 0;      // highest one that was told to be stored
  bool was_reset_ = false;
};

// Answers per stream and type are kept: a log has few of either.
std::vector<Sequence> matching_sequences(const SubscriberHistory& subscriber,
                                         const LogTable& table) {
  std::unordered_map<std::string_view, bool> streams;
  std::unordered_map<std::string_view, bool> types;
  std::vector<Sequence> matching;
  for (const LogEntry& entry : table.entries()) {
    auto [stream, is_new_stream] = streams.emplace(entry.stream, false);
    if (is_new_stream) {
      stream->second = std::any_of(
          subscriber.streams.begin(), subscriber.streams.end(),
          [&](const std::string& pattern) { return pattern_matches(pattern, entry.stream); });
    }
    if (!stream->second) continue;
    auto [type, is_new_type] = types.emplace(entry.type, subscriber.types.empty());
    if (is_new_type && !type->second) {
      type->second = std::find(subscriber.types.begin(), subscriber.types.end(), entry.type) !=
                     subscriber.types.end();
    }
    if (type->second) matching.push_back(entry.sequence);
  }
  return matching;
}

}  // namespace

std::uint64_t event_hash(std::string_view stream, std::string_view type, std::string_view id,
                         std::string_view data) {
  std::uint64_t hash = XXH3_64bits(stream.data(), stream.size());
  for (const std::string_view part : {type, id, data})
    hash = XXH3_64bits_withSeed(part.data(), part.size(), hash);
  return hash;
}

bool pattern_matches(std::string_view pattern, std::string_view stream) {
  const bool is_reserved = stream.starts_with('_') || stream.starts_with('$');
  if (is_reserved && (pattern.starts_with('*') || pattern.starts_with('>'))) return false;
  while (!pattern.empty() && !stream.empty()) {
    const std::string_view wanted = cut_token(pattern);
    if (wanted == ">") return true;
    const std::string_view token = cut_token(stream);
    if (wanted != "*" && wanted != token) return false;
  }
  return pattern.empty() && stream.empty();
}

std::vector<Violation> check_history(const History& history) {
  Findings findings;
  const LogTable table(history);
  check_shape(table, findings);
  check_requests(history, table, findings);
  check_order_of_publishers(history, findings);
  check_real_time(history, findings);
  for (const SubscriberHistory& subscriber : history.subscribers) {
    SubscriptionWalk(subscriber, table, matching_sequences(subscriber, table), findings).run();
  }
  return findings.take();
}

std::string describe(const std::vector<Violation>& violations) {
  std::string text;
  for (const Violation& violation : violations)
    text += violation.invariant + ": " + violation.witness + "\n";
  return text;
}

}  // namespace tidegate::test
