#include <set>

#include "tests/support/store_fixture.h"

// A log under which clients hold positions is replaced: by an accepted loss, or by an older copy.

namespace tidegate::test {
namespace {

namespace fs = std::filesystem;
using Outcome = ResolvedStart::Outcome;

class ReplacedLogTest : public StoreDirTest {
 protected:
  ReplacedLogTest() { owners_ = {"ann"}; }

  Position at(Sequence sequence) { return store().reader().position_at(sequence).value(); }
  Outcome outcome_of(const Position& position) {
    const auto resolved = store().reader().resolve(AfterPosition{position}, Filter::everything());
    EXPECT_TRUE(resolved) << (resolved ? "" : resolved.error().message);
    return resolved ? resolved->outcome : Outcome::kOk;
  }
  // Ends the store, and cuts the log so that about the first `part` of its bytes are readable.
  void damage(double part) {
    copy_dir(options_.dir, temp_.file("dead"));
    close();
    copy_dir(temp_.file("dead"), options_.dir);
    for (const auto& entry : fs::directory_iterator(fs::path(options_.dir) / "db")) {
      if (entry.path().extension() != ".log") continue;
      fs::resize_file(entry.path(),
                      static_cast<std::uintmax_t>(static_cast<double>(entry.file_size()) * part));
    }
  }
  AcceptedLoss accept() {
    auto accepted = accept_loss(options_);
    EXPECT_TRUE(std::holds_alternative<AcceptedLoss>(accepted))
        << std::get<1>(accepted).error.message;
    return std::holds_alternative<AcceptedLoss>(accepted) ? std::get<0>(accepted) : AcceptedLoss{};
  }
};

TEST_F(ReplacedLogTest, AnAcceptedLossKeepsWhatIsBeforeTheForkAndTellsTheRest) {
  for (int i = 0; i < 20; ++i) fill("a", 5);
  const LogId parent = store().log_id();
  std::vector<Position> positions;
  for (Sequence sequence = 0; sequence <= 100; ++sequence) positions.push_back(at(sequence));
  ASSERT_TRUE(store().cursors().seek("ann", "low", at(3)));
  damage(0.5);
  ASSERT_EQ(try_open(), 65);
  const AcceptedLoss loss = accept();
  EXPECT_EQ(loss.parent, parent);
  EXPECT_GT(loss.fork, 10u);
  EXPECT_LT(loss.fork, 90u);

  ASSERT_EQ(try_open(), 0) << open_error_;
  const auto info = store().log_info();
  ASSERT_TRUE(info);
  ASSERT_EQ(info->lineage.size(), 2u);
  EXPECT_EQ(info->lineage[0].log, parent);
  EXPECT_EQ(info->lineage[1].log, loss.log);
  EXPECT_EQ(info->lineage[1].fork, loss.fork);
  // Also after new events have passed the old head.
  for (int round = 0; round < 2; ++round) {
    for (Sequence sequence = 0; sequence <= 100; ++sequence) {
      EXPECT_EQ(outcome_of(positions[sequence]),
                sequence <= loss.fork ? Outcome::kOk : Outcome::kRewound)
          << sequence << " fork " << loss.fork;
    }
    const auto resolved =
        store().reader().resolve(AfterPosition{positions[5]}, Filter::everything());
    ASSERT_TRUE(resolved);
    EXPECT_EQ(resolved->position, at(5)) << "the position in the present history is told";
    fill("a", 200);
  }
}

// The older of two write-ahead logs is damaged, so that a cursor in the newer one survives the
// event that it names.
TEST_F(ReplacedLogTest, CursorsPastTheForkAreClampedAndToldOnce) {
  for (int i = 0; i < 20; ++i) fill("a", 5);
  store().wait_for_index();
  ASSERT_TRUE(store().trim(2));  // flushes the index, which begins another write-ahead log
  fill("a", 5);
  ASSERT_TRUE(store().cursors().seek("ann", "low", at(3)));
  ASSERT_TRUE(store().cursors().seek("ann", "high", at(104)));
  copy_dir(options_.dir, temp_.file("dead"));
  close();
  copy_dir(temp_.file("dead"), options_.dir);
  std::set<fs::path> logs;
  for (const auto& entry : fs::directory_iterator(fs::path(options_.dir) / "db")) {
    if (entry.path().extension() == ".log") logs.insert(entry.path());
  }
  ASSERT_GE(logs.size(), 2u);
  fs::resize_file(*logs.begin(), fs::file_size(*logs.begin()) / 2);
  ASSERT_EQ(try_open(), 65);

  const AcceptedLoss loss = accept();
  EXPECT_GT(loss.fork, 10u);
  EXPECT_LT(loss.fork, 100u);
  EXPECT_EQ(loss.cursors_moved, 1u);
  ASSERT_EQ(try_open(), 0) << open_error_;
  EXPECT_EQ(store().tail().head(), loss.fork);
  const auto low = store().cursors().open("ann", "low", [] {});
  ASSERT_TRUE(low && low->state);
  EXPECT_EQ(low->state->position.sequence, 3u);
  EXPECT_EQ(low->state->lapsed_from, 0u);
  const auto moved = store().cursors().open("ann", "high", [] {});
  ASSERT_TRUE(moved && moved->state);
  EXPECT_EQ(moved->state->position, at(loss.fork));
  EXPECT_EQ(moved->state->lapsed_from, 104u);
  const auto again = store().cursors().open("ann", "high", [] {});
  ASSERT_TRUE(again && again->state);
  EXPECT_EQ(again->state->lapsed_from, 0u) << "told twice";
}

TEST_F(ReplacedLogTest, ALossOnALossKeepsTheWholeLineage) {
  for (int i = 0; i < 20; ++i) fill("a", 5);
  const Position early = at(4);
  const Position late = at(99);
  damage(0.7);
  ASSERT_EQ(try_open(), 65);
  const AcceptedLoss first = accept();
  open();
  for (int i = 0; i < 20; ++i) fill("b", 5);
  const Position between = at(first.fork + 1);
  damage(0.3);
  ASSERT_EQ(try_open(), 65);
  const AcceptedLoss second = accept();
  EXPECT_EQ(second.parent, first.log);
  open();
  EXPECT_EQ(store().log_info()->lineage.size(), 3u);
  fill("c", 200);
  EXPECT_EQ(outcome_of(early), Outcome::kOk);
  EXPECT_EQ(outcome_of(late), Outcome::kRewound);
  EXPECT_EQ(outcome_of(between), second.fork >= first.fork + 1 ? Outcome::kOk : Outcome::kRewound);
}

// The fork need not be an event of a stream that goes on beyond it.
TEST_F(ReplacedLogTest, AStreamThatIsCutEndsWithItsLastEventUpToTheFork) {
  fill("a", 5);
  store().wait_for_index();
  for (int i = 0; i < 20; ++i) fill("b", 5);
  store().wait_for_index();
  fill("a", 5);
  store().wait_for_index();
  ASSERT_TRUE(store().trim(2));  // writes the index to a table, which is then ahead of the damage
  copy_dir(options_.dir, temp_.file("dead"));
  close();
  copy_dir(temp_.file("dead"), options_.dir);
  fs::path largest;
  for (const auto& entry : fs::directory_iterator(fs::path(options_.dir) / "db")) {
    if (entry.path().extension() != ".log") continue;
    if (largest.empty() || entry.file_size() > fs::file_size(largest)) largest = entry.path();
  }
  ASSERT_FALSE(largest.empty());
  fs::resize_file(largest, fs::file_size(largest) / 2);
  ASSERT_EQ(try_open(), 65);
  const AcceptedLoss loss = accept();
  ASSERT_GT(loss.fork, 10u);
  ASSERT_LT(loss.fork, 105u);
  open();
  const auto a = store().stream_info("a");
  ASSERT_TRUE(a);
  EXPECT_EQ(a->last_sequence, 5u);
  EXPECT_EQ(a->last_revision, 5u);
  const auto b = store().stream_info("b");
  ASSERT_TRUE(b);
  EXPECT_EQ(b->last_sequence, loss.fork);
  EXPECT_EQ(b->last_revision, loss.fork - 5);
}

TEST_F(ReplacedLogTest, AcceptLossOfAWholeLogChangesNothing) {
  fill("a", 5);
  close();
  const auto before = files_below(options_.dir);
  auto accepted = accept_loss(options_);
  if (std::holds_alternative<AcceptedLoss>(accepted)) {
    // It may also be taken for a wish: then nothing is lost and the history forks at the head.
    EXPECT_EQ(std::get<0>(accepted).fork, 5u);
  } else {
    auto after = files_below(options_.dir);
    after.erase("LOCK");
    auto expected = before;
    expected.erase("LOCK");
    EXPECT_EQ(after, expected);
  }
  open();
  EXPECT_EQ(contents().size(), 5u);
}

TEST_F(ReplacedLogTest, AnOlderCopyIsNoticedByEveryPositionItDoesNotHold) {
  fill("a", 10);
  close();
  copy_dir(options_.dir, temp_.file("old"));
  open();
  fill("a", 10);
  std::vector<Position> positions;
  for (Sequence sequence = 0; sequence <= 20; ++sequence) positions.push_back(at(sequence));
  close();
  copy_dir(temp_.file("old"), options_.dir);
  open();
  for (Sequence sequence = 0; sequence <= 20; ++sequence) {
    EXPECT_EQ(outcome_of(positions[sequence]), sequence <= 10 ? Outcome::kOk : Outcome::kAhead)
        << sequence;
  }
  // Other events take the numbers.
  clock_.advance_us(1);
  fill("b", 20);
  for (Sequence sequence = 0; sequence <= 20; ++sequence) {
    EXPECT_EQ(outcome_of(positions[sequence]), sequence <= 10 ? Outcome::kOk : Outcome::kRewound)
        << sequence;
  }
  const auto bare = store().reader().resolve(AfterSequence{15}, Filter::everything());
  ASSERT_TRUE(bare);
  EXPECT_EQ(bare->outcome, Outcome::kOk) << "a bare number has no history to check";
}

TEST_F(ReplacedLogTest, OfflineInspectionChangesNoFileAndTellsTheDamage) {
  for (int i = 0; i < 20; ++i) fill("a", 5);
  close();
  const auto before = files_below(options_.dir);
  const auto info = log_info_offline(options_);
  ASSERT_TRUE(std::holds_alternative<LogInfo>(info)) << std::get<1>(info).error.message;
  EXPECT_EQ(std::get<0>(info).head.sequence, 100u);
  const auto report = verify_offline(options_, [](const VerifyProgress&) { return true; });
  ASSERT_TRUE(std::holds_alternative<VerifyReport>(report)) << std::get<1>(report).error.message;
  EXPECT_TRUE(std::get<0>(report).is_clean());
  EXPECT_EQ(std::get<0>(report).examined, 100u);
  auto after = files_below(options_.dir);
  after.erase("LOCK");
  auto expected = before;
  expected.erase("LOCK");
  EXPECT_EQ(after, expected);
}

}  // namespace
}  // namespace tidegate::test
