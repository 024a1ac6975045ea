#include <atomic>

#include "projections/engine.h"
#include "tests/projections/engine_fixture.h"
#include "tests/support/test_scale.h"

namespace tidegate::test {
namespace {

using Cut = SimulatedDisk::Cut;

// A store and an engine on a machine whose power is cut, over several lives.
// Thread: caller serialises.
class CrashingEngine {
 public:
  explicit CrashingEngine(std::uint64_t seed)
      : random_(seed), disk_(std::make_shared<SimulatedDisk>(seed * 31)) {}

  // Writes, folds and changes versions until the power is cut, or there is nothing left to do.
  void live(std::uint64_t cut_at, Cut kind) {
    ++life_;
    disk_->cut_at(cut_at, kind);
    if (open()) work();
    disk_->cut(kind);
    close();
    disk_->restart();
  }

  // Opens what survived and compares. Empty: it is as it must be.
  std::string judge() {
    if (!open()) return "cannot open after a crash: " + error_;
    std::string problem;
    if (!engine_->info("counting")) {
      // The definition may not have survived its very first moment.
      if (is_applied_) problem = "an acknowledged definition is lost";
    } else {
      problem = compare();
    }
    close();
    disk_->restart();
    return problem;
  }

  std::size_t rebuilds = 0;
  std::size_t recovered_rows = 0;

 private:
  bool open() {
    has_failed_ = false;
    StoreOptions options;
    options.dir = "/data";
    options.ballast_bytes = 0;
    options.tail_bytes_max = std::size_t{64} << 10;
    options.dedupe_events = 1 << 14;
    options.file_system = file_system_of(disk_);
    options.free_bytes = [](const std::string&) { return std::uint64_t{1} << 40; };
    options.on_fatal = [this](const std::string&) { has_failed_ = true; };
    auto opened = EventStore::open(options);
    if (const auto* const error = std::get_if<EventStore::OpenError>(&opened)) {
      error_ = error->error.message;
      return false;
    }
    store_ = std::move(std::get<0>(opened));
    EngineOptions engine_options;
    engine_options.step_events = 20;
    engine_options.commit_every_ms = 0;
    engine_options.row_cache_bytes_max = 2048;
    engine_options.removals_max = 4;
    auto engine = Engine::open(*store_, engine_options);
    if (!engine) {
      error_ = engine.error().message;
      store_.reset();
      return false;
    }
    engine_ = *std::move(engine);
    return true;
  }
  void close() {
    engine_.reset();
    store_.reset();
  }

  void work() {
    const auto applied = engine_->apply(counting());
    if (!applied) return;
    is_applied_ = true;
    for (int request = 0; request < 80 && !has_failed_; ++request) {
      if (!write()) return;
      const auto what = random_() % 20;
      if (what == 0) rebuilds += engine_->rebuild("counting") ? 1U : 0U;
      if (what == 1 && !store_->derived_rows().flush()) return;
      if (what == 2) {
        RowQuery query;
        query.projection = "counting";
        query.min_sequence = store_->tail().head();
        query.wait_ms = 100;  // it may not be reached any more
        const auto ignored = ask(*engine_, query);
        if (!ignored && has_failed_) return;
      }
    }
  }

  // False when the machine went off.
  bool write() {
    std::vector<NewEvent> events;
    for (std::uint64_t left = 1 + random_() % 6; left > 0; --left) {
      EventBuilder event{.id = fmt::format("{}-{}", life_, ++written_),
                         .stream = "s.k" + std::to_string(random_() % 8),
                         .type = random_() % 4 == 0 ? "drop" : "add"};
      event.data = fmt::format(R"({{"v":{}}})", static_cast<int>(random_() % 90));
      events.push_back(event.build());
    }
    PendingAppend append(std::move(events), {}, Durability::kSynced);
    if (!append.queue(*store_)) return false;
    return eventually([&] { return append.is_answered() || has_failed_; }) && !has_failed_;
  }

  std::string compare() {
    // A building version goes on where it was, and takes over.
    const bool is_quiet = eventually([&] {
      const auto now = engine_->info("counting");
      return now && now->building() == nullptr;
    });
    if (!is_quiet) return "a building version does not take over";
    const RowMap rows = all_rows(*engine_, "counting", store_->tail().head(), 3);
    if (rows != model_of(*store_)) return "the rows are not those of the log";
    recovered_rows += rows.size();
    const auto now = engine_->info("counting");
    if (!now || now->live() == nullptr) return "no version is live";
    if (now->live()->checkpoint.rows != rows.size()) return "the checkpoint counts other rows";
    return {};
  }

  std::mt19937_64 random_;
  std::shared_ptr<SimulatedDisk> disk_;
  std::unique_ptr<EventStore> store_;
  std::unique_ptr<Engine> engine_;
  std::string error_;
  std::atomic<bool> has_failed_{false};
  bool is_applied_ = false;
  int life_ = 0;
  int written_ = 0;
};

// 30 seeds (at scale 1), in parts so that they can run side by side.
class EngineCrashTest : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(EngineCrashTest, RowsAreThoseOfTheLogWhereverThePowerIsCut) {
  const std::uint64_t seeds = scaled(10);
  std::size_t rebuilds = 0;
  std::size_t recovered_rows = 0;
  for (std::uint64_t seed = GetParam() * 10 + 1; seed <= GetParam() * 10 + seeds; ++seed) {
    CrashingEngine machine(seed);
    std::mt19937_64 random(seed * 7919);
    for (int life = 1; life <= 3; ++life) {
      const std::uint64_t cut_at = 20 + random() % 600;
      machine.live(cut_at, random() % 4 == 0 ? Cut::kProcess : Cut::kPower);
      ASSERT_EQ(machine.judge(), "")
          << "seed " << seed << ", life " << life << ", cut at " << cut_at;
    }
    rebuilds += machine.rebuilds;
    recovered_rows += machine.recovered_rows;
  }
  // The load must have been one.
  EXPECT_GT(recovered_rows, 0u);
  if (seeds >= 10) {
    EXPECT_GT(rebuilds, 5u);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, EngineCrashTest, ::testing::Range<std::uint64_t>(0, 3));

// Versions that a crash left without a name are erased, and their numbers are not given again.
class LeftoversTest : public EngineTest {};

TEST_F(LeftoversTest, ACrashInTheMiddleOfARebuildLeavesNothingBehind) {
  std::mt19937_64 random(1);
  apply(counting());
  write_random(random, 100, 5);
  rows();
  std::uint32_t told_number = 1;
  for (std::uint64_t cut = 1; cut < 12; ++cut) {
    expects_fatal_ = true;
    disk_->cut_at(disk_->operations() + cut, Cut::kPower);
    const auto rebuilt = engine().rebuild("counting");
    disk_->cut(Cut::kPower);
    engine_.reset();
    close();
    disk_->restart();
    ASSERT_TRUE(eventually([&] { return info("counting").building() == nullptr; }));
    ASSERT_EQ(rows(), model_of(store()))
        << "cut at " << cut << ", " << (rebuilt ? "acknowledged" : "refused");
    const ProjectionInfo now = info("counting");
    EXPECT_EQ(fold_numbers().size(), now.versions.size()) << "cut at " << cut;
    if (rebuilt) told_number = rebuilt->versions.back().number;
    EXPECT_GE(now.versions.back().number, told_number) << "cut at " << cut;
  }
}

}  // namespace
}  // namespace tidegate::test
