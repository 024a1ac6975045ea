#include "eventstore/derived_rows.h"

#include <map>
#include <random>

#include "tests/support/store_fixture.h"

namespace tidegate::test {
namespace {

using Cut = SimulatedDisk::Cut;

class DerivedRowsTest : public StoreTest {
 protected:
  using Rows = std::map<std::string, std::string>;

  DerivedRows& rows() { return store().derived_rows(); }

  Status write(const Rows& changes) {
    DerivedRows::Batch batch(rows());
    for (const auto& [key, value] : changes) batch.put(key, value);
    return rows().write(batch);
  }
  Rows read(std::string lower, std::string upper) {
    Rows found;
    const auto all = rows().iterate(std::move(lower), std::move(upper));
    for (all->seek_to_first(); all->is_valid(); all->next())
      found.emplace(all->key(), all->value());
    EXPECT_TRUE(all->status());
    return found;
  }
  void lose_power() {
    expects_fatal_ = true;  // the store lives on for a moment
    disk_->cut(Cut::kPower);
    close();
    disk_->restart();
  }
};

TEST_F(DerivedRowsTest, AreReadAsTheyWereWritten) {
  ASSERT_TRUE(write({{"fa", "1"}, {"fb", "2"}, {"fc", "3"}, {"fd", "4"}}));
  DerivedRows::Batch batch(rows());
  batch.put("fa", "5");
  batch.remove("fd");
  batch.remove_range("fb", "fc");
  ASSERT_TRUE(rows().write(batch));
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(read("", ""), (Rows{{"fa", "5"}, {"fc", "3"}}));
    EXPECT_EQ(read("fb", ""), (Rows{{"fc", "3"}}));
    EXPECT_EQ(read("", "fc"), (Rows{{"fa", "5"}}));
    EXPECT_EQ(rows().get("fa").value(), "5");
    EXPECT_FALSE(rows().get("fb").value().has_value());
    reopen();  // a store that ends leaves nothing to derive again
  }
}

TEST_F(DerivedRowsTest, AnIteratorSeesOneMoment) {
  ASSERT_TRUE(write({{"fa", "1"}, {"fb", "1"}}));
  const auto before = rows().iterate("f", "g");
  ASSERT_TRUE(write({{"fa", "2"}, {"fb", "2"}, {"fc", "2"}}));
  Rows seen;
  for (before->seek_to_first(); before->is_valid(); before->next())
    seen.emplace(before->key(), before->value());
  EXPECT_EQ(seen, (Rows{{"fa", "1"}, {"fb", "1"}}));
}

TEST_F(DerivedRowsTest, SurviveAPowerCutOnceTheyAreFlushedAndDefinitionsAtOnce) {
  ASSERT_TRUE(write({{"fa", "1"}}));
  ASSERT_TRUE(rows().flush());
  ASSERT_TRUE(write({{"fb", "1"}}));
  DerivedRows::Batch definition(rows());
  definition.put("d", "1");
  ASSERT_TRUE(rows().write_durable(definition));
  ASSERT_TRUE(write({{"fc", "1"}}));
  lose_power();
  ASSERT_EQ(try_open(), 0) << open_error_;
  EXPECT_EQ(read("", ""), (Rows{{"d", "1"}, {"fa", "1"}}));
}

// What batch `n` makes of the rows: "f" is the checkpoint that is written with them.
void apply_batch(std::uint64_t n, std::map<std::string, std::string>& rows) {
  rows.erase("f" + std::to_string(n * 3 % 11));
  rows["f" + std::to_string(n % 7)] = std::to_string(n);
  rows["f"] = std::to_string(n);
}

class DerivedRowsCrashTest : public DerivedRowsTest {
 protected:
  Status write_batch(std::uint64_t n) {
    DerivedRows::Batch batch(rows());
    batch.remove("f" + std::to_string(n * 3 % 11));
    batch.put("f" + std::to_string(n % 7), std::to_string(n));
    batch.put("f", std::to_string(n));
    return rows().write(batch);
  }
  Status write_definition(std::uint64_t n) {
    DerivedRows::Batch definition(rows());
    definition.put("d", std::to_string(n));
    return rows().write_durable(definition);
  }
  // Writes until the disk is gone, or for a while. How many batches may be there is noted.
  void live(std::mt19937_64& random) {
    for (int i = 0; i < 200; ++i) {
      const std::uint64_t next = ++attempted_;
      if (!write_batch(next)) return;
      const auto kind = random() % 12;
      if (kind == 0) {
        if (!rows().flush()) return;
        flushed_ = next;
      } else if (kind <= 2) {
        if (!write_definition(next)) return;
        defined_ = next;
      }
    }
  }
  std::uint64_t number_at(const std::string& key) {
    const auto value = rows().get(key).value();
    return value ? std::stoull(*value) : 0;
  }

  std::uint64_t attempted_ = 0;
  std::uint64_t flushed_ = 0;
  std::uint64_t defined_ = 0;
};

TEST_F(DerivedRowsCrashTest, LeavesAPrefixOfTheBatches) {
  expects_fatal_ = true;
  bool lost_some = false;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    close();
    disk_ = std::make_shared<SimulatedDisk>(seed);
    attempted_ = flushed_ = defined_ = 0;
    std::mt19937_64 random(seed);
    ASSERT_EQ(try_open(), 0) << open_error_;
    const Cut kind = seed % 4 == 0 ? Cut::kProcess : Cut::kPower;
    disk_->cut_at(disk_->operations() + 1 + random() % 150, kind);
    live(random);
    if (!disk_->is_off()) disk_->cut(kind);
    close();
    disk_->restart();
    ASSERT_EQ(try_open(), 0) << open_error_;
    const std::uint64_t reached = number_at("f");
    EXPECT_GE(reached, flushed_);
    EXPECT_LE(reached, attempted_);
    EXPECT_GE(number_at("d"), defined_);
    lost_some = lost_some || reached < attempted_;
    Rows expected;
    for (std::uint64_t n = 1; n <= reached; ++n) apply_batch(n, expected);
    EXPECT_EQ(read("f", "g"), expected);
  }
  EXPECT_TRUE(lost_some) << "nothing was at risk";
}

// Trims
// -----------------------------------------------------------------------------------

TEST_F(DerivedRowsTest, HoldATrimBackAndAreFlushedByIt) {
  fill("a", 100);
  ASSERT_TRUE(write({{"fa", "40"}}));
  rows().hold_trims([] { return Sequence{41}; });
  EXPECT_EQ(store().trim(80).value(), 41u);
  EXPECT_EQ(store().trim(90).value(), 41u);
  lose_power();
  ASSERT_EQ(try_open(), 0) << open_error_;
  EXPECT_EQ(store().floor(), 41u);
  EXPECT_EQ(rows().get("fa").value(), "40") << "the events that it was made of are trimmed";
}

TEST_F(DerivedRowsTest, LetTrimsPassOnceNobodyNeedsTheEvents) {
  fill("a", 100);
  int asked = 0;
  rows().hold_trims([&asked] {
    ++asked;
    return Sequence{1};
  });
  EXPECT_EQ(store().trim(80).value(), 1u);
  EXPECT_EQ(asked, 1);
  rows().hold_trims(nullptr);
  EXPECT_EQ(store().trim(80).value(), 80u);
  EXPECT_EQ(asked, 1);
}

TEST_F(DerivedRowsTest, ATrimBelowWhatIsNeededIsNotHeld) {
  fill("a", 100);
  rows().hold_trims([] { return Sequence{60}; });
  EXPECT_EQ(store().trim(50).value(), 50u);
  EXPECT_EQ(store().trim(60).value(), 60u);
}

}  // namespace
}  // namespace tidegate::test
