#include <random>
#include <set>

#include "tests/support/store_fixture.h"

// Accepting a loss in a log whose write-ahead log is damaged leads out of it, wherever the damage
// is.

namespace tidegate::test {
namespace {

namespace fs = std::filesystem;

constexpr int kAppends = 60;
constexpr std::size_t kBlockBytes = 32 << 10;

class DamagedWalTest : public StoreDirTest {
 protected:
  DamagedWalTest() { owners_ = {"ann"}; }

  // Records within a block, and records of up to four blocks.
  void SetUp() override {
    std::mt19937_64 random(11);
    for (int i = 0; i < kAppends; ++i) {
      EventBuilder event{.id = std::to_string(i), .stream = "s." + std::to_string(i % 3)};
      event.data = std::string(random() % (i % 4 == 0 ? 500 : 100'000), 'x');
      ASSERT_TRUE(publish({event.build()}));
    }
    ASSERT_TRUE(store().cursors().seek("ann", "low", store().reader().position_at(0).value()));
    written_ = read_log(store()).value();
    copy_dir(options_.dir, temp_.file("intact"));
    close();
    copy_dir(temp_.file("intact"), options_.dir);
  }

  std::string wal() const {
    std::string largest;
    for (const auto& entry : fs::directory_iterator(options_.dir + "/db")) {
      const std::string path = entry.path();
      if (path.ends_with(".log") &&
          (largest.empty() || fs::file_size(path) > fs::file_size(largest)))
        largest = path;
    }
    return largest;
  }

  // The damage of `change`, on a copy of the intact log; returns how many events are left.
  Sequence accepted_after(const std::function<void(std::string& bytes)>& change) {
    close();
    copy_dir(temp_.file("intact"), options_.dir);
    const std::string path = wal();
    std::string bytes = read_file(path);
    change(bytes);
    write_file(path, bytes);
    const auto accepted = accept_loss(options_);
    if (auto* error = std::get_if<EventStore::OpenError>(&accepted)) {
      ADD_FAILURE() << error->exit_code << ": " << error->error.message;
      return 0;
    }
    const Sequence fork = std::get<AcceptedLoss>(accepted).fork;
    EXPECT_EQ(try_open(), 0) << open_error_;
    const auto left = read_log(store());
    EXPECT_TRUE(left);
    if (!left) return 0;
    const auto end = written_.begin() + static_cast<std::ptrdiff_t>(fork);
    EXPECT_EQ(*left, std::vector<LoggedEvent>(written_.begin(), end));
    EXPECT_EQ(check_invariants(store(), owners_), std::vector<std::string>{});
    return fork;
  }

  std::vector<LoggedEvent> written_;
};

TEST_F(DamagedWalTest, GivesUpNothingBeforeAFlippedBitNorCursorsBehindIt) {
  const std::size_t size = fs::file_size(wal());
  std::mt19937_64 random(12);
  std::set<Sequence> forks;
  for (std::size_t block = 0; block < size; block += kBlockBytes) {
    const std::size_t at = block + random() % std::min(kBlockBytes, size - block);
    SCOPED_TRACE(fmt::format("byte {} of {}", at, size));
    const Sequence fork = accepted_after([&](std::string& bytes) { bytes[at] ^= 16; });
    ASSERT_FALSE(HasFailure());
    if (!forks.empty()) {
      EXPECT_GE(fork, *forks.rbegin());
    }
    forks.insert(fork);
    // The rest of a damaged block goes with it, and the cursor may be in the last one.
    if (size - block > kBlockBytes) {
      EXPECT_EQ(store().cursors().list("ann", "", "", 1)->size(), 1u);
    }
  }
  EXPECT_GT(forks.size(), size / kBlockBytes / 4);
}

// The types of pieces in recycled logs, which ours are not, are 4 above the others.
TEST_F(DamagedWalTest, IsNotHeldUpByPiecesOfRecycledLogs) {
  const std::size_t size = fs::file_size(wal());
  for (std::size_t block = 0; block < size; block += 4 * kBlockBytes) {
    SCOPED_TRACE(block);
    accepted_after([&](std::string& bytes) { bytes[block + 6] ^= 4; });
    ASSERT_FALSE(HasFailure());
  }
}

}  // namespace
}  // namespace tidegate::test
