// Read models over real sessions: snapshot and tail fit together, queries are never stale, watchers
// end with what the gateway has.

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <poll.h>
#include <random>
#include <sys/resource.h>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/e2e/reliability/under_test.h"
#include "tests/support/projection_client.h"
#include "tests/support/row_watcher.h"
#include "tests/support/session_link.h"
#include "tests/support/ws_client.h"

namespace tidegate::test {
namespace {

const std::vector<std::string> kWarnings = {"--logging-level", "warn"};

// --------------------------------------------------------------------------------- snapshot + tail

constexpr const char* kCounters = R"(
name = "counters"
streams = ["c.*"]
key = "{stream[1]}"
[on."changed"]
events = { count = true }
newest = { last = "/n" }
total = { sum = "/n" }
[on."closed"]
delete = true
)";

// The same fold, by the client, over what it is told.
class CounterModel {
 public:
  void take_row(const Told::Row& row) {
    if (row.document.empty()) {
      counters_.erase(row.key);
      return;
    }
    const auto number = [&row](const char* name) {
      return std::strtoull(json_field(row.document, name).c_str(), nullptr, 10);
    };
    counters_[row.key] = {number("events"), number("newest"), number("total"), row.sequence};
  }
  void take_event(Sequence sequence, const std::string& stream, const std::string& type,
                  const std::string& data) {
    const std::string key = stream.substr(2);
    if (type == "closed") {
      counters_.erase(key);
      return;
    }
    const std::uint64_t n = std::strtoull(json_field(data, "n").c_str(), nullptr, 10);
    Counter& counter = counters_[key];
    ++counter.events;
    counter.newest = n;
    counter.total += n;
    counter.changed = sequence;
  }
  void clear() { counters_.clear(); }

  HeldRows rows() const {
    HeldRows rows;
    for (const auto& [key, counter] : counters_) {
      rows[key] = {fmt::format(R"({{"events":{},"newest":{},"total":{}}})", counter.events,
                               counter.newest, counter.total),
                   counter.changed};
    }
    return rows;
  }

 private:
  struct Counter {
    std::uint64_t events = 0;
    std::uint64_t newest = 0;
    std::uint64_t total = 0;
    Sequence changed = 0;
  };
  std::map<std::string, Counter> counters_;
};

// Publishes changes of 40 counters, one in twelve closes one; keeps the fold of all of them.
class CounterLoad {
 public:
  explicit CounterLoad(const std::string& grpc_address)
      : client_(grpc_address), random_(test_seed()) {}

  void publish(std::size_t count) {
    std::vector<ChangeEvent> events;
    for (std::size_t i = 0; i < count; ++i) {
      events.push_back({"c." + std::to_string(random_() % 40),
                        random_() % 12 == 0 ? "closed" : "changed",
                        fmt::format(R"({{"n":{}}})", random_() % 1000)});
      model_.take_event(++sequence_, events.back().stream, events.back().type, events.back().data);
    }
    position_ = client_.publish(events);
    ASSERT_NE(position_, "");
  }
  const std::string& position() const { return position_; }
  Sequence sequence() const { return sequence_; }
  const CounterModel& model() const { return model_; }

 private:
  ProjectionClient client_;
  std::mt19937_64 random_;
  CounterModel model_;
  Sequence sequence_ = 0;
  std::string position_;
};

class SnapshotAndTailTest : public testing::TestWithParam<SessionKind> {
 protected:
  void subscribe(SessionLink& link, const std::string& after) {
    v1::ClientMessage message;
    v1::SubscribeOp& op = *message.mutable_subscribe();
    op.set_id("s");
    op.add_streams("c.*");
    op.mutable_start()->set_after(after);
    op.set_on_gap(v1::ON_GAP_SNAPSHOT);
    op.set_projection("counters");
    link.send(fmt::format(R"({{"op":"subscribe","id":"s","streams":["c.*"],"after":"{}",)"
                          R"("on_gap":"snapshot","projection":"counters"}})",
                          after),
              message);
  }

  // Up to the place where events begin. False when the exchange was another one.
  bool take_snapshot(SessionLink& link, CounterModel& model) {
    const Told gap = link.next();
    EXPECT_EQ(gap.op, "gap") << gap.code;
    std::string snapshot_end;
    for (Told told = link.next(); !told.op.empty(); told = link.next()) {
      if (told.op == "watch_reset") {
        model.clear();
        snapshot_end.clear();
      } else if (told.op == "rows") {
        for (const Told::Row& row : told.rows) model.take_row(row);
      } else if (told.op == "snapshot_end") {
        snapshot_end = told.position;
      } else {
        EXPECT_EQ(told.op, "subscribed") << told.code;
        EXPECT_EQ(told.position, snapshot_end);
        seen_ = told.sequence();
        return told.op == "subscribed" && told.position == snapshot_end;
      }
    }
    return false;
  }

  // One message of the tail; false when none came.
  bool take_tail(SessionLink& link, CounterModel& model) {
    const Told told = link.next();
    if (told.op.empty()) return false;
    EXPECT_NE(told.op, "gap");
    EXPECT_NE(told.op, "error") << told.code;
    for (const Told::Event& event : told.events) {
      EXPECT_GT(event.sequence, seen_) << "an event that is in the snapshot, or came before";
      seen_ = event.sequence;
      model.take_event(event.sequence, event.stream, event.type, event.data);
    }
    if (told.op == "position" || told.op == "caught_up") seen_ = told.sequence();
    return true;
  }

  Sequence seen_ = 0;
};

TEST_P(SnapshotAndTailTest, MissNothingAndDoubleNothing) {
  GatewayProcess gateway({.flags = kWarnings});
  CounterLoad load(gateway.grpc());
  ProjectionClient client(gateway.grpc());
  ASSERT_TRUE(client.wait_live("counters", client.apply(kCounters)));
  load.publish(60);
  const std::string old_position = load.position();
  for (int i = 0; i < 10; ++i) load.publish(60);
  ASSERT_TRUE(client.snapshot_at("counters", load.sequence()));
  const Finished trimmed =
      run_cli({"--server", gateway.grpc(), "log", "trim", "--before", "500", "--yes"});
  ASSERT_EQ(trimmed.exit_code, 0) << trimmed.stderr_text;

  // Events go on while snapshots are taken.
  std::atomic<bool> is_over = false;
  std::thread publishing([&] {
    while (!is_over && !HasFailure()) load.publish(20);
  });
  std::mt19937_64 random(test_seed());
  const std::uint64_t rounds = scaled(20);
  for (std::uint64_t round = 0; round < rounds && !HasFailure(); ++round) {
    const auto link = SessionLink::open(GetParam(), gateway);
    CounterModel model;
    subscribe(*link, old_position);
    EXPECT_TRUE(take_snapshot(*link, model));
    for (std::uint64_t i = random() % 30; i > 0; --i) EXPECT_TRUE(take_tail(*link, model));
    link->cut();
  }
  const auto link = SessionLink::open(GetParam(), gateway);
  CounterModel model;
  subscribe(*link, old_position);
  const bool has_snapshot = take_snapshot(*link, model);
  for (int i = 0; i < 20 && has_snapshot; ++i) EXPECT_TRUE(take_tail(*link, model));
  is_over = true;
  publishing.join();
  ASSERT_TRUE(has_snapshot);
  while (seen_ < load.sequence()) ASSERT_TRUE(take_tail(*link, model)) << "at " << seen_;

  const HeldRows expected = load.model().rows();
  EXPECT_EQ(difference(model.rows(), expected), "");
  const std::optional<HeldSnapshot> server = client.snapshot_at("counters", load.sequence());
  ASSERT_TRUE(server);
  EXPECT_EQ(difference(server->rows, expected), "");
}

INSTANTIATE_TEST_SUITE_P(EveryForm, SnapshotAndTailTest,
                         testing::Values(SessionKind::kJson, SessionKind::kProto,
                                         SessionKind::kGrpc));

// ------------------------------------------------------------------------------- read your writes

// Queries over gRPC, every fifth over the session.
class WriterWhoReads {
 public:
  WriterWhoReads(const GatewayProcess& gateway, std::uint32_t number)
      : stream_("w." + std::to_string(number)),
        key_(std::to_string(number)),
        client_(gateway.grpc()),
        link_(SessionLink::open(SessionKind::kJson, gateway)) {}

  void write_and_read(std::uint64_t count) {
    for (std::uint64_t i = 1; i <= count && !testing::Test::HasFailure(); ++i) {
      const std::string position = client_.publish({{stream_, "written", "{}"}});
      const std::string found = i % 5 == 0 ? ask_session(position) : ask_service(position);
      EXPECT_EQ(found, fmt::format(R"({{"events":{}}})", i)) << "of " << stream_;
    }
  }

 private:
  std::string ask_service(const std::string& position) {
    v1::QueryProjectionRequest request;
    request.set_name("written");
    request.mutable_selection()->add_keys(key_);
    request.set_min_position(position);
    request.set_wait_ms(30'000);
    const auto answer = client_.query(request);
    return answer && answer->rows_size() == 1 ? answer->rows(0).document() : "no row";
  }

  std::string ask_session(const std::string& position) {
    link_->send(fmt::format(R"({{"op":"query","request":"q","projection":"written","keys":["{}"],)"
                            R"("min_position":"{}","wait_ms":30000}})",
                            key_, position),
                {});
    const Told told = link_->next(Milliseconds(40'000));
    EXPECT_EQ(told.op, "query_result") << told.code;
    return told.rows.size() == 1 ? told.rows[0].document : "no row";
  }

  const std::string stream_;
  const std::string key_;
  ProjectionClient client_;
  std::unique_ptr<SessionLink> link_;
};

TEST(ReadYourWritesTest, IsNeverStale) {
  constexpr std::uint32_t kWriters = 4;
  const std::uint64_t writes = std::max<std::uint64_t>(1, scaled(10'000) / kWriters);
  std::vector<std::string> flags = kWarnings;
  // A query is a message, and these come faster than a person's.
  flags.emplace_back("--limits-messages-per-second");
  flags.emplace_back("100000");
  GatewayProcess gateway({.flags = flags});
  ProjectionClient client(gateway.grpc());
  const std::uint32_t version = client.apply(
      "name = \"written\"\nstreams = [\"w.*\"]\nkey = \"{stream[1]}\"\n"
      "[on.\"*\"]\nevents = { count = true }\n");
  ASSERT_TRUE(client.wait_live("written", version));
  std::vector<std::unique_ptr<WriterWhoReads>> writers;
  std::vector<std::thread> threads;
  for (std::uint32_t i = 0; i < kWriters; ++i)
    writers.push_back(std::make_unique<WriterWhoReads>(gateway, i));
  for (const auto& writer : writers)
    threads.emplace_back([&writer, writes] { writer->write_and_read(writes); });
  for (std::thread& thread : threads) thread.join();
  std::cout << writes * kWriters << " publishes, each read back\n";
}

// -------------------------------------------------------------------------------------- watchers

constexpr const char* kKeyed = R"(
name = "keyed"
streams = ["kv.*"]
key = "{/key}"
[on."put"]
n = { last = "/n" }
puts = { count = true }
[on."removed"]
delete = true
)";
constexpr std::uint64_t kKeys = 10'000;

std::string key_text(std::uint64_t number) {
  return fmt::format("k{:04}", number);
}

ChangeEvent put(std::uint64_t key, std::uint64_t n) {
  return {"kv." + std::to_string(key % 7), "put",
          fmt::format(R"({{"key":"{}","n":{}}})", key_text(key), n)};
}

ChangeEvent removal(std::uint64_t key) {
  return {"kv." + std::to_string(key % 7), "removed",
          fmt::format(R"({{"key":"{}"}})", key_text(key))};
}

// One in twenty watches all keys, the others a hundred by prefix or a few by name.
std::vector<std::unique_ptr<RowWatcher>> make_watchers(std::uint64_t count,
                                                       const std::string& http_address) {
  std::mt19937_64 random(test_seed());
  std::vector<std::unique_ptr<RowWatcher>> watchers;
  for (std::uint64_t i = 0; i < count; ++i) {
    RowWatcher::Options options{.projection = "keyed"};
    if (i % 20 != 0 && i % 2 == 0) options.prefix = fmt::format("k{:02}", random() % 100);
    if (i % 2 == 1) {
      for (int k = 0; k < 5; ++k) options.keys.push_back(key_text(random() % kKeys));
      std::sort(options.keys.begin(), options.keys.end());
      options.keys.erase(std::unique(options.keys.begin(), options.keys.end()), options.keys.end());
    }
    options.is_binary = i / 2 % 2 == 1;
    options.life_max_ms = 6000;
    options.seed = random();
    watchers.push_back(std::make_unique<RowWatcher>(std::move(options), http_address));
  }
  return watchers;
}

// Turns the watchers on a few threads. Thread: any for the owner's calls.
class WatcherFleet {
 public:
  WatcherFleet(std::vector<std::unique_ptr<RowWatcher>> watchers, unsigned threads)
      : watchers_(std::move(watchers)), thread_count_(threads) {
    for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this, i] { run(i); });
  }
  ~WatcherFleet() { stop(); }

  // No more drops; true once every watcher holds exactly its part of these rows.
  bool settle(const HeldRows& expected, Milliseconds time) {
    expected_ = &expected;
    is_settled_ = true;
    std::unique_lock lock(mutex_);
    return done_.wait_for(lock, time, [this] { return done_threads_ == thread_count_; });
  }
  void stop() {
    is_stopping_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  // After stop().
  const std::vector<std::unique_ptr<RowWatcher>>& watchers() const { return watchers_; }

  static HeldRows part_of(const HeldRows& rows, const RowWatcher& watcher) {
    HeldRows part;
    for (const auto& [key, row] : rows) {
      if (watcher.selects(key)) part.emplace(key, row);
    }
    return part;
  }

 private:
  void run(unsigned thread) {
    std::vector<RowWatcher*> mine;
    for (std::size_t i = thread; i < watchers_.size(); i += thread_count_)
      mine.push_back(watchers_[i].get());
    std::vector<pollfd> items(mine.size());
    std::vector<HeldRows> wanted;
    std::vector<bool> is_equal(mine.size(), false);
    bool is_done = false;
    while (!is_stopping_) {
      for (std::size_t i = 0; i < mine.size(); ++i) items[i] = {mine[i]->fd(), POLLIN, 0};
      ::poll(items.data(), items.size(), 20);
      const bool settles = is_settled_;
      if (settles && wanted.empty()) {
        for (const RowWatcher* watcher : mine) wanted.push_back(part_of(*expected_, *watcher));
      }
      bool all_equal = settles;
      for (std::size_t i = 0; i < mine.size(); ++i) {
        const bool has_read = items[i].revents != 0;
        if (settles) mine[i]->settle();
        if (has_read) mine[i]->on_readable();
        mine[i]->tick(now_ns());
        if (!settles) continue;
        if (has_read || !is_equal[i]) is_equal[i] = mine[i]->rows() == wanted[i];
        all_equal = all_equal && is_equal[i];
      }
      if (!all_equal || is_done) continue;
      is_done = true;
      const std::lock_guard lock(mutex_);
      ++done_threads_;
      done_.notify_all();
    }
  }

  const std::vector<std::unique_ptr<RowWatcher>> watchers_;
  const unsigned thread_count_;
  std::atomic<bool> is_settled_ = false;
  std::atomic<bool> is_stopping_ = false;
  const HeldRows* expected_ = nullptr;  // written before `is_settled_`
  std::mutex mutex_;
  std::condition_variable done_;
  unsigned done_threads_ = 0;
  std::vector<std::thread> threads_;
};

void allow_many_files() {
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

// Changes random keys, one in eight goes, over a time in which many connections end.
Sequence change_keys(GatewayProcess& gateway, ProjectionClient& client, std::uint64_t batches) {
  constexpr std::uint64_t kBatch = 100;
  std::mt19937_64 random(test_seed() + 1);
  for (std::uint64_t batch = 0; batch < batches && !testing::Test::HasFailure(); ++batch) {
    std::vector<ChangeEvent> events;
    for (std::uint64_t i = 0; i < kBatch; ++i) {
      const std::uint64_t key = random() % kKeys;
      events.push_back(random() % 8 == 0 ? removal(key) : put(key, random() % 100'000));
    }
    client.publish(events);
    EXPECT_FALSE(gateway.process().wait_exit(Milliseconds(25))) << gateway.stderr_text();
  }
  return batches * kBatch;
}

TEST(WatchersTest, EndWithTheRowsOfTheGatewayWhateverIsCut) {
  allow_many_files();
  std::vector<std::string> flags = kWarnings;
  for (const char* flag : {"--limits-connections-per-address", "--limits-connections-per-subject",
                           "--limits-replay-bytes-per-second"}) {
    flags.emplace_back(flag);
    flags.emplace_back("0");
  }
  GatewayProcess gateway({.flags = flags});
  ProjectionClient client(gateway.grpc());
  ASSERT_TRUE(client.wait_live("keyed", client.apply(kKeyed)));
  for (std::uint64_t begin = 0; begin < kKeys; begin += 500) {
    std::vector<ChangeEvent> events;
    for (std::uint64_t key = begin; key < begin + 500; ++key) events.push_back(put(key, key));
    ASSERT_NE(client.publish(events), "");
  }
  WatcherFleet fleet(make_watchers(scaled(1000), gateway.http()), 2);
  const Sequence head = kKeys + change_keys(gateway, client, scaled(400));
  const std::optional<HeldSnapshot> server = client.snapshot_at("keyed", head);
  ASSERT_TRUE(server) << gateway.stderr_text();
  EXPECT_TRUE(fleet.settle(server->rows, Milliseconds(120'000)));
  fleet.stop();

  std::uint64_t connections = 0;
  std::uint64_t resumptions = 0;
  for (const auto& watcher : fleet.watchers()) {
    EXPECT_EQ(difference(watcher->rows(), WatcherFleet::part_of(server->rows, *watcher)), "")
        << "prefix '" << watcher->options().prefix << "'";
    connections += watcher->connections();
    resumptions += watcher->resumptions();
  }
  // Both happen, or the test would show little.
  EXPECT_GT(connections, fleet.watchers().size());
  EXPECT_GT(resumptions, 0U);
  std::cout << fleet.watchers().size() << " watchers of " << server->rows.size() << " keys, "
            << connections << " connections, " << resumptions << " of them resumed\n";
  EXPECT_EQ(gateway.terminate(), 0);
}

}  // namespace
}  // namespace tidegate::test
