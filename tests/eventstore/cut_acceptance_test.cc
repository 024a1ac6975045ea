#include "tests/eventstore/noise.h"
#include "tests/support/store_fixture.h"

// Accepting a loss in a log whose tables are damaged, and being killed anywhere in it.

namespace tidegate::test {
namespace {

namespace fs = std::filesystem;

using Cut = SimulatedDisk::Cut;

// A log on a simulated disk, in which accepting a loss is cut at each of its changes in turn.
class CutAcceptanceTest : public StoreTest {
 protected:
  // Changes a byte in the middle of the largest file of a kind.
  void damage(const std::string& ending) {
    std::pair<std::size_t, std::string> largest;
    for (const auto& [path, bytes] : disk_->files()) {
      if (path.starts_with("/data/db/") && path.ends_with(ending))
        largest = std::max(largest, {bytes.size(), path});
    }
    SimulatedDisk::NodeRef file;
    ASSERT_EQ(disk_->open(disk_->run(), largest.second, file), SimulatedDisk::Outcome::kOk);
    const auto bytes = disk_->files().at(largest.second);
    const char changed = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    disk_->write(disk_->run(), file, bytes.size() / 2, std::string_view(&changed, 1));
    disk_->sync(disk_->run(), largest.second, file);
  }

  // A log of 60 events with the damage.
  void write(const std::string& ending) {
    std::mt19937_64 random(7);
    std::vector<NewEvent> events;
    for (int i = 0; i < 60; ++i) {
      EventBuilder event{.id = std::to_string(i), .data = noise(random, 1000)};
      events.push_back(event.build());
      if (events.size() == 5) ASSERT_TRUE(publish(std::exchange(events, {})));
    }
    ASSERT_TRUE(store().cursors().seek("ann", "c", store().reader().position_at(60).value()));
    written_ = read_log(store()).value();
    if (ending == ".sst") {
      reopen();
      close();
    } else {
      expects_fatal_ = true;  // the store lives on for a moment
      disk_->cut(Cut::kProcess);
      close();
    }
    disk_->restart();
    damage(ending);
    files_ = disk_->files();
  }

  // The same on a disk of its own.
  void put_on_new_disk(std::uint64_t seed) {
    disk_ = std::make_shared<SimulatedDisk>(seed);
    const auto run = disk_->run();
    SimulatedDisk::NodeRef node;
    for (const char* dir : {"/", "/data", "/data/db"}) {
      disk_->make_dir(run, dir);
      for (const auto& [path, bytes] : files_) {
        if (fs::path(path).parent_path() != dir) continue;
        ASSERT_EQ(disk_->create(run, path, true, node), SimulatedDisk::Outcome::kOk);
        disk_->append(run, node, bytes);
        disk_->sync(run, path, node);
      }
    }
    for (const char* dir : {"/data/db", "/data", "/"}) {
      ASSERT_EQ(disk_->open(run, dir, node), SimulatedDisk::Outcome::kOk);
      disk_->sync_dir(run, node);
    }
    disk_->restart();
  }

  std::variant<AcceptedLoss, EventStore::OpenError> accept() {
    options_.file_system = file_system_of(disk_);
    return accept_loss(options_);
  }

  // The log is refused, or it is the prefix; and accepting once more leads to the prefix.
  void expect_way_out(Sequence fork) {
    const int code = try_open();
    if (code != 0) {
      EXPECT_EQ(code, 65) << open_error_;
      EXPECT_NE(open_error_.find("accept-loss"), std::string::npos) << open_error_;
      auto again = accept();
      ASSERT_TRUE(std::holds_alternative<AcceptedLoss>(again)) << std::get<1>(again).error.message;
      EXPECT_EQ(std::get<0>(again).fork, fork);
      ASSERT_EQ(try_open(), 0) << open_error_;
    }
    const auto end = written_.begin() + static_cast<std::ptrdiff_t>(fork);
    const auto left = read_log(store());
    ASSERT_TRUE(left) << left.error().message;
    EXPECT_EQ(*left, std::vector<LoggedEvent>(written_.begin(), end));
    EXPECT_GE(store().log_info()->lineage.size(), 2u);
    const auto cursor = store().cursors().open("ann", "c", [] {});
    ASSERT_TRUE(cursor && cursor->state);
    EXPECT_EQ(cursor->state->position.sequence, fork);
    EXPECT_EQ(cursor->state->lapsed_from, 60u);
    EXPECT_EQ(fill("a", 1), fork + 1);
    close();
    for (const auto& [path, bytes] : disk_->files())
      EXPECT_TRUE(!path.starts_with("/data/db.")) << path << " is left";
  }

  std::map<std::string, std::string> files_;
  std::vector<LoggedEvent> written_;
};

struct CutCase {
  const char* name;
  const char* ending;  // of the file that is damaged
  Cut kind;
};

class CutAcceptanceCaseTest : public CutAcceptanceTest,
                              public ::testing::WithParamInterface<CutCase> {};

TEST_P(CutAcceptanceCaseTest, LeavesAWayOut) {
  const auto& [name, ending, kind] = GetParam();
  write(ending);
  put_on_new_disk(1);
  const auto whole = accept();
  ASSERT_TRUE(std::holds_alternative<AcceptedLoss>(whole)) << std::get<1>(whole).error.message;
  const Sequence fork = std::get<0>(whole).fork;
  ASSERT_GT(fork, 5u);
  ASSERT_LT(fork, 60u);
  const std::uint64_t changes = disk_->operations();
  expect_way_out(fork);
  // Each of the last changes, where the databases change places, and every so many of the others.
  const std::uint64_t step = kind == Cut::kPower ? 9 : 23;
  for (std::uint64_t at = 1; at <= changes && !HasFailure(); at += at + 40 < changes ? step : 1) {
    SCOPED_TRACE(fmt::format("{}: cut at change {} of {}", name, at, changes));
    put_on_new_disk(at);
    disk_->cut_at(at, kind);
    accept();
    if (!disk_->is_off()) disk_->cut(kind);  // threads of RocksDB make the count vary
    disk_->restart();
    expect_way_out(fork);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Cuts, CutAcceptanceCaseTest,
    ::testing::Values(CutCase{"table_and_power", ".sst", Cut::kPower},
                      CutCase{"table_and_process", ".sst", Cut::kProcess},
                      CutCase{"write_ahead_log_and_power", ".log", Cut::kPower},
                      CutCase{"write_ahead_log_and_process", ".log", Cut::kProcess}),
    [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace tidegate::test
