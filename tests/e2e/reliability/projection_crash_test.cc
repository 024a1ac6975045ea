// kill -9 while projections fold: rows always are what a fresh fold of the log makes.

#include <algorithm>
#include <deque>
#include <iostream>
#include <map>
#include <optional>
#include <random>
#include <utility>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/e2e/reliability/under_test.h"
#include "tests/support/projection_client.h"

namespace tidegate::test {
namespace {

constexpr std::size_t kRecent = 5;

// Two definitions of one projection, so that versions of different rows take over from each other.
std::string by_stream(bool is_extended) {
  return std::string(R"(
name = "by-stream"
streams = [">"]
key = "{stream}"
[on."order.cancelled"]
delete = true
[on."*"]
events = { count = true }
first_id = { first = "id" }
highest = { max = "sequence" }
last_id = { last = "id" }
lowest = { min = "revision" }
recent = { append = "id", keep = 5 }
total = { sum = "sequence" }
)") + (is_extended ? "kind = { set = \"type\" }\n" : "");
}

const std::string kScripted = R"(
name = "by-type"
streams = [">"]
script = '''
function key(event) return event.type end
function init() return { events = 0, tokens = 0, ids = {} } end
on = {}
on["*"] = function(state, event)
  state.events = state.events + 1
  state.tokens = state.tokens + #event.tokens
  state.last = event.sequence
  state.ids[1 + (state.events - 1) % 3] = event.id
  if state.events % 50 == 0 then return delete end
end
'''
)";

// ------------------------------------------------------- the same folds, written for this test
// only

struct StreamState {
  std::uint64_t events = 0;
  std::uint64_t total = 0;
  std::uint64_t highest = 0;
  std::uint64_t lowest = UINT64_MAX;
  std::string first_id;
  std::string last_id;
  std::string kind;
  std::deque<std::string> recent;
  Sequence changed = 0;
};

std::string quoted_ids(const std::deque<std::string>& ids) {
  std::string list;
  for (const std::string& id : ids) list += (list.empty() ? "\"" : ",\"") + id + "\"";
  return "[" + list + "]";
}

std::string document_of(const StreamState& state, bool is_extended) {
  const std::string kind = is_extended ? fmt::format("\"kind\":\"{}\",", state.kind) : "";
  return fmt::format(
      R"({{"events":{},"first_id":"{}","highest":{},{}"last_id":"{}","lowest":{},"recent":{},"total":{}}})",
      state.events, state.first_id, state.highest, kind, state.last_id, state.lowest,
      quoted_ids(state.recent), state.total);
}

HeldRows fold_by_stream(const std::vector<LogEntry>& log, Sequence until, bool is_extended) {
  std::map<std::string, StreamState> states;
  for (const LogEntry& event : log) {
    if (event.sequence > until) break;
    if (event.type == "order.cancelled") {
      states.erase(event.stream);
      continue;
    }
    StreamState& state = states[event.stream];
    if (++state.events == 1) state.first_id = event.id;
    state.last_id = event.id;
    state.kind = event.type;
    state.total += event.sequence;
    state.highest = event.sequence;
    state.lowest = std::min(state.lowest, event.revision);
    state.recent.push_back(event.id);
    if (state.recent.size() > kRecent) state.recent.pop_front();
    state.changed = event.sequence;
  }
  HeldRows rows;
  for (const auto& [stream, state] : states)
    rows[stream] = {document_of(state, is_extended), state.changed};
  return rows;
}

struct TypeState {
  std::uint64_t events = 0;
  std::uint64_t tokens = 0;
  std::deque<std::string> ids;
  Sequence changed = 0;
};

HeldRows fold_by_type(const std::vector<LogEntry>& log, Sequence until) {
  std::map<std::string, TypeState> states;
  for (const LogEntry& event : log) {
    if (event.sequence > until) break;
    TypeState& state = states[event.type];
    ++state.events;
    state.tokens +=
        1 + static_cast<std::uint64_t>(std::count(event.stream.begin(), event.stream.end(), '.'));
    if (state.ids.size() < 3) {
      state.ids.push_back(event.id);
    } else {
      state.ids[(state.events - 1) % 3] = event.id;
    }
    state.changed = event.sequence;
    if (state.events % 50 == 0) states.erase(event.type);
  }
  HeldRows rows;
  for (const auto& [type, state] : states) {
    rows[type] = {fmt::format(R"({{"events":{},"ids":{},"last":{},"tokens":{}}})", state.events,
                              quoted_ids(state.ids), state.changed, state.tokens),
                  state.changed};
  }
  return rows;
}

// ----------------------------------------------------------------------------------------- the
// test

class ProjectionCrashTest : public testing::Test {
 protected:
  ProjectionCrashTest() { addresses_.set(gateway_.http(), gateway_.grpc()); }

  // The log so far; what was read once does not change.
  const std::vector<LogEntry>& log_until(Sequence sequence) {
    if (log_.size() < sequence) {
      const Sequence known = log_.empty() ? 0 : log_.back().sequence;
      for (LogEntry& entry : read_log_after(gateway_.grpc(), known))
        log_.push_back(std::move(entry));
    }
    return log_;
  }

  // Which definition a version has; nothing when the version is no longer there.
  static std::optional<bool> is_extended(ProjectionClient& client, std::uint32_t number) {
    const std::optional<v1::Projection> projection = client.info("by-stream");
    if (!projection) return std::nullopt;
    for (const v1::ProjectionVersion& version : projection->versions()) {
      if (version.number() == number) return version.definition() == by_stream(true);
    }
    return std::nullopt;
  }

  void expect_equal(const HeldSnapshot& found, const HeldRows& expected, const std::string& when) {
    EXPECT_EQ(hash_of(found.rows), hash_of(expected))
        << when << ", version " << found.version << " as of " << found.sequence() << ": "
        << difference(found.rows, expected);
  }

  // Compares the rows of both projections with the test's own folds, as of the positions that the
  // gateway names, which are at `at_least` or above it.
  void check(const std::string& when, Sequence at_least = 0) {
    ProjectionClient client(gateway_.grpc());
    std::optional<HeldSnapshot> streams;
    std::optional<bool> extended;
    // A take-over in between may have dropped the version that was read.
    ASSERT_TRUE(eventually(
        [&] {
          streams = client.snapshot_at("by-stream", at_least);
          if (streams) extended = is_extended(client, streams->version);
          return extended.has_value();
        },
        Milliseconds(60'000)))
        << when << ": no rows: " << gateway_.stderr_text();
    expect_equal(*streams,
                 fold_by_stream(log_until(streams->sequence()), streams->sequence(), *extended),
                 when);
    const std::optional<HeldSnapshot> types = client.snapshot_at("by-type", at_least);
    ASSERT_TRUE(types) << when << ": no rows of by-type: " << gateway_.stderr_text();
    expect_equal(*types, fold_by_type(log_until(types->sequence()), types->sequence()), when);
    compared_ += streams->rows.size() + types->rows.size();
  }

  void kill_and_start() {
    // Nobody is to look for the gateway at a port that another program may have by then.
    addresses_.set("", "");
    gateway_.kill();
    gateway_.start();
    addresses_.set(gateway_.http(), gateway_.grpc());
  }

  // Begins a version now and then, so that kills meet one that is being built.
  void disturb(std::uint64_t kill) {
    ProjectionClient client(gateway_.grpc());
    if (kill % 10 == 3) client.rebuild("by-stream");
    if (kill % 10 == 6) client.apply(by_stream(kill % 20 == 6));
    if (kill % 10 == 9) client.rebuild("by-type");
  }

  void take_over(const std::string& name, std::uint32_t number) {
    ProjectionClient client(gateway_.grpc());
    ASSERT_TRUE(client.wait_live(name, number, Milliseconds(60'000)))
        << name << " version " << number << ": " << gateway_.stderr_text();
  }

  GatewayProcess gateway_{GatewayProcess::Options{.flags = {"--logging-level", "warn"}}};
  Addresses addresses_;
  std::vector<LogEntry> log_;
  std::uint64_t compared_ = 0;
};

// Publishing goes on while the log is read to be compared: where that takes long, there is more to
// read each time.
#if defined(TIDEGATE_THREAD_SANITIZER)
constexpr double kEventsPerSecond = 200;
#else
constexpr double kEventsPerSecond = 3000;
#endif

TEST_F(ProjectionCrashTest, RowsEqualAFreshFoldWhateverIsKilled) {
  const std::uint64_t kills = scaled(200);
  {
    ProjectionClient client(gateway_.grpc());
    take_over("by-stream", client.apply(by_stream(false)));
    take_over("by-type", client.apply(kScripted));
  }
  auto publishers = make_publishers(addresses_, kEventsPerSecond, test_seed());
  for (const auto& publisher : publishers) publisher->start();
  const auto acknowledged = [&] {
    std::uint64_t sum = 0;
    for (const auto& publisher : publishers) sum += publisher->acknowledged();
    return sum;
  };
  std::mt19937_64 random(test_seed());
  for (std::uint64_t kill = 1; kill <= kills && !HasFailure(); ++kill) {
    const std::uint64_t wanted = acknowledged() + 50 + random() % 400;
    ASSERT_TRUE(eventually([&] { return acknowledged() >= wanted; }, Milliseconds(30'000)))
        << "publishers do not get through after " << kill - 1 << " kills";
    disturb(kill);
    EXPECT_FALSE(gateway_.process().wait_exit(Milliseconds(random() % 20)))
        << gateway_.stderr_text();
    kill_and_start();
    check(fmt::format("after kill {}", kill));
  }
  for (const auto& publisher : publishers) publisher->stop();
  judge(publishers, nullptr, gateway_.grpc());

  const Sequence head = read_log_after(gateway_.grpc(), 0).size();
  check("at the end", head);
  std::cout << kills << " kills, " << head << " events, " << compared_ << " rows compared\n";
  ProjectionClient client(gateway_.grpc());
  take_over("by-stream", client.rebuild("by-stream"));
  take_over("by-type", client.rebuild("by-type"));
  check("after a rebuild", head);
  // Whichever is live, the other one is a change.
  const std::optional<HeldSnapshot> live = client.snapshot("by-stream");
  ASSERT_TRUE(live);
  const bool was_extended = is_extended(client, live->version).value_or(false);
  take_over("by-stream", client.apply(by_stream(!was_extended)));
  check("after a take-over", head);
  take_over("by-stream", client.rollback("by-stream"));
  check("after a rollback", head);
  kill_and_start();
  check("after a last kill", head);
  EXPECT_EQ(gateway_.terminate(), 0);
  EXPECT_EQ(verify_problems(gateway_.data_dir()), "");
}

}  // namespace
}  // namespace tidegate::test
