#include "projections/waiting_queries.h"

#include <gtest/gtest.h>

namespace tidegate::test {
namespace {

class WaitingQueriesTest : public ::testing::Test {
 protected:
  void wait_for(const std::shared_ptr<Projection>& projection, Sequence sequence) {
    PendingQuery query;
    query.projection = projection;
    query.query.min_sequence = sequence;
    ASSERT_EQ(waiting_.add(query), WaitingQueries::Added::kYes);
  }

  const std::shared_ptr<Projection> one_ = std::make_shared<Projection>("one");
  const std::shared_ptr<Projection> other_ = std::make_shared<Projection>("other");
  WaitingQueries waiting_;
};

TEST_F(WaitingQueriesTest, OnlyWhatTheHeadHasReachedIsHurriedFor) {
  EXPECT_FALSE(waiting_.has_any_of(*one_, 100));
  wait_for(one_, 9'000'000'000'000'000'000U);
  EXPECT_FALSE(waiting_.has_any_of(*one_, 100));
  wait_for(one_, 101);
  EXPECT_FALSE(waiting_.has_any_of(*one_, 100));
  EXPECT_TRUE(waiting_.has_any_of(*one_, 101));
  EXPECT_FALSE(waiting_.has_any_of(*other_, 101));
  wait_for(one_, 5);
  EXPECT_TRUE(waiting_.has_any_of(*one_, 100));
}

TEST_F(WaitingQueriesTest, TellsWhatIsWaitedForNext) {
  EXPECT_EQ(waiting_.next_above(*one_, 0), std::nullopt);
  for (const Sequence sequence : {7U, 5U, 100U}) wait_for(one_, sequence);
  wait_for(other_, 6);
  EXPECT_EQ(waiting_.next_above(*one_, 0), 5U);
  EXPECT_EQ(waiting_.next_above(*one_, 5), 7U);
  EXPECT_EQ(waiting_.next_above(*one_, 7), 100U);
  EXPECT_EQ(waiting_.next_above(*one_, 100), std::nullopt);
  EXPECT_EQ(waiting_.next_above(*other_, 0), 6U);
}

}  // namespace
}  // namespace tidegate::test
