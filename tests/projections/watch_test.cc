#include <atomic>

#include "tests/projections/engine_fixture.h"

namespace tidegate::test {
namespace {

// A client of a watch: keeps the rows that it was told of, and judges every told position by what
// the rows were there.
// Thread: caller serialises.
class Watcher {
 public:
  // `states`: the rows by position, kept by the test.
  Watcher(Engine& engine, RowSelection selection, const std::map<Sequence, RowMap>& states)
      : engine_(engine), selection_(std::move(selection)), states_(states) {}

  // One step, or the opening before it. False when there is nothing to tell.
  bool step() {
    if (!watch_ && !open()) return false;
    switch (watch_->next()) {
      case Watch::Next::kNothing:
        return false;
      case Watch::Next::kMemory:
        ++in_memory;
        take(watch_->step_in_memory());
        return true;
      case Watch::Next::kDisk:
        break;
    }
    ++from_disk;
    auto told = watch_->step_from_disk();
    if (!told) {
      ADD_FAILURE() << told.error().message;
      return false;
    }
    take(*std::move(told));
    return true;
  }
  // It keeps what it has, and the last place that it was told, unless it is in a snapshot.
  void disconnect() {
    watch_.reset();
    if (!place_) rows_.clear();
  }
  void let_go() {
    if (watch_) watch_->let_go();
  }
  Watch::Next next() const { return watch_->next(); }
  const RowMap& rows() const { return rows_; }
  std::optional<WatchPlace> place() const { return place_; }
  RowMap selected(const RowMap& all) const {
    RowMap selected;
    for (const auto& [key, row] : all) {
      if (selection_.includes(key)) selected.emplace(key, row);
    }
    return selected;
  }

  std::size_t rows_told = 0;
  std::size_t in_memory = 0;
  std::size_t from_disk = 0;
  std::size_t resets = 0;
  std::size_t snapshots = 0;

 private:
  bool open() {
    WatchRequest request{"counting", selection_, place_};
    auto opened = engine_.open_watch(std::move(request));
    if (!opened) {
      ADD_FAILURE() << opened.error().message;
      return false;
    }
    watch_ = *std::move(opened);
    return true;
  }

  void take(const WatchStep& step) {
    if (step.reset) {
      rows_.clear();
      place_.reset();
      ++resets;
    }
    rows_told += step.rows.size();
    for (const Row& row : step.rows) {
      EXPECT_TRUE(selection_.includes(row.key)) << row.key;
      if (row.is_removed()) {
        rows_.erase(row.key);
      } else {
        rows_[row.key] = row;
      }
    }
    if (step.snapshot_end) {
      EXPECT_TRUE(step.position);
      ++snapshots;
    }
    if (!step.position) return;
    if (place_) {
      EXPECT_GE(step.position->sequence, place_->position.sequence) << "told backwards";
    }
    place_ = {step.version, *step.position};
    judge(step.position->sequence);
  }

  void judge(Sequence sequence) {
    const auto state = states_.find(sequence);
    ASSERT_NE(state, states_.end()) << sequence;
    EXPECT_EQ(rows_, selected(state->second)) << "at " << sequence;
  }

  Engine& engine_;
  const RowSelection selection_;
  const std::map<Sequence, RowMap>& states_;
  std::unique_ptr<Watch> watch_;
  RowMap rows_;
  std::optional<WatchPlace> place_;
};

class WatchTest : public EngineTest {
 protected:
  // Notes the states after what was written since.
  void note_states() {
    const auto events = read_log(store(), Filter::everything(), noted_);
    ASSERT_TRUE(events) << events.error().message;
    if (noted_ == 0) states_[0] = {};
    for (const LoggedEvent& event : *events) {
      model_.add(event);
      noted_ = event.sequence;
      states_[noted_] = model_.rows();
    }
  }
  void write_noted(std::mt19937_64& random, std::size_t count, std::uint64_t keys) {
    write_random(random, count, keys);
    note_states();
  }
  // Steps until the watcher has reached the head.
  void follow_to_head(Watcher& watcher) {
    EXPECT_TRUE(eventually([&] {
      if (watcher.step() || !watcher.place()) return false;
      return watcher.place()->position.sequence >= head();
    }));
  }
  Watcher watcher(std::vector<std::string> keys = {}, const std::string& prefix = {}) {
    return {engine(), RowSelection::make(std::move(keys), prefix).value(), states_};
  }

  std::map<Sequence, RowMap> states_;

 private:
  CountingModel model_;
  Sequence noted_ = 0;
};

TEST_F(WatchTest, TellsAllRowsAndThenTheirChanges) {
  std::mt19937_64 random(1);
  apply(counting());
  write_noted(random, 50, 6);
  rows();
  Watcher watcher = this->watcher();
  follow_to_head(watcher);
  EXPECT_EQ(watcher.rows(), model_of(store()));
  EXPECT_EQ(watcher.snapshots, 1u);
  EXPECT_EQ(watcher.resets, 0u) << "who has nothing need not forget it";
  for (int i = 0; i < 20; ++i) {
    write_noted(random, 7, 6);
    follow_to_head(watcher);
    EXPECT_EQ(watcher.rows(), model_of(store()));
  }
  EXPECT_EQ(watcher.snapshots, 1u);
  EXPECT_GT(watcher.in_memory, 0u);
}

TEST_F(WatchTest, AnEmptyProjectionIsASnapshotWithoutRows) {
  apply(counting());
  note_states();
  Watcher watcher = this->watcher();
  follow_to_head(watcher);
  EXPECT_TRUE(watcher.rows().empty());
  EXPECT_EQ(watcher.snapshots, 1u);
}

TEST_F(WatchTest, TellsOnlyTheSelection) {
  std::mt19937_64 random(2);
  apply(counting());
  write_noted(random, 50, 20);
  Watcher by_key = watcher({"k3", "k17", "k5"});
  Watcher by_prefix = watcher({}, "k1");
  for (int i = 0; i < 10; ++i) {
    follow_to_head(by_key);
    follow_to_head(by_prefix);
    write_noted(random, 30, 20);
  }
  EXPECT_EQ(by_key.resets + by_prefix.resets, 0u);
}

TEST_F(WatchTest, WhoReturnsUpToDateIsToldSoWithoutRows) {
  std::mt19937_64 random(3);
  apply(counting());
  write_noted(random, 50, 6);
  rows();
  Watcher watcher = this->watcher();
  follow_to_head(watcher);
  watcher.disconnect();
  ASSERT_TRUE(watcher.step());
  EXPECT_EQ(watcher.snapshots, 2u);
  EXPECT_EQ(watcher.resets, 0u);
  EXPECT_FALSE(watcher.step());
}

TEST_F(WatchTest, WhoReturnsAfterMoreRemovalsThanAreRememberedBeginsAnew) {
  apply(counting());
  for (int i = 0; i < 30; ++i) add("k" + std::to_string(i), i);
  note_states();
  rows();
  Watcher watcher = this->watcher();
  follow_to_head(watcher);
  watcher.disconnect();
  for (int i = 0; i < 29; ++i) {
    drop("k" + std::to_string(i));
    note_states();
    rows();  // a commit of its own
  }
  follow_to_head(watcher);
  EXPECT_EQ(watcher.resets, 1u);
  EXPECT_EQ(watcher.rows().size(), 1u);
}

TEST_F(WatchTest, PlacesOfAnotherVersionOrHistoryBeginAnew) {
  std::mt19937_64 random(4);
  apply(counting());
  write_noted(random, 40, 6);
  rows();
  const Position here = store().reader().position_at(20).value();
  Position forged = here;
  ++forged.check;
  Position ahead = here;
  ahead.sequence = 1000;
  Position foreign = here;
  foreign.log = LogId::random();
  const WatchPlace places[] = {{2, here}, {1, forged}, {1, ahead}, {1, foreign}};
  for (const WatchPlace& place : places) {
    auto watch = engine().open_watch({"counting", {}, place});
    ASSERT_TRUE(watch);
    ASSERT_EQ((*watch)->next(), Watch::Next::kDisk);
    const auto step = (*watch)->step_from_disk();
    ASSERT_TRUE(step);
    EXPECT_TRUE(step->reset);
  }
  // The same place as it is: what comes is no walk over all rows.
  auto watch = engine().open_watch({"counting", {}, WatchPlace{1, here}});
  ASSERT_TRUE(watch);
  const bool is_in_memory = (*watch)->next() == Watch::Next::kMemory;
  const auto step =
      is_in_memory ? Result<WatchStep>((*watch)->step_in_memory()) : (*watch)->step_from_disk();
  ASSERT_TRUE(step);
  EXPECT_FALSE(step->reset);
}

TEST_F(WatchTest, AnotherVersionIsAResetAndASnapshot) {
  std::mt19937_64 random(5);
  apply(counting());
  write_noted(random, 60, 6);
  Watcher watcher = this->watcher();
  follow_to_head(watcher);
  ASSERT_TRUE(engine().rebuild("counting"));
  ASSERT_TRUE(is_live("counting", 2));
  write_noted(random, 10, 6);
  follow_to_head(watcher);
  EXPECT_EQ(watcher.resets, 1u);
  EXPECT_EQ(watcher.snapshots, 2u);
  EXPECT_EQ(watcher.place()->version, 2u);
}

TEST_F(WatchTest, ARemovalEndsIt) {
  apply(counting());
  auto watch = engine().open_watch({"counting", {}, {}});
  ASSERT_TRUE(watch);
  ASSERT_TRUE((*watch)->step_from_disk());
  ASSERT_TRUE(engine().remove("counting"));
  ASSERT_EQ((*watch)->next(), Watch::Next::kDisk);
  EXPECT_EQ(code_of((*watch)->step_from_disk()), Code::kNotFound);
}

TEST_F(WatchTest, ItMayOutliveTheEngineAndTheStore) {
  apply(counting());
  auto watch = engine().open_watch({"counting", {}, {}});
  ASSERT_TRUE(watch);
  engine_.reset();
  close();
  EXPECT_EQ(code_of((*watch)->step_from_disk()), Code::kDraining);
}

class LargeCommitTest : public WatchTest {
 protected:
  LargeCommitTest() {
    engine_options_.step_events = 100'000;
    engine_options_.recent_commits_bytes_max = std::size_t{16} << 20;
    engine_options_.row_cache_bytes_max = std::size_t{16} << 20;
    engine_options_.step_ms = 60'000;
    engine_options_.commit_every_ms = 60'000;
  }
  // Writes enough rows for several pieces, in one commit or a few. Returns them.
  RowMap write_many();
};

RowMap LargeCommitTest::write_many() {
  std::vector<NewEvent> events;
  for (int i = 0; i < 3000; ++i) {
    EventBuilder event{.id = "b" + std::to_string(i),
                       .stream = fmt::format("s.a-rather-long-key-of-a-row-{:05}", i),
                       .type = "add"};
    event.data = R"({"v":1})";
    events.push_back(event.build());
    if (events.size() == 1000) {
      EXPECT_TRUE(publish(std::move(events)));
      events.clear();
    }
  }
  const RowMap model = model_of(store());
  states_[head()] = model;
  // A commit in between ends with one of the requests.
  for (Sequence sequence = 1000; sequence < head(); sequence += 1000) {
    for (const auto& [key, row] : model) {
      if (row.sequence <= sequence) states_[sequence].emplace(key, row);
    }
  }
  return model;
}

TEST_F(LargeCommitTest, IsToldInPieces) {
  apply(counting());
  note_states();
  Watcher watcher = this->watcher();
  follow_to_head(watcher);
  ASSERT_EQ(watcher.rows().size(), 0u);
  const RowMap model = write_many();
  rows();
  follow_to_head(watcher);
  EXPECT_EQ(watcher.rows(), model);
  EXPECT_GT(watcher.in_memory + watcher.from_disk, 3u);
}

// A watcher that lets go after every piece gets on all the same.
TEST_F(LargeCommitTest, WhoLetsGoOfItGoesOnInItWhileItIsRecent) {
  apply(counting());
  note_states();
  Watcher watcher = this->watcher();
  follow_to_head(watcher);
  const RowMap model = write_many();
  rows();
  const std::size_t from_disk = watcher.from_disk;
  for (int i = 0; i < 1000 && watcher.step(); ++i) watcher.let_go();
  EXPECT_EQ(watcher.rows(), model);
  EXPECT_EQ(watcher.place()->position.sequence, head());
  EXPECT_EQ(watcher.rows_told, model.size()) << "each row once";
  EXPECT_EQ(watcher.from_disk, from_disk);
}

TEST_F(LargeCommitTest, WhoLetsGoOfItReadsTheRestFromDiskWhenItIsGone) {
  engine_options_.recent_commits_bytes_max = 1;  // only the newest one stays
  apply(counting());
  note_states();
  Watcher holding = this->watcher();
  Watcher letting_go = this->watcher();
  follow_to_head(holding);
  follow_to_head(letting_go);
  write_many();
  rows();
  for (Watcher* const watcher : {&holding, &letting_go}) {
    // To the middle of the newest commit.
    while (watcher->next() == Watch::Next::kDisk) ASSERT_TRUE(watcher->step());
    if (watcher->next() == Watch::Next::kMemory) {
      ASSERT_TRUE(watcher->step());
    }
  }
  ASSERT_EQ(holding.next(), letting_go.next());
  const bool is_in_the_middle = holding.next() == Watch::Next::kMemory;
  letting_go.let_go();
  add("one-more", 1);
  RowMap model = model_of(store());
  states_[head()] = model;
  rows();
  EXPECT_EQ(letting_go.next() == Watch::Next::kDisk, is_in_the_middle);
  follow_to_head(letting_go);
  follow_to_head(holding);
  EXPECT_EQ(letting_go.rows(), model);
  EXPECT_EQ(holding.rows(), model);
}

TEST_F(WatchTest, ChangesAreAnnounced) {
  apply(counting());
  std::atomic<int> announced{0};
  const auto handle = engine().on_change([&] { ++announced; });
  add("a", 1);
  EXPECT_TRUE(eventually([&] { return announced > 0; }));
  rows();
  const int before = announced;
  ASSERT_TRUE(engine().remove("counting"));
  EXPECT_TRUE(eventually([&] { return announced > before; }));
  engine_.reset();  // before what it calls
}

// A crash takes rows that were told already; folded again, their removal may lie in the same
// commit.
TEST_F(WatchTest, ARowThatWasToldBeforeACrashIsToldAsRemovedAfterIt) {
  expects_fatal_ = true;
  engine_options_.recent_commits_bytes_max = 1;  // so that it is told from disk
  engine_options_.step_events = 10'000;
  apply(counting());
  add("x", 1);
  ASSERT_EQ(rows().size(), 1u);
  const WatchPlace told{1, info("counting").live()->checkpoint.position};
  disk_->cut(SimulatedDisk::Cut::kProcess);
  engine_.reset();
  close();
  disk_->restart();
  drop("x");  // before the engine is there
  ASSERT_TRUE(rows().empty());
  add("y", 1);
  ASSERT_EQ(rows().size(), 1u);

  auto watch = engine().open_watch({"counting", {}, told});
  ASSERT_TRUE(watch);
  ASSERT_EQ((*watch)->next(), Watch::Next::kDisk);
  const auto step = (*watch)->step_from_disk();
  ASSERT_TRUE(step);
  EXPECT_FALSE(step->reset);
  ASSERT_EQ(step->rows.size(), 2u);
  EXPECT_EQ(step->rows[0].key, "x");
  EXPECT_TRUE(step->rows[0].is_removed());
  EXPECT_EQ(step->rows[1].key, "y");
}

// Whatever happens meanwhile
// -----------------------------------------------------------------------------------

class RandomWatchTest : public WatchTest, public ::testing::WithParamInterface<std::uint64_t> {};

TEST_P(RandomWatchTest, EveryToldPlaceIsAStateAndAllEndEqual) {
  std::mt19937_64 random(GetParam());
  options_.tail_bytes_max = std::size_t{64} << 10;
  engine_options_.recent_commits_bytes_max = GetParam() % 2 == 0 ? 1 : 4096;
  engine_options_.removals_max = 2 + GetParam() % 7;
  apply(counting());
  note_states();
  std::vector<Watcher> watchers;
  for (int i = 0; i < 6; ++i) {
    if (i % 3 == 0) watchers.push_back(watcher());
    if (i % 3 == 1) watchers.push_back(watcher({"k1", "k2", "k9"}));
    if (i % 3 == 2) watchers.push_back(watcher({}, "k1"));
  }
  for (int round = 0; round < 60; ++round) {
    write_noted(random, 1 + random() % 12, 14);
    if (random() % 12 == 0) {
      ASSERT_TRUE(engine().rebuild("counting"));
    }
    if (random() % 4 == 0) rows();
    for (Watcher& watcher : watchers) {
      if (random() % 8 == 0) watcher.disconnect();
      if (random() % 4 == 0) watcher.let_go();
      // Some are slow, and miss whole rounds.
      if (random() % 3 == 0) continue;
      for (std::uint64_t steps = random() % 6; steps > 0 && watcher.step(); --steps) continue;
    }
  }
  ASSERT_TRUE(eventually([&] { return info("counting").building() == nullptr; }));
  const RowMap last = rows();
  EXPECT_EQ(last, model_of(store()));
  for (Watcher& watcher : watchers) follow_to_head(watcher);
  for (const Watcher& watcher : watchers) EXPECT_EQ(watcher.rows(), watcher.selected(last));
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomWatchTest, ::testing::Range<std::uint64_t>(1, 13));

}  // namespace
}  // namespace tidegate::test
