#include "projections/row_store.h"

#include <map>
#include <random>

#include "tests/support/store_fixture.h"
#include "tests/support/test_scale.h"

namespace tidegate::test {
namespace {

using RowTexts = std::vector<std::string>;
using RowMap = std::map<std::string, Row>;

RowChange put_row(std::string key, std::string document, Sequence sequence,
                  std::string state = {}) {
  return {{std::move(key), std::move(document), sequence}, std::move(state)};
}
RowChange drop_row(std::string key, Sequence sequence) {
  return {{std::move(key), {}, sequence}, {}};
}

// "key=document@sequence"; a removed row has no document.
std::string row_text(const Row& row) {
  return fmt::format("{}={}@{}", row.key, row.document, row.sequence);
}
RowTexts row_texts(const std::vector<Row>& rows) {
  RowTexts texts;
  for (const Row& row : rows) texts.push_back(row_text(row));
  return texts;
}
RowTexts row_texts(const RowMap& rows) {
  RowTexts texts;
  for (const auto& [key, row] : rows) texts.push_back(row_text(row));
  return texts;
}

class RowStoreTest : public StoreTest {
 protected:
  // The rows of a fold number; anew after a reopening.
  RowStore& rows() {
    if (!rows_)
      rows_ = std::make_unique<RowStore>(store().derived_rows(), fold_number_, removals_max_);
    return *rows_;
  }
  void reopen_rows() {
    rows_.reset();
    reopen();
  }
  Checkpoint commit(const std::vector<RowChange>& changes, Sequence at, std::uint64_t events = 1) {
    auto made = rows().commit(changes, Position{store().log_id(), at, 7}, events);
    EXPECT_TRUE(made) << (made ? "" : made.error().message);
    return made ? *made : Checkpoint{};
  }
  RowStore::Page page(const RowSelection& selection = {}, std::optional<std::string> after = {},
                      const RowStore::PageLimits& limits = {}) {
    return rows().page(selection, after, limits).value();
  }
  RowStore::Changes changes_after(const RowStore::ChangePlace& place,
                                  const RowSelection& selection = {},
                                  const RowStore::PageLimits& limits = {}) {
    return rows().changes_after(selection, place, limits).value();
  }

  std::uint64_t fold_number_ = 1;
  std::uint64_t removals_max_ = RowStore::kRemovalsMax;
  std::unique_ptr<RowStore> rows_;
};

// Commits
// -----------------------------------------------------------------------------------

TEST_F(RowStoreTest, HasNothingBeforeTheFirstCommit) {
  EXPECT_FALSE(rows().checkpoint().value().has_value());
  EXPECT_FALSE(rows().find("a").value().has_value());
  EXPECT_TRUE(page().rows.empty());
  EXPECT_EQ(page().checkpoint.position.sequence, 0u);
  EXPECT_TRUE(changes_after({0}).is_complete);
}

TEST_F(RowStoreTest, CountsWhatItHolds) {
  commit({put_row("a", "1", 3), put_row("bb", "22", 5)}, 6, 4);
  Checkpoint made = commit({put_row("a", "333", 8), drop_row("bb", 7), put_row("c", "4", 9)}, 9, 3);
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(made.position, (Position{store().log_id(), 9, 7}));
    EXPECT_EQ(made.rows, 2u);
    EXPECT_EQ(made.bytes, 6u);
    EXPECT_EQ(made.events, 7u);
    EXPECT_EQ(made.removals, 1u);
    EXPECT_EQ(made.removals_floor, 0u);
    reopen_rows();
    made = rows().checkpoint().value().value();
  }
  made = commit({put_row("bb", "5", 10)}, 10);
  EXPECT_EQ(made.rows, 3u);
  EXPECT_EQ(made.bytes, 9u);
  EXPECT_EQ(made.removals, 0u);
}

TEST_F(RowStoreTest, ACommitWithoutChangesMovesTheCheckpoint) {
  commit({put_row("a", "1", 1)}, 1);
  const Checkpoint made = commit({}, 500, 0);
  EXPECT_EQ(made.position.sequence, 500u);
  EXPECT_EQ(made.rows, 1u);
  EXPECT_EQ(made.events, 1u);
}

TEST_F(RowStoreTest, FindsDocumentAndStateOfARow) {
  commit({put_row("a", "{\"mean\":2}", 1, std::string("\0sum", 4)), put_row("", "0", 1)}, 1);
  for (int round = 0; round < 2; ++round) {
    const auto found = rows().find("a").value();
    ASSERT_TRUE(found);
    EXPECT_EQ(found->document, "{\"mean\":2}");
    EXPECT_EQ(found->state, std::string("\0sum", 4));
    EXPECT_TRUE(rows().find("").value().has_value()) << "a key may be empty";
    reopen_rows();
  }
  commit({drop_row("a", 2)}, 2);
  EXPECT_FALSE(rows().find("a").value().has_value());
}

TEST_F(RowStoreTest, VersionsDoNotMeet) {
  commit({put_row("a", "1", 1)}, 1);
  RowStore other(store().derived_rows(), 2);
  const std::vector changes = {put_row("a", "2", 4), put_row("b", "2", 5)};
  ASSERT_TRUE(other.commit(changes, Position{store().log_id(), 5, 0}, 2));
  ASSERT_TRUE(other.erase());
  EXPECT_FALSE(other.checkpoint().value().has_value());
  EXPECT_TRUE(other.page({}, {}, {}).value().rows.empty());
  EXPECT_EQ(row_texts(page().rows), (RowTexts{"a=1@1"}));
}

TEST_F(RowStoreTest, BeginsAnewOnceErased) {
  commit({put_row("a", "1", 5), put_row("b", "1", 6)}, 9);
  ASSERT_TRUE(rows().erase());
  const Checkpoint made = commit({put_row("a", "2", 1)}, 2);
  EXPECT_EQ(made.rows, 1u);
  EXPECT_EQ(made.bytes, 2u);
  EXPECT_EQ(made.events, 1u);
  EXPECT_EQ(row_texts(page().rows), (RowTexts{"a=2@1"}));
  EXPECT_EQ(row_texts(changes_after({0}).rows), (RowTexts{"a=2@1"}));
}

// Pages
// -----------------------------------------------------------------------------------

class RowPageTest : public RowStoreTest {
 protected:
  void SetUp() override {
    commit({put_row("a", "1", 1), put_row("b.1", "2", 2), put_row("b.2", "3", 3),
            put_row("b.3", "4", 4), put_row("c", "5", 5)},
           5);
    commit({drop_row("b.2", 6)}, 6);
  }
};

TEST_F(RowPageTest, GivesRowsInTheOrderOfTheirKeys) {
  const auto all = page();
  EXPECT_EQ(row_texts(all.rows), (RowTexts{"a=1@1", "b.1=2@2", "b.3=4@4", "c=5@5"}));
  EXPECT_EQ(all.checkpoint.position.sequence, 6u);
  EXPECT_FALSE(all.next);
}

TEST_F(RowPageTest, GoesOnAfterAKey) {
  const auto first = page({}, {}, {.rows = 2});
  EXPECT_EQ(row_texts(first.rows), (RowTexts{"a=1@1", "b.1=2@2"}));
  ASSERT_EQ(first.next, "b.1");
  const auto second = page({}, first.next);
  EXPECT_EQ(row_texts(second.rows), (RowTexts{"b.3=4@4", "c=5@5"}));
  EXPECT_FALSE(second.next);
  EXPECT_TRUE(page({}, "c").rows.empty());
}

TEST_F(RowPageTest, GivesThoseWithAPrefix) {
  const auto prefixed = RowSelection::make({}, "b.").value();
  EXPECT_EQ(row_texts(page(prefixed).rows), (RowTexts{"b.1=2@2", "b.3=4@4"}));
  EXPECT_EQ(row_texts(page(prefixed, "a").rows), (RowTexts{"b.1=2@2", "b.3=4@4"}));
  EXPECT_EQ(row_texts(page(prefixed, "b.1").rows), (RowTexts{"b.3=4@4"}));
  EXPECT_TRUE(page(prefixed, "c").rows.empty());
}

TEST_F(RowPageTest, LooksKeysUp) {
  const auto keys = RowSelection::make({"c", "b.2", "nobody", "a"}, "").value();
  EXPECT_EQ(row_texts(page(keys).rows), (RowTexts{"a=1@1", "c=5@5"}));
  const auto first = page(keys, {}, {.rows = 1});
  EXPECT_EQ(row_texts(first.rows), (RowTexts{"a=1@1"}));
  ASSERT_EQ(first.next, "a");
  EXPECT_EQ(row_texts(page(keys, first.next).rows), (RowTexts{"c=5@5"}));
}

TEST_F(RowPageTest, EndsAtItsLimitsAndGetsOnWhateverTheyAre) {
  EXPECT_EQ(page({}, {}, {.bytes = 3}).rows.size(), 2u) << "two bytes, then six";
  for (const auto& limits : {RowStore::PageLimits{.rows = 1}, RowStore::PageLimits{.bytes = 1},
                             RowStore::PageLimits{.examined = 1}, RowStore::PageLimits{0, 0, 0}}) {
    RowTexts all;
    std::optional<std::string> next;
    std::size_t steps = 0;
    do {
      const auto part = page({}, next, limits);
      for (const std::string& text : row_texts(part.rows)) all.push_back(text);
      next = part.next;
    } while (next && ++steps < 10);
    EXPECT_EQ(all, (RowTexts{"a=1@1", "b.1=2@2", "b.3=4@4", "c=5@5"}));
  }
}

// Rows and checkpoint of a page are of one moment, whatever is committed meanwhile.
TEST_F(RowStoreTest, APageIsOfOneMoment) {
  rows();
  std::atomic<bool> done{false};
  std::thread reader([&] {
    const auto keys = RowSelection::make({"a", "c"}, "").value();
    while (!done) {
      for (const RowSelection& selection : {RowSelection{}, keys}) {
        const auto seen = page(selection);
        for (const Row& row : seen.rows) EXPECT_EQ(row.sequence, seen.checkpoint.position.sequence);
      }
      const auto changes = changes_after({0});
      for (const Row& row : changes.rows)
        EXPECT_EQ(row.sequence, changes.checkpoint.position.sequence);
    }
  });
  for (Sequence at = 1; at <= 2000; ++at)
    commit({put_row("a", "1", at), put_row("b", "2", at), put_row("c", "3", at)}, at);
  done = true;
  reader.join();
}

// Changes
// -----------------------------------------------------------------------------------

TEST_F(RowStoreTest, TellsChangesInTheirOrderEachRowOnce) {
  commit({put_row("a", "1", 1), put_row("b", "1", 2), put_row("c", "1", 3)}, 3);
  commit({put_row("a", "2", 6), drop_row("b", 5)}, 6);
  commit({}, 10, 0);
  const auto all = changes_after({0});
  EXPECT_EQ(row_texts(all.rows), (RowTexts{"c=1@3", "b=@5", "a=2@6"}));
  EXPECT_TRUE(all.is_complete);
  EXPECT_EQ(all.reached.sequence, 10u);
  EXPECT_EQ(row_texts(changes_after({3}).rows), (RowTexts{"b=@5", "a=2@6"}));
  EXPECT_EQ(row_texts(changes_after({5}).rows), (RowTexts{"a=2@6"}));
  EXPECT_TRUE(changes_after({6}).rows.empty());
  EXPECT_EQ(changes_after({6}).reached.sequence, 10u);
}

TEST_F(RowStoreTest, TellsChangesOfASelection) {
  commit({put_row("a", "1", 1), put_row("b.1", "1", 2), put_row("b.2", "1", 3)}, 3);
  commit({drop_row("b.1", 4), put_row("a", "2", 5)}, 5);
  const auto prefixed = RowSelection::make({}, "b.").value();
  const auto keys = RowSelection::make({"a", "b.1", "nobody"}, "").value();
  EXPECT_EQ(row_texts(changes_after({0}, prefixed).rows), (RowTexts{"b.2=1@3", "b.1=@4"}));
  EXPECT_EQ(row_texts(changes_after({0}, keys).rows), (RowTexts{"b.1=@4", "a=2@5"}));
  EXPECT_EQ(row_texts(changes_after({4}, keys).rows), (RowTexts{"a=2@5"}));
  EXPECT_TRUE(changes_after({4}, prefixed).rows.empty());
}

// Before a crash it may have been in a commit of its own, that somebody saw.
TEST_F(RowStoreTest, ARowThatCameAndWentBetweenCommitsLeavesAMark) {
  commit({put_row("a", "1", 1)}, 1);
  const Checkpoint made = commit({drop_row("ghost", 2)}, 2);
  EXPECT_EQ(made.removals, 1u);
  EXPECT_EQ(made.rows, 1u);
  EXPECT_EQ(row_texts(changes_after({1}).rows), (RowTexts{"ghost=@2"}));
}

TEST_F(RowStoreTest, APlaceAboveTheCheckpointIsLeftAsItIs) {
  commit({put_row("a", "1", 1)}, 1);
  const auto changes = changes_after({50});
  EXPECT_TRUE(changes.rows.empty());
  EXPECT_TRUE(changes.is_complete);
  EXPECT_EQ(changes.reached.sequence, 50u);
  EXPECT_EQ(changes.checkpoint.position.sequence, 1u);
}

// The log's appender waits for a batch of rows.
TEST_F(RowStoreTest, ForgetsSomeThousandsWithACommit) {
  removals_max_ = 10'000;
  std::vector<RowChange> drops;
  for (Sequence at = 1; at <= 20'000; ++at) drops.push_back(drop_row(fmt::format("{:05}", at), at));
  EXPECT_EQ(commit(drops, 20'000).removals, 20'000u);
  Checkpoint made = commit({}, 20'001);
  EXPECT_EQ(made.removals, 20'000u - 8192);
  EXPECT_EQ(made.removals_floor, 8192u);
  made = commit({}, 20'002);
  EXPECT_EQ(made.removals, 5000u);
  EXPECT_EQ(made.removals_floor, 15'000u);
  EXPECT_EQ(changes_after({19'999}).rows.size(), 1u);
}

TEST_F(RowStoreTest, ForgetsTheOldestRemovals) {
  removals_max_ = 4;
  std::vector<RowChange> rows_made;
  for (Sequence i = 1; i <= 9; ++i) rows_made.push_back(put_row(std::to_string(i), "1", i));
  commit(rows_made, 9);
  for (Sequence i = 1; i <= 5; ++i) commit({drop_row(std::to_string(i), 9 + i)}, 9 + i);
  const Checkpoint made = commit({}, 20, 0);  // five were too many: two are left
  EXPECT_EQ(made.removals, 2u);
  EXPECT_EQ(made.removals_floor, 12u);
  EXPECT_EQ(made.rows, 4u);
  const auto early = rows().changes_after({}, {11}, {});
  ASSERT_FALSE(early);
  EXPECT_EQ(early.error().code, Code::kTrimmed);
  EXPECT_EQ(row_texts(changes_after({12}).rows), (RowTexts{"4=@13", "5=@14"}));
  // What is forgotten may come again.
  EXPECT_EQ(commit({put_row("1", "2", 21), put_row("5", "2", 22)}, 22).removals, 1u);
  EXPECT_EQ(row_texts(changes_after({12}).rows), (RowTexts{"4=@13", "1=2@21", "5=2@22"}));
}

// Random commits against a model
// -----------------------------------------------------------------------------------

// All versions of a model: what the rows were at each checkpoint.
class RowStoreModelTest : public RowStoreTest {
 protected:
  static RowMap selected(const RowMap& rows, const RowSelection& selection) {
    RowMap some;
    for (const auto& [key, row] : rows) {
      if (selection.includes(key)) some.emplace(key, row);
    }
    return some;
  }
  static void change(RowMap& rows, const Row& row) {
    if (row.is_removed()) {
      rows.erase(row.key);
    } else {
      rows[row.key] = row;
    }
  }

  std::string random_key() {
    static const char* const kGroups[] = {"", "a.", "a.b.", "c."};
    const auto number = random_() % 9;
    return kGroups[random_() % 4] + (number == 0 ? "" : std::to_string(number));
  }
  RowSelection random_selection() {
    const auto kind = random_() % 3;
    if (kind == 0) return {};
    if (kind == 1) return RowSelection::make({}, random_() % 2 == 0 ? "a." : "c.").value();
    std::vector<std::string> keys;
    for (int i = 0; i < 6; ++i) keys.push_back(random_key());
    return RowSelection::make(std::move(keys), "").value();
  }
  RowStore::PageLimits random_limits() {
    return {1 + random_() % 6, 1 + random_() % 200, 1 + random_() % 12};
  }

  // Several rows of one sequence too, although a fold makes no such.
  void commit_some() {
    const Sequence before = newest_.position.sequence;
    const Sequence at = before + random_() % 5;
    std::map<std::string, RowChange> changes;
    for (auto count = at == before ? 0 : random_() % 8; count > 0; --count) {
      RowChange made = drop_row(random_key(), before + 1 + random_() % (at - before));
      if (random_() % 3 != 0) made.row.document = fmt::format("\"{}\"", random_() % 100'000);
      changes.insert_or_assign(made.row.key, made);
    }
    std::vector<RowChange> listed;
    RowMap rows_now = states_[before];
    for (const auto& [key, made] : changes) {
      note_mark(made.row);
      change(rows_now, made.row);
      listed.push_back(made);
    }
    events_ += listed.size();
    newest_ = commit(listed, at, listed.size());
    states_[at] = std::move(rows_now);
    expect_counts();
  }
  void note_mark(const Row& row) {
    if (row.is_removed()) {
      marks_[row.key] = row.sequence;
    } else {
      marks_.erase(row.key);
    }
  }
  void expect_counts() {
    std::erase_if(marks_, [&](const auto& mark) { return mark.second <= newest_.removals_floor; });
    std::uint64_t bytes = 0;
    const RowMap& now = states_[newest_.position.sequence];
    for (const auto& [key, row] : now) bytes += key.size() + row.document.size();
    EXPECT_EQ(newest_.rows, now.size());
    EXPECT_EQ(newest_.bytes, bytes);
    EXPECT_EQ(newest_.events, events_);
    EXPECT_EQ(newest_.removals, marks_.size());
    EXPECT_LE(newest_.removals, removals_max_ + 8);
  }

  RowMap read_pages(const RowSelection& selection) {
    RowMap all;
    std::optional<std::string> next;
    do {
      const auto part = page(selection, next, random_limits());
      for (const Row& row : part.rows) {
        EXPECT_TRUE(!next || row.key > *next);
        all.emplace(row.key, row);
      }
      next = part.next;
    } while (next);
    return all;
  }
  // The rows of somebody who had `rows_then` at the place and reads on until nothing is left, while
  // up to five commits are made. Nothing when the place is too old.
  std::optional<RowMap> follow(RowMap rows_then, const RowSelection& selection, Sequence after) {
    RowStore::ChangePlace place{after};
    for (int commits = 0;;) {
      const bool is_too_old = place.sequence < newest_.removals_floor ||
                              (place.sequence == newest_.removals_floor && !place.key.empty());
      const auto changes = rows().changes_after(selection, place, random_limits());
      EXPECT_EQ(bool(changes), !is_too_old);
      if (!changes) {
        EXPECT_EQ(changes.error().code, Code::kTrimmed);
        return std::nullopt;
      }
      for (const Row& row : changes->rows) {
        EXPECT_TRUE(selection.includes(row.key)) << row.key;
        change(rows_then, row);
      }
      place = changes->reached;
      if (changes->is_complete) {
        EXPECT_EQ(place.sequence, newest_.position.sequence);
        return rows_then;
      }
      if (commits < 5 && random_() % 3 == 0) {
        commit_some();
        ++commits;
      }
    }
  }
  // From a random checkpoint of the past.
  void expect_followed() {
    const RowSelection selection = random_selection();
    auto then = states_.begin();
    std::advance(then, static_cast<std::ptrdiff_t>(random_() % states_.size()));
    const Sequence after = then->first;
    const auto reached = follow(selected(then->second, selection), selection, after);
    if (!reached) {
      ++too_old_;
      return;
    }
    ++followed_;
    EXPECT_EQ(row_texts(*reached),
              row_texts(selected(states_[newest_.position.sequence], selection)))
        << "after " << after;
  }

  std::mt19937_64 random_;
  std::map<Sequence, RowMap> states_;
  std::map<std::string, Sequence> marks_;
  Checkpoint newest_;
  std::uint64_t events_ = 0;
  std::size_t followed_ = 0;
  std::size_t too_old_ = 0;
};

TEST_F(RowStoreModelTest, PagesAndChangesGiveTheNewestRowsFromAnyPlace) {
  const std::uint64_t seeds = scaled(20);
  for (std::uint64_t seed = 1; seed <= seeds && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    random_.seed(seed);
    fold_number_ = seed;
    removals_max_ = seed % 3 == 0 ? RowStore::kRemovalsMax : random_() % 12;
    rows_.reset();
    states_.clear();
    states_[0] = {};
    marks_.clear();
    newest_ = {};
    events_ = 0;
    for (int step = 0; step < 150 && !HasFailure(); ++step) {
      commit_some();
      if (random_() % 50 == 0) reopen_rows();
      if (random_() % 4 != 0) continue;
      const RowSelection selection = random_selection();
      EXPECT_EQ(row_texts(read_pages(selection)),
                row_texts(selected(states_[newest_.position.sequence], selection)));
      expect_followed();
    }
  }
  EXPECT_GT(followed_, seeds);
  EXPECT_GT(too_old_, 0u);
}

}  // namespace
}  // namespace tidegate::test
