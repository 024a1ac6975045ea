#include "tests/support/history_checker.h"

#include <functional>
#include <random>
#include <set>
#include <string>

#include <gtest/gtest.h>

namespace tidegate::test {
namespace {

using Kind = DeliveryRecord::Kind;
using Outcome = PublishRecord::Outcome;

constexpr Resume kResumes[] = {Resume::kPosition, Resume::kInteger, Resume::kCursor};

// A history as a sound gateway makes it, of random shape: two publishers, requests of every
// outcome, and a subscriber of each kind that reconnects several times.
class GoodHistory {
 public:
  explicit GoodHistory(std::uint64_t seed) : random_(seed) {
    for (int i = 0; i < 60; ++i) publish();
    // So that every mutant finds something of each kind to change.
    publish(Outcome::kOk, 3);
    publish(Outcome::kRefused, 2);
    publish(Outcome::kUnknown, 2, true);
    publish(Outcome::kOk, 1);
    for (const Resume resume : kResumes) history_.subscribers.push_back(subscribe(resume));
  }
  History take() { return std::move(history_); }

 private:
  std::uint64_t below(std::uint64_t n) { return random_() % n; }

  void publish() {
    const std::uint64_t dice = below(10);
    publish(dice < 7   ? Outcome::kOk
            : dice < 8 ? Outcome::kRefused
                       : Outcome::kUnknown,
            1 + below(4), below(2) == 0);
  }

  void publish(Outcome outcome, std::uint64_t count, bool is_stored = true) {
    PublishRecord request{
        static_cast<std::uint32_t>(below(2)), ++number_, now_ + 1, now_ + 5, outcome, {}, {}};
    now_ += 10;
    if (outcome != Outcome::kUnknown) is_stored = outcome == Outcome::kOk;
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::string stream = below(2) == 0 ? "a.x" : "a.y";
      const std::string type = below(2) == 0 ? "one" : "two";
      const std::string id = std::to_string(number_) + "-" + std::to_string(i);
      request.events.push_back({id, event_hash(stream, type, id, "{}")});
      if (!is_stored) continue;
      history_.log.push_back({history_.log.size() + 1, ++revisions_[stream == "a.x"], stream, type,
                              id, request.events.back().hash});
      if (outcome == Outcome::kOk) request.places.push_back({history_.log.size(), false});
    }
    history_.requests.push_back(std::move(request));
  }

  SubscriberHistory subscribe(Resume resume) {
    SubscriberHistory subscriber{
        "by " + std::to_string(static_cast<int>(resume)), {"a.x", "*.y"}, {"one"}, resume, {}};
    Sequence place = 0;
    for (const LogEntry& entry : history_.log) {
      if (place == 0 || below(12) == 0) reconnect(subscriber, place, entry.sequence);
      if (entry.type == "one")
        subscriber.records.push_back({Kind::kEvent, entry.sequence, entry.hash});
      if (entry.type != "one") subscriber.records.push_back({Kind::kMark, entry.sequence, 0});
      place = entry.sequence;
      if (resume != Resume::kCursor || below(3) != 0) continue;
      subscriber.records.push_back({Kind::kAckSent, place, 0});
      if (below(2) == 0) subscriber.records.push_back({Kind::kAcked, stored_ = place, 0});
    }
    return subscriber;
  }

  void reconnect(SubscriberHistory& subscriber, Sequence place, Sequence next) {
    if (subscriber.resume != Resume::kCursor) {
      subscriber.records.push_back({Kind::kOpened, place, 0});
      subscriber.records.push_back({Kind::kBegun, place, 0});
      return;
    }
    subscriber.records.push_back({Kind::kOpened, 0, 0});
    subscriber.records.push_back({Kind::kBegun, stored_, 0});
    for (Sequence sequence = stored_ + 1; sequence < next; ++sequence) {
      const LogEntry& entry = history_.log[sequence - 1];
      if (entry.type == "one") subscriber.records.push_back({Kind::kEvent, sequence, entry.hash});
    }
  }

  std::mt19937_64 random_;
  History history_;
  std::uint64_t number_ = 0;
  std::int64_t now_ = 0;
  Revision revisions_[2] = {0, 0};
  Sequence stored_ = 0;
};

std::set<std::string> invariants_of(const std::vector<Violation>& violations) {
  std::set<std::string> names;
  for (const Violation& violation : violations) names.insert(violation.invariant);
  return names;
}

TEST(HistoryCheckerTest, PassesGoodHistories) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const auto violations = check_history(GoodHistory(seed).take());
    ASSERT_TRUE(violations.empty()) << "seed " << seed << "\n" << describe(violations);
  }
}

// Changes one place of a history; false when the history has no such place. `random` picks the
// place.
using Mutation = std::function<bool(History&, std::mt19937_64& random)>;

struct Mutant {
  const char* name;
  const char* invariant;
  Mutation mutate;
};

// A random element that fits, or null.
template <typename Container, typename Fits>
auto* pick(Container& container, std::mt19937_64& random, Fits fits) {
  std::vector<typename Container::value_type*> candidates;
  for (auto& element : container) {
    if (fits(element)) candidates.push_back(&element);
  }
  return candidates.empty() ? nullptr : candidates[random() % candidates.size()];
}

PublishRecord* pick_request(History& history, std::mt19937_64& random, Outcome outcome) {
  return pick(history.requests, random,
              [&](const PublishRecord& request) { return request.outcome == outcome; });
}

std::size_t index_of(std::vector<DeliveryRecord>& records, std::mt19937_64& random, Kind kind) {
  DeliveryRecord* const record =
      pick(records, random, [&](const DeliveryRecord& one) { return one.kind == kind; });
  return record == nullptr ? records.size() : static_cast<std::size_t>(record - records.data());
}

Mutation in_subscriber(Resume resume, Kind kind,
                       std::function<bool(SubscriberHistory&, std::size_t, const History&)> edit) {
  return [=](History& history, std::mt19937_64& random) {
    SubscriberHistory& subscriber = history.subscribers[static_cast<std::size_t>(resume)];
    const std::size_t at = index_of(subscriber.records, random, kind);
    return at < subscriber.records.size() && edit(subscriber, at, history);
  };
}

// Without a cursor a client knows what it has seen; with one, what was cut off comes again and
// nothing is lost.
bool drop(SubscriberHistory& subscriber, std::size_t at, const History&) {
  for (std::size_t next = at + 1; subscriber.resume == Resume::kCursor; ++next) {
    if (next == subscriber.records.size() || subscriber.records[next].kind == Kind::kOpened)
      return false;
    if (subscriber.records[next].kind == Kind::kEvent ||
        subscriber.records[next].kind == Kind::kMark)
      break;
  }
  subscriber.records.erase(subscriber.records.begin() + static_cast<std::ptrdiff_t>(at));
  return true;
}

bool repeat(SubscriberHistory& subscriber, std::size_t at, const History&) {
  const DeliveryRecord copy = subscriber.records[at];
  subscriber.records.insert(subscriber.records.begin() + static_cast<std::ptrdiff_t>(at), copy);
  return true;
}

// The highest acknowledged sequence of a publisher.
Sequence newest(const History& history, std::uint32_t publisher) {
  Sequence sequence = 0;
  for (const PublishRecord& request : history.requests) {
    if (request.publisher == publisher && !request.places.empty())
      sequence = request.places.back().sequence;
  }
  return sequence;
}

const std::vector<Mutant>& mutants() {
  static const std::vector<Mutant> kMutants = {
      {"an acknowledged event is lost at the end", "I1",
       [](History& history, std::mt19937_64&) {
         history.log.pop_back();
         return true;
       }},
      {"an acknowledged event has other content", "I1",
       [](History& history, std::mt19937_64& random) {
         PublishRecord* const request = pick_request(history, random, Outcome::kOk);
         history.log[request->places.front().sequence - 1].hash ^= 1;
         return true;
       }},
      {"an acknowledgement names the wrong place", "I1",
       [](History& history, std::mt19937_64& random) {
         PublishRecord* const request = pick_request(history, random, Outcome::kOk);
         request->places.front().sequence += 1;
         return true;
       }},
      {"a refused request is there", "I2",
       [](History& history, std::mt19937_64& random) {
         PublishRecord* const request = pick_request(history, random, Outcome::kOk);
         request->outcome = Outcome::kRefused;
         request->places.clear();
         return true;
       }},
      {"an event that nobody sent is there", "I2",
       [](History& history, std::mt19937_64&) {
         history.log.push_back({history.log.size() + 1, 1, "b", "one", "phantom", 42});
         return true;
       }},
      {"a request of unknown outcome is there in part", "I2",
       [](History& history, std::mt19937_64&) {
         PublishRecord torn{7, 1, 1, 2, Outcome::kUnknown, {{"torn-0", 77}, {"torn-1", 78}}, {}};
         history.requests.push_back(torn);
         history.log.push_back({history.log.size() + 1, 1, "b", "two", "torn-0", 77});
         return true;
       }},
      {"a delivered event is not in the log", "I3",
       in_subscriber(Resume::kInteger, Kind::kEvent,
                     [](SubscriberHistory& subscriber, std::size_t at, const History&) {
                       subscriber.records[at].hash ^= 1;
                       return true;
                     })},
      {"a sequence is missing", "I4",
       [](History& history, std::mt19937_64& random) {
         const auto at = static_cast<std::ptrdiff_t>(random() % (history.log.size() - 1));
         history.log.erase(history.log.begin() + at);
         return true;
       }},
      {"a revision is missing", "I4",
       [](History& history, std::mt19937_64& random) {
         history.log[random() % history.log.size()].revision += 1;
         return true;
       }},
      {"an event is there twice", "I5",
       [](History& history, std::mt19937_64& random) {
         LogEntry again = history.log[random() % history.log.size()];
         again.sequence = history.log.size() + 1;
         history.log.push_back(again);
         return true;
       }},
      {"a publisher's requests change places", "I5",
       [](History& history, std::mt19937_64& random) {
         PublishRecord* const request = pick_request(history, random, Outcome::kOk);
         request->number += 1'000'000;
         return request->places.back().sequence < newest(history, request->publisher);
       }},
      {"a later request has the lower sequence", "I5",
       [](History& history, std::mt19937_64& random) {
         PublishRecord* const request = pick_request(history, random, Outcome::kOk);
         request->invoked_ns += 1'000'000;
         request->answered_ns += 1'000'000;
         return request->places.front().sequence < history.log.size();
       }},
      {"an event is skipped", "I6", in_subscriber(Resume::kPosition, Kind::kEvent, drop)},
      {"an event is skipped by cursor", "I6", in_subscriber(Resume::kCursor, Kind::kEvent, drop)},
      {"an event comes that the filter does not match", "I6",
       in_subscriber(
           Resume::kPosition, Kind::kMark,
           [](SubscriberHistory& subscriber, std::size_t at, const History& history) {
             DeliveryRecord& record = subscriber.records[at];
             record = {Kind::kEvent, record.sequence, history.log[record.sequence - 1].hash};
             return true;
           })},
      {"a position is told too early", "I6",
       in_subscriber(Resume::kInteger, Kind::kEvent,
                     [](SubscriberHistory& subscriber, std::size_t at, const History&) {
                       subscriber.records[at].kind = Kind::kMark;
                       return true;
                     })},
      {"delivery begins one too late", "I6",
       in_subscriber(Resume::kPosition, Kind::kBegun,
                     [](SubscriberHistory& subscriber, std::size_t at, const History&) {
                       subscriber.records[at].sequence += 1;
                       return true;
                     })},
      {"the end of the log never comes", "I6",
       [](History& history, std::mt19937_64&) {
         history.subscribers.front().records.pop_back();
         return true;
       }},
      {"two events change places", "I7",
       in_subscriber(Resume::kPosition, Kind::kEvent,
                     [](SubscriberHistory& subscriber, std::size_t at, const History&) {
                       for (std::size_t next = at + 1; next < subscriber.records.size(); ++next) {
                         if (subscriber.records[next].kind == Kind::kOpened) return false;
                         if (subscriber.records[next].kind != Kind::kEvent) continue;
                         std::swap(subscriber.records[at], subscriber.records[next]);
                         return true;
                       }
                       return false;
                     })},
      {"an event comes twice on one connection", "I8",
       in_subscriber(Resume::kPosition, Kind::kEvent, repeat)},
      {"an event comes twice by cursor on one connection", "I8",
       in_subscriber(Resume::kCursor, Kind::kEvent, repeat)},
      {"delivery begins one too early", "I8",
       in_subscriber(Resume::kInteger, Kind::kBegun,
                     [](SubscriberHistory& subscriber, std::size_t at, const History&) {
                       return subscriber.records[at].sequence-- > 0;
                     })},
      {"a stored cursor goes back", "I12",
       in_subscriber(Resume::kCursor, Kind::kBegun,
                     [](SubscriberHistory& subscriber, std::size_t at, const History&) {
                       Sequence stored = 0;
                       for (std::size_t i = 0; i < at; ++i) {
                         if (subscriber.records[i].kind == Kind::kAcked)
                           stored = subscriber.records[i].sequence;
                       }
                       subscriber.records[at].sequence = stored == 0 ? 0 : stored - 1;
                       return stored > 0;
                     })},
      {"a cursor is stored beyond what was acknowledged", "I12",
       in_subscriber(Resume::kCursor, Kind::kAcked,
                     [](SubscriberHistory& subscriber, std::size_t at, const History&) {
                       subscriber.records[at].sequence += 1'000'000;
                       return true;
                     })},
  };
  return kMutants;
}

class MutantTest : public ::testing::TestWithParam<Mutant> {};

TEST_P(MutantTest, IsFlaggedByItsInvariant) {
  std::size_t tried = 0;
  for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
    History history = GoodHistory(seed).take();
    std::mt19937_64 random(seed);
    if (!GetParam().mutate(history, random)) continue;
    ++tried;
    const auto violations = check_history(history);
    ASSERT_TRUE(invariants_of(violations).contains(GetParam().invariant))
        << GetParam().name << ", seed " << seed << "\n"
        << describe(violations);
  }
  EXPECT_GE(tried, 300u) << "the mutation hardly ever applies";
}

INSTANTIATE_TEST_SUITE_P(Histories, MutantTest, ::testing::ValuesIn(mutants()),
                         [](const auto& mutant) {
                           std::string name = mutant.param.name;
                           for (char& c : name) c = c >= 'a' && c <= 'z' ? c : '_';
                           return name;
                         });

TEST(PatternMatchTest, FollowsTheGrammarOfStreams) {
  EXPECT_TRUE(pattern_matches("a.b", "a.b"));
  EXPECT_FALSE(pattern_matches("a.b", "a.b.c"));
  EXPECT_FALSE(pattern_matches("a.b.c", "a.b"));
  EXPECT_TRUE(pattern_matches("a.*.c", "a.b.c"));
  EXPECT_FALSE(pattern_matches("a.*", "a"));
  EXPECT_TRUE(pattern_matches("a.>", "a.b.c"));
  EXPECT_FALSE(pattern_matches("a.>", "a"));
  EXPECT_TRUE(pattern_matches(">", "a"));
  EXPECT_FALSE(pattern_matches(">", "_a"));
  EXPECT_FALSE(pattern_matches("*.b", "$a.b"));
  EXPECT_TRUE(pattern_matches("_a.>", "_a.b"));
}

}  // namespace
}  // namespace tidegate::test
