#include "tools/tidegate/delivery_check.h"

#include <gtest/gtest.h>

namespace tidegate {
namespace {

// Revisions 5 to 9 of a stream, at sequences ten times as high.
class DeliveryCheckTest : public testing::Test {
 protected:
  void take(std::initializer_list<Revision> revisions) {
    for (const Revision revision : revisions) EXPECT_TRUE(check_.take(revision * 10, revision));
  }
  void expect(std::uint64_t lost, std::uint64_t duplicated, std::uint64_t out_of_order) {
    EXPECT_EQ(check_.lost(), lost);
    EXPECT_EQ(check_.duplicated(), duplicated);
    EXPECT_EQ(check_.out_of_order(), out_of_order);
  }

  DeliveryCheck check_{5, 10};
};

TEST_F(DeliveryCheckTest, AcceptsEveryEventOnceAndInOrder) {
  take({5, 6, 7, 8, 9});
  EXPECT_TRUE(check_.is_complete());
  expect(0, 0, 0);
}

TEST_F(DeliveryCheckTest, CountsWhatNeverCame) {
  take({5, 8});
  EXPECT_FALSE(check_.is_complete());
  expect(3, 0, 0);
}

TEST_F(DeliveryCheckTest, NoticesAMissingFirstEvent) {
  take({6, 7, 8, 9});
  EXPECT_TRUE(check_.is_complete());
  expect(1, 0, 0);
}

TEST_F(DeliveryCheckTest, CountsDuplicates) {
  take({5, 6, 6, 5, 7, 8, 9, 9});
  expect(0, 3, 0);
}

TEST_F(DeliveryCheckTest, TellsLateFromDuplicated) {
  take({5, 9, 7, 7, 6, 8});
  expect(0, 1, 3);
}

TEST_F(DeliveryCheckTest, NoticesASequenceThatDoesNotIncrease) {
  EXPECT_TRUE(check_.take(50, 5));
  EXPECT_TRUE(check_.take(50, 6));
  EXPECT_TRUE(check_.take(49, 7));
  expect(2, 0, 2);
}

TEST_F(DeliveryCheckTest, RefusesEventsOfAnotherPublisher) {
  EXPECT_FALSE(check_.take(100, 10));
  take({5, 6, 7, 8, 9});
  EXPECT_FALSE(check_.take(101, 10));
  expect(0, 0, 0);
}

TEST(SharedProgressTest, IsThatOfTheSlowest) {
  SharedProgress progress(3, 10);
  EXPECT_FALSE(progress.move(0, 4));
  EXPECT_FALSE(progress.move(0, 2));
  EXPECT_EQ(progress.received_by_all(), 0U);
  EXPECT_TRUE(progress.move(0, 10));
  EXPECT_EQ(progress.received_by_all(), 2U);
  EXPECT_TRUE(progress.move(2, 10));
  EXPECT_EQ(progress.received_by_all(), 4U);
  EXPECT_TRUE(progress.move(4, 10));
  EXPECT_EQ(progress.received_by_all(), 10U);
}

}  // namespace
}  // namespace tidegate
