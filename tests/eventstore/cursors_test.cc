#include "tests/support/store_fixture.h"

namespace tidegate::test {
namespace {

class CursorsTest : public StoreTest {
 protected:
  CursorsTest() { owners_ = {"ann", "bob"}; }

  Cursors& cursors() { return store().cursors(); }
  Position at(Sequence sequence) { return store().reader().position_at(sequence).value(); }
  OpenedCursor open_cursor(const std::string& owner, const std::string& name) {
    const auto opened = cursors().open(owner, name, [this] { ++taken_over_; });
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().message);
    return opened ? *opened : OpenedCursor{};
  }
  // Acknowledges and waits until it is on disk; the position that was told, or nothing when the
  // acknowledgement was ignored.
  std::optional<Sequence> acknowledge(const std::string& owner, const std::string& name,
                                      std::uint64_t generation, Sequence sequence) {
    auto told = std::make_shared<std::promise<Sequence>>();
    auto future = told->get_future();
    if (!cursors().acknowledge(
            owner, name, generation, at(sequence),
            [told](const Position& position) { told->set_value(position.sequence); })) {
      return std::nullopt;
    }
    EXPECT_EQ(future.wait_for(kDeadline), std::future_status::ready);
    return future.get();
  }
  std::optional<Sequence> stored(const std::string& owner, const std::string& name) {
    const auto found = cursors().find(owner, name);
    EXPECT_TRUE(found) << (found ? "" : found.error().message);
    if (!found || !*found) return std::nullopt;
    return (*found)->position.sequence;
  }

  std::atomic<int> taken_over_{0};
};

TEST_F(CursorsTest, ANewCursorHasNoPositionUntilItIsAcknowledged) {
  fill("a", 10);
  const OpenedCursor opened = open_cursor("ann", "c");
  EXPECT_FALSE(opened.state);
  EXPECT_EQ(stored("ann", "c"), std::nullopt);
  EXPECT_EQ(acknowledge("ann", "c", opened.generation, 4), 4u);
  EXPECT_EQ(stored("ann", "c"), 4u);
  EXPECT_EQ(stored("bob", "c"), std::nullopt) << "owners do not see each other's cursors";
}

TEST_F(CursorsTest, KeepsPositionAndTimeAcrossARestart) {
  fill("a", 10);
  clock_.set_wall_us(TestClock::kStart + 55);
  const OpenedCursor opened = open_cursor("ann", "c");
  EXPECT_EQ(acknowledge("ann", "c", opened.generation, 7), 7u);
  const Position told = at(7);
  reopen();
  const OpenedCursor again = open_cursor("ann", "c");
  ASSERT_TRUE(again.state);
  EXPECT_EQ(again.state->position, told);
  EXPECT_EQ(again.state->acknowledged_time_us, TestClock::kStart + 55);
  EXPECT_EQ(again.state->lapsed_from, 0u);
  EXPECT_GT(again.generation, opened.generation);
}

TEST_F(CursorsTest, AnAcknowledgementNeverMovesBack) {
  fill("a", 10);
  const OpenedCursor opened = open_cursor("ann", "c");
  EXPECT_EQ(acknowledge("ann", "c", opened.generation, 7), 7u);
  EXPECT_EQ(acknowledge("ann", "c", opened.generation, 3), 7u);
  EXPECT_EQ(acknowledge("ann", "c", opened.generation, 7), 7u);
  EXPECT_EQ(stored("ann", "c"), 7u);
}

TEST_F(CursorsTest, ManyAcknowledgementsAreWrittenTogetherAndAllTold) {
  fill("a", 500);
  const OpenedCursor opened = open_cursor("ann", "c");
  const std::uint64_t syncs_before = disk_->syncs();
  std::atomic<int> told{0};
  std::atomic<Sequence> highest{0};
  for (Sequence sequence = 1; sequence <= 500; ++sequence) {
    ASSERT_TRUE(cursors().acknowledge(
        "ann", "c", opened.generation, at(sequence), [&, sequence](const Position& position) {
          if (position.sequence < sequence)
            ADD_FAILURE() << "told " << position.sequence << " for " << sequence;
          highest = std::max<Sequence>(highest, position.sequence);
          ++told;
        }));
  }
  EXPECT_TRUE(eventually([&] { return told == 500; }));
  EXPECT_EQ(highest, 500u);
  EXPECT_LT(disk_->syncs() - syncs_before, 50u) << "acknowledgements are not coalesced";
}

TEST_F(CursorsTest, OpeningElsewhereTakesOverAndSilencesTheFormerHolder) {
  fill("a", 10);
  const OpenedCursor first = open_cursor("ann", "c");
  EXPECT_EQ(acknowledge("ann", "c", first.generation, 3), 3u);
  EXPECT_EQ(taken_over_, 0);
  const OpenedCursor second = open_cursor("ann", "c");
  EXPECT_EQ(taken_over_, 1);
  EXPECT_NE(second.generation, first.generation);
  ASSERT_TRUE(second.state);
  EXPECT_EQ(second.state->position.sequence, 3u);
  EXPECT_EQ(acknowledge("ann", "c", first.generation, 9), std::nullopt);
  EXPECT_EQ(stored("ann", "c"), 3u);
  EXPECT_EQ(acknowledge("ann", "c", second.generation, 5), 5u);
  cursors().close("ann", "c", first.generation);
  EXPECT_EQ(acknowledge("ann", "c", second.generation, 6), 6u) << "a late close hit the new holder";
}

TEST_F(CursorsTest, ATakeOverIncludesWhatWasAcknowledgedButNotYetWritten) {
  fill("a", 10);
  const OpenedCursor first = open_cursor("ann", "c");
  ASSERT_TRUE(cursors().acknowledge("ann", "c", first.generation, at(8), [](const Position&) {}));
  const OpenedCursor second = open_cursor("ann", "c");
  ASSERT_TRUE(second.state);
  EXPECT_EQ(second.state->position.sequence, 8u);
}

TEST_F(CursorsTest, AClosedCursorTellsNobodyAtTheNextOpening) {
  fill("a", 10);
  const OpenedCursor first = open_cursor("ann", "c");
  cursors().close("ann", "c", first.generation);
  open_cursor("ann", "c");
  EXPECT_EQ(taken_over_, 0);
}

TEST_F(CursorsTest, GenerationsGrowAcrossRestarts) {
  fill("a", 3);
  const OpenedCursor first = open_cursor("ann", "c");
  EXPECT_EQ(acknowledge("ann", "c", first.generation, 1), 1u);
  reopen();
  const OpenedCursor second = open_cursor("ann", "c");
  EXPECT_GT(second.generation, first.generation);
  EXPECT_EQ(acknowledge("ann", "c", first.generation, 3), std::nullopt);
}

TEST_F(CursorsTest, SeekMovesAnywhereIsDurableAndStartsAGeneration) {
  fill("a", 10);
  const OpenedCursor opened = open_cursor("ann", "c");
  EXPECT_EQ(acknowledge("ann", "c", opened.generation, 7), 7u);
  const auto back = cursors().seek("ann", "c", at(2));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->position, at(2));
  EXPECT_EQ(taken_over_, 1);
  EXPECT_EQ(acknowledge("ann", "c", opened.generation, 9), std::nullopt);
  const auto made = cursors().seek("ann", "new", at(4));
  ASSERT_TRUE(made);

  expects_fatal_ = true;
  disk_->cut(SimulatedDisk::Cut::kPower);
  close();
  disk_->restart();
  open();
  EXPECT_EQ(stored("ann", "c"), 2u);
  EXPECT_EQ(stored("ann", "new"), 4u);
}

TEST_F(CursorsTest, RemoveForgetsAndStartsAGeneration) {
  fill("a", 10);
  const OpenedCursor opened = open_cursor("ann", "c");
  EXPECT_EQ(acknowledge("ann", "c", opened.generation, 7), 7u);
  ASSERT_TRUE(cursors().remove("ann", "c"));
  EXPECT_EQ(taken_over_, 1);
  EXPECT_EQ(stored("ann", "c"), std::nullopt);
  EXPECT_EQ(acknowledge("ann", "c", opened.generation, 8), std::nullopt);
  const Status again = cursors().remove("ann", "c");
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::kNotFound);
  reopen();
  EXPECT_EQ(stored("ann", "c"), std::nullopt);
  const OpenedCursor fresh = open_cursor("ann", "c");
  EXPECT_FALSE(fresh.state);
}

TEST_F(CursorsTest, ListsInNameOrderByPages) {
  fill("a", 10);
  for (const char* name : {"b2", "a1", "b10", "b1", "c"})
    ASSERT_TRUE(cursors().seek("ann", name, at(3)));
  ASSERT_TRUE(cursors().seek("bob", "b5", at(1)));
  const auto names = [&](std::string_view prefix, std::string_view after, std::size_t limit) {
    std::vector<std::string> out;
    const auto page = cursors().list("ann", prefix, after, limit);
    EXPECT_TRUE(page);
    if (!page) return out;
    for (const NamedCursor& cursor : *page) out.push_back(cursor.name);
    return out;
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(names("", "", 100), (Names{"a1", "b1", "b10", "b2", "c"}));
  EXPECT_EQ(names("b", "", 100), (Names{"b1", "b10", "b2"}));
  EXPECT_EQ(names("b", "b1", 1), (Names{"b10"}));
  EXPECT_EQ(names("", "b2", 100), (Names{"c"}));
  EXPECT_EQ(names("", "c", 100), Names{});
  EXPECT_EQ(names("x", "", 100), Names{});
}

TEST_F(CursorsTest, ListAndFindIncludePendingAcknowledgements) {
  fill("a", 10);
  ASSERT_TRUE(cursors().seek("ann", "c", at(1)));
  const OpenedCursor opened = open_cursor("ann", "c");
  ASSERT_TRUE(cursors().acknowledge("ann", "c", opened.generation, at(6), [](const Position&) {}));
  EXPECT_EQ(stored("ann", "c"), 6u);
}

TEST_F(CursorsTest, OwnersAndNamesDoNotRunIntoEachOther) {
  fill("a", 10);
  owners_ = {"x", "xy"};
  ASSERT_TRUE(cursors().seek("x", "yz", at(1)));
  ASSERT_TRUE(cursors().seek("xy", "z", at(2)));
  EXPECT_EQ(stored("x", "yz"), 1u);
  EXPECT_EQ(stored("xy", "z"), 2u);
  EXPECT_EQ(cursors().list("x", "", "", 10)->size(), 1u);
}

}  // namespace
}  // namespace tidegate::test
