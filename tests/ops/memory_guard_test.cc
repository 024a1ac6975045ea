// From where on memory counts as short.

#include "gateway/ops/memory_guard.h"

#include <gtest/gtest.h>

namespace tidegate::test {
namespace {

constexpr std::uint64_t kCeiling = 1000;

TEST(MemoryGuardTest, RisesAtItsMarksAndFallsSomewhatBelowThem) {
  struct Case {
    std::uint64_t bytes;
    Pressure before;
    Pressure now;
  };
  for (const Case& test : {Case{840, Pressure::kNone, Pressure::kNone},
                           {850, Pressure::kNone, Pressure::kHigh},
                           {950, Pressure::kNone, Pressure::kCritical},
                           {5000, Pressure::kHigh, Pressure::kCritical},
                           {940, Pressure::kHigh, Pressure::kHigh},
                           {910, Pressure::kCritical, Pressure::kCritical},
                           {890, Pressure::kCritical, Pressure::kHigh},
                           {810, Pressure::kHigh, Pressure::kHigh},
                           {790, Pressure::kHigh, Pressure::kNone},
                           {100, Pressure::kCritical, Pressure::kNone}}) {
    EXPECT_EQ(MemoryGuard::level(test.bytes, kCeiling, test.before), test.now) << test.bytes;
  }
}

TEST(MemoryGuardTest, KnowsWhatThereIs) {
  EXPECT_GT(resident_bytes(), 1'000'000U);
  EXPECT_LT(resident_bytes(), memory_of_machine());
}

}  // namespace
}  // namespace tidegate::test
