#include "projections/row.h"

#include <gtest/gtest.h>

namespace tidegate::test {
namespace {

using SelectedKeys = std::vector<std::string>;

Code selection_refusal(SelectedKeys keys, std::string prefix) {
  const auto made = RowSelection::make(std::move(keys), std::move(prefix));
  EXPECT_FALSE(made);
  return made ? Code::kInternal : made.error().code;
}

TEST(RowSelectionTest, WithoutKeysAndPrefixIncludesEverything) {
  const auto all = RowSelection::make({}, "").value();
  EXPECT_TRUE(all.includes(""));
  EXPECT_TRUE(all.includes("ATL"));
}

TEST(RowSelectionTest, SortsKeysAndDropsRepetitions) {
  const auto some = RowSelection::make({"b", "", "a", "b"}, "").value();
  EXPECT_EQ(some.keys, (SelectedKeys{"", "a", "b"}));
  EXPECT_TRUE(some.includes(""));
  EXPECT_TRUE(some.includes("a"));
  EXPECT_FALSE(some.includes("ab")) << "keys are no prefixes";
}

TEST(RowSelectionTest, IncludesWhatBeginsWithThePrefix) {
  const auto some = RowSelection::make({}, "eu.").value();
  EXPECT_TRUE(some.includes("eu."));
  EXPECT_TRUE(some.includes("eu.1"));
  EXPECT_FALSE(some.includes("eu"));
  EXPECT_FALSE(some.includes("us.1"));
}

TEST(RowSelectionTest, RefusesWhatNoRowCanBe) {
  EXPECT_EQ(selection_refusal({"a"}, "b"), Code::kBadArgument);
  EXPECT_EQ(selection_refusal({std::string(kRowKeyBytesMax + 1, 'a')}, ""), Code::kBadArgument);
  EXPECT_EQ(selection_refusal({}, std::string(kRowKeyBytesMax + 1, 'a')), Code::kBadArgument);
  EXPECT_TRUE(RowSelection::make({std::string(kRowKeyBytesMax, 'a')}, ""));
}

TEST(RowSelectionTest, HasALimitOfKeys) {
  SelectedKeys keys;
  for (std::size_t i = 0; i < RowSelection::kKeysMax; ++i) keys.push_back(std::to_string(i));
  EXPECT_TRUE(RowSelection::make(keys, ""));
  keys.emplace_back("one more");
  EXPECT_EQ(selection_refusal(keys, ""), Code::kBadArgument);
}

}  // namespace
}  // namespace tidegate::test
