#include "tests/eventstore/golden.h"

#include "tests/support/store_fixture.h"

namespace tidegate::test {
namespace {

namespace fs = std::filesystem;

// Data directories of every format version, made by make_golden, which every later build must open.
class GoldenTest : public StoreDirTest, public ::testing::WithParamInterface<const char*> {
 protected:
  fs::path golden() const {
    return fs::path(TIDEGATE_SOURCE_DIR) / "tests/eventstore/golden" / GetParam();
  }
};

TEST_P(GoldenTest, OpensWithEverythingInIt) {
  copy_dir(golden() / "data", options_.dir);
  owners_ = {"golden"};
  ASSERT_EQ(try_open(), 0) << open_error_;
  EXPECT_EQ(describe_store(*store_, "golden"), read_file(golden() / "expected.txt"));
  EXPECT_EQ(check_invariants(*store_, owners_), std::vector<std::string>{});
}

TEST_P(GoldenTest, GoesOnWhereItEnded) {
  copy_dir(golden() / "data", options_.dir);
  open();
  const auto events = read_log(store());
  ASSERT_TRUE(events && !events->empty());
  const LoggedEvent& last = events->back();
  const auto repeated =
      publish({{last.stream, last.event}, make_event(last.stream, "after-golden")});
  ASSERT_TRUE(repeated) << repeated.error().message;
  EXPECT_TRUE(repeated->events[0].deduplicated);
  EXPECT_EQ(repeated->events[0].sequence, last.sequence);
  EXPECT_EQ(repeated->events[1].sequence, last.sequence + 1);
  EXPECT_EQ(repeated->events[1].revision, last.revision + 1);
}

INSTANTIATE_TEST_SUITE_P(Versions, GoldenTest, ::testing::Values("v1"));

}  // namespace
}  // namespace tidegate::test
