#include "projections/recent_commits.h"

#include <gtest/gtest.h>

namespace tidegate::test {
namespace {

// A commit of a row with a document of this size.
RowCommitRef make_row_commit(Sequence before, Sequence at, std::size_t bytes = 10) {
  auto commit = std::make_shared<RowCommit>();
  commit->before = before;
  commit->position.sequence = at;
  commit->rows = {{"key", std::string(bytes, 'x'), at}};
  return commit;
}

// Where the commit ends that comes after the sequence; 0 when there is none.
Sequence commit_end_after(const RecentCommits& commits, Sequence sequence) {
  const RowCommitRef found = commits.after(sequence);
  return found ? found->position.sequence : 0;
}

TEST(RecentCommitsTest, GivesTheNextCommitForWhoHasSeenASequence) {
  RecentCommits commits(1 << 20);
  commits.push(make_row_commit(0, 10));
  commits.push(make_row_commit(10, 11));
  commits.push(make_row_commit(11, 20));
  EXPECT_EQ(commit_end_after(commits, 0), 10u);
  EXPECT_EQ(commit_end_after(commits, 9), 10u) << "a place within a commit";
  EXPECT_EQ(commit_end_after(commits, 10), 11u);
  EXPECT_EQ(commit_end_after(commits, 11), 20u);
  EXPECT_EQ(commit_end_after(commits, 19), 20u);
}

TEST(RecentCommitsTest, HasNothingForWhoHasSeenTheNewestOrMore) {
  RecentCommits commits(1 << 20);
  EXPECT_EQ(commit_end_after(commits, 0), 0u);
  commits.push(make_row_commit(0, 10));
  EXPECT_EQ(commit_end_after(commits, 10), 0u);
  EXPECT_EQ(commit_end_after(commits, 1000), 0u);
}

TEST(RecentCommitsTest, DropsTheOldestBeyondItsLimit) {
  RecentCommits commits(100'000);
  for (Sequence at = 1; at <= 100; ++at) commits.push(make_row_commit(at - 1, at, 10'000));
  EXPECT_EQ(commit_end_after(commits, 0), 0u);
  EXPECT_EQ(commit_end_after(commits, 80), 0u);
  EXPECT_EQ(commit_end_after(commits, 99), 100u);
  EXPECT_EQ(commit_end_after(commits, 95), 96u);
}

TEST(RecentCommitsTest, KeepsTheNewestHoweverLargeItIs) {
  RecentCommits commits(1000);
  commits.push(make_row_commit(0, 1));
  commits.push(make_row_commit(1, 2, 5000));
  EXPECT_EQ(commit_end_after(commits, 0), 0u);
  EXPECT_EQ(commit_end_after(commits, 1), 2u);
}

TEST(RecentCommitsTest, WhatIsHeldOutlivesItsPlace) {
  RecentCommits commits(1000);
  commits.push(make_row_commit(0, 1));
  const RowCommitRef held = commits.after(0);
  commits.push(make_row_commit(1, 2, 5000));
  ASSERT_NE(held, nullptr);
  EXPECT_EQ(held->rows.at(0).key, "key");
}

TEST(RecentCommitsTest, BeginsAnewWithACommitThatDoesNotFollow) {
  RecentCommits commits(1 << 20);
  commits.push(make_row_commit(0, 10));
  commits.push(make_row_commit(10, 20));
  commits.push(make_row_commit(0, 15));
  EXPECT_EQ(commit_end_after(commits, 0), 15u);
  EXPECT_EQ(commit_end_after(commits, 12), 15u) << "a commit of the former rows";
  EXPECT_EQ(commit_end_after(commits, 15), 0u);
}

}  // namespace
}  // namespace tidegate::test
