#include "projections/trial.h"

#include "tests/projections/engine_fixture.h"

namespace tidegate::test {
namespace {

class TrialTest : public EngineTest {
 protected:
  Result<TrialReport> attempt(const std::string& toml, const TrialRange& range = {},
                              const std::function<bool()>& go_on = {}) {
    auto definition = Definition::parse(toml);
    if (!definition) return std::move(definition).error();
    return try_definition(store(), *definition, range, go_on);
  }
  static RowMap rows_of(const TrialReport& report) {
    RowMap rows;
    for (const Row& row : report.rows) rows.emplace(row.key, row);
    return rows;
  }
};

TEST_F(TrialTest, MakesTheRowsThatAProjectionWouldHave) {
  std::mt19937_64 random(1);
  write_random(random, 500, 10);
  const auto report = attempt(counting());
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(rows_of(*report), model_of(store()));
  EXPECT_EQ(report->row_count, report->rows.size());
  EXPECT_EQ(report->examined, 500u);
  EXPECT_LT(report->matched, 500u);
  EXPECT_GT(report->matched, 300u);
  EXPECT_FALSE(report->failure);
  EXPECT_EQ(report->position, store().reader().position_at(500).value());
  EXPECT_TRUE(engine().list().empty()) << "nothing is stored";
}

TEST_F(TrialTest, KeepsToItsRange) {
  for (int i = 1; i <= 10; ++i) add("a", i);
  const auto report = attempt(counting(), {.after = 2, .until = 5});
  ASSERT_TRUE(report) << report.error().message;
  ASSERT_EQ(report->rows.size(), 1u);
  EXPECT_EQ(report->rows[0], (Row{"a", R"({"n":3,"total":12})", 5}));
  EXPECT_EQ(report->examined, 3u);
  EXPECT_EQ(report->position.sequence, 5u);
  const auto beyond = attempt(counting(), {.after = 9, .until = 1000});
  ASSERT_TRUE(beyond);
  EXPECT_EQ(beyond->position.sequence, 10u);
}

TEST_F(TrialTest, GivesTheFirstRowsAndCountsAll) {
  for (const char* const key : {"c", "a", "b"}) add(key, 1);
  const auto report = attempt(counting(), {.rows_max = 2});
  ASSERT_TRUE(report);
  EXPECT_EQ(report->row_count, 3u);
  ASSERT_EQ(report->rows.size(), 2u);
  EXPECT_EQ(report->rows[0].key, "a");
  EXPECT_EQ(report->rows[1].key, "b");
}

TEST_F(TrialTest, EndsRightBeforeAPoisonousEvent) {
  std::mt19937_64 random(2);
  write_random(random, 60, 5);
  const RowMap before = model_of(store());
  const Sequence poison = write("s.k1", "add", R"({"v":"text"})");
  write_random(random, 60, 5);
  const auto report = attempt(counting());
  ASSERT_TRUE(report) << report.error().message;
  ASSERT_TRUE(report->failure);
  EXPECT_EQ(report->failure->sequence, poison);
  EXPECT_EQ(report->failure->type, "add");
  EXPECT_EQ(report->position.sequence, poison - 1);
  EXPECT_EQ(rows_of(*report), before);
}

TEST_F(TrialTest, EndsEarlyWhenItIsAskedTo) {
  for (int i = 0; i < 5; ++i) add("a", 1);
  const auto report = attempt(counting(), {}, [] { return false; });
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->examined, 0u);
  EXPECT_EQ(report->position.sequence, 0u);
}

TEST_F(TrialTest, AsksAfterSomeEvents) {
  std::vector<NewEvent> events;
  for (int i = 0; i < 200; ++i) {
    EventBuilder event{.id = "t" + std::to_string(i), .stream = "s.a", .type = "add"};
    event.data = R"({"v":1})";
    events.push_back(event.build());
  }
  ASSERT_TRUE(publish(std::move(events)));
  int asked = 0;
  const auto report = attempt(counting(), {}, [&] { return ++asked < 3; });
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->examined, 128u);
  EXPECT_EQ(report->position.sequence, 128u);
  EXPECT_EQ(report->rows.at(0).document, R"({"n":128,"total":128})");
}

TEST_F(TrialTest, SaysWhatIsTrimmed) {
  std::mt19937_64 random(3);
  write_random(random, 50, 5);
  store().wait_for_index();
  ASSERT_TRUE(store().trim(30));
  EXPECT_EQ(code_of(attempt(counting())), Code::kTrimmed);
  const auto report = attempt(counting(), {.after = 29});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(rows_of(*report), model_of(store()));
}

}  // namespace
}  // namespace tidegate::test
