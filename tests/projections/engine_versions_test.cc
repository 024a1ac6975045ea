#include "tests/projections/engine_fixture.h"

namespace tidegate::test {
namespace {

// The same rows from another text.
std::string other_text(int number) {
  return counting("counting", "# " + std::to_string(number) + "\n");
}

class EngineVersionsTest : public EngineTest {
 protected:
  bool holds_folds(std::size_t count) {
    return eventually([&] { return fold_numbers().size() == count; });
  }
};

TEST_F(EngineVersionsTest, EqualTextChangesNothing) {
  apply(counting());
  EXPECT_EQ(apply(counting()).versions.size(), 1u);
  apply(other_text(1));
  ASSERT_TRUE(is_live("counting", 2));
  EXPECT_EQ(apply(other_text(1)).live()->number, 2u);
  EXPECT_EQ(info("counting").building(), nullptr);
}

TEST_F(EngineVersionsTest, AnotherTextBuildsBesideTheLiveVersionAndTakesOver) {
  std::mt19937_64 random(1);
  apply(counting());
  write_random(random, 400, 6);
  rows();
  apply(other_text(1));
  Sequence last = 0;
  std::uint32_t version = 1;
  // Publishing goes on, and what queries tell never goes back.
  ASSERT_TRUE(eventually([&] {
    write_random(random, 5, 6);
    RowQuery query;
    query.projection = "counting";
    const auto page = ask(engine(), query);
    EXPECT_TRUE(page);
    if (!page) return true;
    EXPECT_GE(page->position.sequence, last);
    EXPECT_GE(page->version, version);
    last = page->position.sequence;
    version = page->version;
    return version == 2;
  }));
  EXPECT_EQ(rows(), model_of(store()));
  const ProjectionInfo now = info("counting");
  ASSERT_EQ(now.versions.size(), 2u);
  EXPECT_EQ(now.versions[0].state, VersionInfo::State::kRetired);
  EXPECT_EQ(now.versions[0].definition, counting());
  EXPECT_EQ(now.live()->definition, other_text(1));
  reopen_all();
  EXPECT_EQ(info("counting").live()->number, 2u);
  EXPECT_EQ(rows(), model_of(store()));
}

TEST_F(EngineVersionsTest, TakesOverInAnEmptyLogToo) {
  apply(counting());
  apply(other_text(1));
  EXPECT_TRUE(is_live("counting", 2));
}

TEST_F(EngineVersionsTest, OnlyTheLastFormerVersionIsKept) {
  add("a", 1);
  apply(counting());
  for (int i = 1; i <= 4; ++i) {
    apply(other_text(i));
    ASSERT_TRUE(is_live("counting", static_cast<std::uint32_t>(i + 1)));
  }
  EXPECT_EQ(info("counting").versions.size(), 2u);
  EXPECT_TRUE(holds_folds(2)) << "the rows of the others are gone";
  ASSERT_TRUE(engine().remove("counting"));
  EXPECT_TRUE(holds_folds(0));
}

TEST_F(EngineVersionsTest, ABuildingVersionIsReplacedByTheNext) {
  std::mt19937_64 random(2);
  write_random(random, 100, 4);
  apply(counting());
  rows();
  ASSERT_TRUE(engine().pause("counting"));  // so that nothing takes over
  apply(other_text(1));
  const ProjectionInfo now = apply(other_text(2));
  ASSERT_NE(now.building(), nullptr);
  EXPECT_EQ(now.building()->number, 3u);
  EXPECT_EQ(now.versions.size(), 2u);
  EXPECT_TRUE(holds_folds(2));
  ASSERT_TRUE(engine().resume("counting"));
  ASSERT_TRUE(is_live("counting", 3));
  EXPECT_EQ(rows(), model_of(store()));
}

TEST_F(EngineVersionsTest, RollbackBringsTheFormerVersionBack) {
  std::mt19937_64 random(3);
  apply(counting());
  EXPECT_EQ(code_of(engine().rollback("counting")), Code::kCheckFailed);
  write_random(random, 50, 4);
  apply(other_text(1));
  ASSERT_TRUE(is_live("counting", 2));
  write_random(random, 150, 4);
  rows();
  EXPECT_LT(info("counting").versions[0].checkpoint.position.sequence, head());
  ASSERT_TRUE(engine().rollback("counting"));
  ASSERT_TRUE(is_live("counting", 1));
  EXPECT_EQ(rows(), model_of(store()));
  // And forth again.
  ASSERT_TRUE(engine().rollback("counting"));
  ASSERT_TRUE(is_live("counting", 2));
  EXPECT_EQ(rows(), model_of(store()));
}

TEST_F(EngineVersionsTest, RollbackBeyondATrimIsRefused) {
  std::mt19937_64 random(4);
  apply(counting());
  write_random(random, 20, 4);
  rows();
  apply(other_text(1));
  ASSERT_TRUE(is_live("counting", 2));
  write_random(random, 60, 4);
  rows();
  store().wait_for_index();
  ASSERT_TRUE(store().trim(70));
  EXPECT_EQ(code_of(engine().rollback("counting")), Code::kCheckFailed);
  EXPECT_EQ(info("counting").building(), nullptr);
}

TEST_F(EngineVersionsTest, RebuildFoldsTheSameOnceMore) {
  std::mt19937_64 random(5);
  apply(counting());
  write_random(random, 200, 4);
  for (std::uint32_t number = 2; number <= 4; ++number) {
    EXPECT_EQ(told(engine().rebuild("counting")).versions.back().number, number);
    write_random(random, 20, 4);
    ASSERT_TRUE(is_live("counting", number));
    EXPECT_EQ(rows(), model_of(store()));
  }
}

TEST_F(EngineVersionsTest, QueriesAreNeverStaleAcrossTakeOvers) {
  std::mt19937_64 random(6);
  apply(counting());
  for (int i = 1; i <= 120; ++i) {
    if (i % 10 == 0) apply(other_text(i));
    if (i % 15 == 0) {
      const auto rolled_back = engine().rollback("counting");
      EXPECT_TRUE(rolled_back || rolled_back.error().code == Code::kCheckFailed);
    }
    const std::string key = "k" + std::to_string(random() % 3);
    const Sequence sequence = add(key, i);
    RowQuery query;
    query.projection = "counting";
    query.min_sequence = sequence;
    query.wait_ms = 30'000;
    query.selection = RowSelection::make({key}, "").value();
    const auto page = ask(engine(), query);
    ASSERT_TRUE(page) << page.error().message;
    ASSERT_EQ(page->rows.size(), 1u);
    ASSERT_EQ(page->rows[0].sequence, sequence) << "version " << page->version;
  }
}

}  // namespace
}  // namespace tidegate::test
