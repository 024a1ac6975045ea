// What a subject may take per second.

#include "gateway/delivery/budget.h"

#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/manual_clock.h"

namespace tidegate::test {
namespace {

TEST(BudgetTest, ASecondsWorthAtOnceAndThenByTheRate) {
  ManualClock clock;
  Budget budget({.publish_events = 10}, clock);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(budget.take_publish(1, 1'000'000)) << i;
  const Status refused = budget.take_publish(1, 0);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kRateLimited);
  EXPECT_GT(refused.error().retry_after_ms, 0U);
  clock.advance_ms(refused.error().retry_after_ms);
  EXPECT_TRUE(budget.take_publish(1, 0));
  EXPECT_FALSE(budget.take_publish(1, 0));
}

TEST(BudgetTest, WhatIsLargerThanASecondsWorthPassesAndIsPaidForLater) {
  ManualClock clock;
  Budget budget({.publish_bytes = 1000}, clock);
  EXPECT_TRUE(budget.take_publish(1, 5000));
  const Status refused = budget.take_publish(1, 1);
  ASSERT_FALSE(refused);
  EXPECT_NEAR(refused.error().retry_after_ms, 4000, 10);
  clock.advance_ms(3900);
  EXPECT_FALSE(budget.take_publish(1, 1));
  clock.advance_ms(200);
  EXPECT_TRUE(budget.take_publish(1, 1));
}

TEST(BudgetTest, ARefusedPublishCostsNothing) {
  ManualClock clock;
  Budget budget({.publish_events = 10, .publish_bytes = 1000}, clock);
  EXPECT_TRUE(budget.take_publish(1, 1001));  // bytes are in debt by 1
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(budget.take_publish(5, 0));
  clock.advance_ms(100);
  EXPECT_TRUE(budget.take_publish(9, 0));
}

TEST(BudgetTest, ReplaysWaitInsteadOfBeingRefused) {
  ManualClock clock;
  Budget budget({.replay_bytes = 1000}, clock);
  EXPECT_EQ(budget.charge_replay(900), 0);
  EXPECT_NEAR(static_cast<double>(budget.charge_replay(1100)), 1000, 10);
  clock.advance_ms(1100);
  EXPECT_EQ(budget.charge_replay(50), 0);
  // Publishing is another thing, and without a limit.
  EXPECT_TRUE(budget.take_publish(1'000'000, 1'000'000'000));
}

TEST(BudgetsTest, OneForEachOwnerHoweverManyAskForIt) {
  ManualClock clock;
  Budgets budgets({.publish_events = 1}, clock);
  const auto ann = budgets.of("ann");
  EXPECT_EQ(budgets.of("ann"), ann);
  EXPECT_NE(budgets.of("ben"), ann);
  EXPECT_EQ(Budgets({}, clock).of("ann"), nullptr);
}

TEST(BudgetsTest, ForgetsOnlyWhoHasEverythingAgain) {
  ManualClock clock;
  Budgets budgets({.publish_events = 1}, clock);
  ASSERT_TRUE(budgets.of("spender")->take_publish(100, 0));
  std::weak_ptr<Budget> idle = budgets.of("idle");
  for (int i = 0; i < 5000; ++i) budgets.of(std::to_string(i));
  EXPECT_TRUE(idle.expired());
  EXPECT_FALSE(budgets.of("spender")->take_publish(1, 0));
}

}  // namespace
}  // namespace tidegate::test
