#include "eventstore/base/guarded.h"
#include "tests/projections/engine_fixture.h"

namespace tidegate::test {
namespace {

// Notes who failed.
// Thread: any (internally synchronised).
class FailureProbe final : public ProjectionProbe {
 public:
  void failed(std::string_view projection) override {
    failed_.with([&](auto& failed) { failed.emplace_back(projection); });
  }
  std::vector<std::string> failed_projections() const {
    return failed_.with([](const auto& failed) { return failed; });
  }

 private:
  Guarded<std::vector<std::string>> failed_;
};

class EngineFailureTest : public EngineTest {
 protected:
  EngineFailureTest() { engine_options_.probe = &probe_; }
  Sequence add_poison() { return write("s.k1", "add", R"({"v":"text"})"); }

  FailureProbe probe_;
};

TEST_F(EngineFailureTest, APoisonousEventStopsItsProjectionRightBefore) {
  std::mt19937_64 random(1);
  apply(counting());
  apply(
      "name = \"types\"\nstreams = [\">\"]\nkey = \"{type}\"\n[on.\"*\"]\nn = { count = true }\n");
  write_random(random, 120, 4);
  const RowMap before = model_of(store());
  const Sequence poison = add_poison();
  write_random(random, 120, 4);
  ASSERT_TRUE(fails("counting"));
  const FoldFailure failure = *failure_of("counting");
  EXPECT_EQ(failure.sequence, poison);
  EXPECT_EQ(failure.stream, "s.k1");
  EXPECT_EQ(failure.type, "add");
  EXPECT_NE(failure.message.find("/v"), std::string::npos) << failure.message;
  EXPECT_EQ(reached("counting"), poison - 1);
  EXPECT_EQ(all_rows(engine(), "counting", poison - 1), before);
  EXPECT_FALSE(rows("types").empty()) << "others go on";
  EXPECT_EQ(probe_.failed_projections(), std::vector<std::string>{"counting"});
}

TEST_F(EngineFailureTest, RetryTriesAgainAndSkipLeavesOutForGood) {
  std::mt19937_64 random(2);
  apply(counting());
  write_random(random, 30, 4);
  const Sequence poison = add_poison();
  write_random(random, 30, 4);
  ASSERT_TRUE(fails("counting"));
  ASSERT_TRUE(engine().retry("counting"));
  ASSERT_TRUE(eventually([&] { return probe_.failed_projections().size() == 2; }));
  ASSERT_TRUE(fails("counting"));
  EXPECT_EQ(failure_of("counting")->sequence, poison);

  EXPECT_EQ(code_of(engine().skip("counting", poison - 1)), Code::kCheckFailed);
  EXPECT_EQ(code_of(engine().skip("counting", 0)), Code::kCheckFailed);
  ASSERT_TRUE(engine().skip("counting", poison));
  EXPECT_EQ(rows(), model_of(store(), {poison}));
  EXPECT_FALSE(failure_of("counting"));
  EXPECT_EQ(info("counting").live()->skipped, std::vector<Sequence>{poison});
  EXPECT_EQ(code_of(engine().skip("counting", poison)), Code::kCheckFailed) << "nothing has failed";
  EXPECT_EQ(code_of(engine().retry("counting")), Code::kCheckFailed);

  reopen_all();
  EXPECT_EQ(info("counting").live()->skipped, std::vector<Sequence>{poison});
  ASSERT_TRUE(engine().rebuild("counting"));
  ASSERT_TRUE(is_live("counting", 2));
  EXPECT_EQ(rows(), model_of(store(), {poison}));
  EXPECT_EQ(info("counting").live()->skipped, std::vector<Sequence>{poison});
}

TEST_F(EngineFailureTest, SeveralPoisonousEventsAreSkippedOneByOne) {
  std::mt19937_64 random(3);
  std::vector<Sequence> poison;
  for (int i = 0; i < 4; ++i) {
    write_random(random, 20, 3);
    poison.push_back(add_poison());
  }
  poison.push_back(add_poison());
  apply(counting());
  for (const Sequence sequence : poison) {
    ASSERT_TRUE(eventually([&] {
      const auto failure = failure_of("counting");
      return failure && failure->sequence == sequence;
    }));
    EXPECT_EQ(reached("counting"), sequence - 1);
    ASSERT_TRUE(engine().skip("counting", sequence));
  }
  EXPECT_EQ(rows(), model_of(store(), poison));
}

TEST_F(EngineFailureTest, AFailureIsMetAgainAfterAReopening) {
  apply(counting());
  add("a", 1);
  const Sequence poison = add_poison();
  ASSERT_TRUE(fails("counting"));
  reopen_all();
  ASSERT_TRUE(fails("counting"));
  EXPECT_EQ(failure_of("counting")->sequence, poison);
}

TEST_F(EngineFailureTest, AnotherDefinitionTakesOverFromOneThatFailed) {
  apply(counting());
  add("a", 1);
  const Sequence poison = add_poison();
  add("a", 2);
  ASSERT_TRUE(fails("counting"));
  apply(
      "name = \"counting\"\nstreams = [\"s.>\"]\nkey = \"{stream[1]}\"\n[on.add]\nn = { count = "
      "true }\n");
  ASSERT_TRUE(is_live("counting", 2));
  const RowMap now = rows();
  ASSERT_EQ(now.size(), 2u);
  EXPECT_EQ(now.at("a").document, R"({"n":2})");
  EXPECT_EQ(now.at("k1").sequence, poison);
}

TEST_F(EngineFailureTest, AScriptThatKeepsStateOutsideOfItsRowsIsStopped) {
  add("a", 1);
  apply(
      "name = \"sly\"\nstreams = [\"s.>\"]\nscript = '''\nseen = 0\non = {}\n"
      "on[\"add\"] = function(state, event) seen = seen + 1; state.n = seen; return state "
      "end\n'''\n");
  ASSERT_TRUE(fails("sly"));
  EXPECT_EQ(reached("sly"), 0u) << "before its rows are committed";
}

TEST_F(EngineFailureTest, WhatWasTrimmedWhilePausedIsSaid) {
  std::mt19937_64 random(4);
  apply(counting());
  write_random(random, 20, 3);
  rows();
  ASSERT_TRUE(engine().pause("counting"));
  write_random(random, 60, 3);
  store().wait_for_index();
  const auto floor = store().trim(61);
  ASSERT_TRUE(floor);
  EXPECT_EQ(*floor, 61u) << "who is paused holds no trim";
  ASSERT_TRUE(engine().resume("counting"));
  ASSERT_TRUE(fails("counting"));
  EXPECT_EQ(failure_of("counting")->sequence, 0u);
  EXPECT_NE(failure_of("counting")->message.find("trimmed"), std::string::npos);
  EXPECT_EQ(code_of(engine().skip("counting", 0)), Code::kCheckFailed);
  ASSERT_TRUE(engine().rebuild("counting"));
  ASSERT_TRUE(is_live("counting", 2));
  EXPECT_EQ(rows(), model_of(store()));
  EXPECT_EQ(info("counting").live()->began_after, 60u);
}

}  // namespace
}  // namespace tidegate::test
