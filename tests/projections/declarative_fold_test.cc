#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "projections/definition.h"
#include "projections/fold.h"
#include "tests/projections/folded_event.h"

namespace tidegate::test {
namespace {

using Documents = std::map<std::string, std::string>;

// A definition whose rules are for all types, folding into rows that are committed when asked.
class DeclarativeFoldTest : public testing::Test {
 protected:
  void define(const std::string& rules, const std::string& key = "{stream[1]}",
              const std::string& more = "") {
    define_whole(more + "key = \"" + key + "\"\n[on.\"*\"]\n" + rules + "\n");
  }

  void define_whole(const std::string& rules) {
    const auto definition = Definition::parse("name = \"tested\"\nstreams = [\">\"]\n" + rules);
    ASSERT_TRUE(definition) << definition.error().message;
    auto made = make_fold(*definition);
    ASSERT_TRUE(made) << made.error().message;
    fold_ = *std::move(made);
    rows_ = MapRows();
    next_ = 1;
  }

  Status apply(FoldedEvent event) {
    event.sequence = next_++;
    return fold_->apply(event.record(), rows_);
  }

  // The message of an error, or nothing.
  std::string fold(const std::vector<std::string>& data) {
    for (const std::string& one : data) {
      if (const Status applied = apply({.data = one}); !applied) {
        EXPECT_EQ(applied.error().code, Code::kBadEvent);
        return applied.error().message;
      }
    }
    return {};
  }

  std::vector<RowChange> take() {
    auto changes = fold_->take_changes();
    EXPECT_TRUE(changes) << changes.error().message;
    return *std::move(changes);
  }

  Documents committed() {
    rows_.commit(take());
    return rows_.documents();
  }

  // The only row's document.
  std::string document() { return committed()["eu"]; }

  std::unique_ptr<Fold> fold_;
  MapRows rows_;
  Sequence next_ = 1;
};

struct OperationCase {
  std::string rules;
  std::vector<std::string> data;
  std::string expected;
};

// Everything once more through rows that are read back before each event.
TEST_F(DeclarativeFoldTest, OperationsDoWhatTheySay) {
  const OperationCase cases[] = {
      {"n = { count = true }", {"{}", "7", "{}"}, R"({"n":3})"},
      {"n = { sum = \"/v\" }", {R"({"v":2})", R"({"v":-5})"}, R"({"n":-3})"},
      {"n = { sum = \"/v\" }", {R"({"v":2})", R"({"v":0.5})", R"({"v":-2.5})"}, R"({"n":0.0})"},
      {"n = { sum = \"/v\" }",
       {R"({"v":9223372036854775806})", R"({"v":1})"},
       R"({"n":9223372036854775807})"},
      {"n = { sum = 2 }", {"{}", "{}"}, R"({"n":4})"},
      {"n = { avg = \"/v\" }", {R"({"v":1})", R"({"v":2})", "{}"}, R"({"n":1.5})"},
      {"n = { avg = \"/v\" }", {R"({"v":4})"}, R"({"n":4.0})"},
      {"n = { min = \"/v\" }", {R"({"v":2})", R"({"v":1.5})", R"({"v":3})"}, R"({"n":1.5})"},
      {"n = { max = \"/v\" }",
       {R"({"v":9007199254740993})", R"({"v":9007199254740992.0})"},
       R"({"n":9007199254740993})"},
      {"n = { max = \"/v\" }", {R"({"v":1})", R"({"v":1e300})", R"({"v":5})"}, R"({"n":1e+300})"},
      {"n = { max = \"/v\" }", {R"({"v":"b"})", R"({"v":"é"})", R"({"v":"c"})"}, R"({"n":"é"})"},
      {"n = { first = \"/v\" }", {"{}", R"({"v":null})", R"({"v":1})", R"({"v":2})"}, R"({"n":1})"},
      {"n = { last = \"/v\" }", {R"({"v":1})", R"({"v":[2]})", R"({"v":null})"}, R"({"n":[2]})"},
      {"n = { set = \"/v\" }", {R"({"v":1})", R"({"v":null})", "{}"}, R"({"n":null})"},
      {"n = { last = { a = \"/v\", b = \"'x'\" } }",
       {R"({"v":1})", "{}"},
       R"({"n":{"a":null,"b":"x"}})"},
      {"n = { append = \"/v\", keep = 2 }",
       {R"({"v":1})", R"({"v":null})", R"({"v":"b"})", R"({"v":{"c":3}})"},
       R"({"n":["b",{"c":3}]})"},
      {"n = { append = [\"/v\", \"type\"], keep = 1 }", {"{}"}, R"({"n":[[null,"order.placed"]]})"},
      {"n = { merge = \"/v\" }",
       {R"({"v":{"b":1,"a":{"x":1}}})", R"({"v":{"b":null,"a":{"y":2}}})"},
       R"({"n":{"a":{"x":1,"y":2}}})"},
      {"n = { merge = \"/v\" }", {R"({"v":{"b":1}})", R"({"v":5})"}, R"({"n":5})"},
      {"n = { last = \"/v\" }", {"{}"}, "{}"},
      {"b = { count = true }\na = { last = \"'x'\" }", {"{}"}, R"({"a":"x","b":1})"},
  };
  for (const OperationCase& tested : cases) {
    define(tested.rules);
    EXPECT_EQ(fold(tested.data), "") << tested.rules;
    EXPECT_EQ(document(), tested.expected) << tested.rules;
    define(tested.rules);
    for (const std::string& data : tested.data) {
      EXPECT_EQ(fold({data}), "") << tested.rules;
      committed();
      fold_->forget();
    }
    EXPECT_EQ(document(), tested.expected) << tested.rules;
  }
}

TEST_F(DeclarativeFoldTest, TimesAreComparedAsTimes) {
  define("n = { max = \"time\" }");
  ASSERT_TRUE(apply({.time_us = 5'500'000}));
  ASSERT_TRUE(apply({.time_us = 5'000'000}));
  EXPECT_EQ(document(), R"({"n":"1970-01-01T00:00:05.500Z"})");
}

TEST_F(DeclarativeFoldTest, FoldsOnlyTypesThatHaveRules) {
  define_whole(
      "key = \"{stream}\"\n[on.\"a\"]\nn = { count = true }\n[on.\"gone\"]\ndelete = true\n");
  ASSERT_TRUE(apply({.type = "a"}));
  ASSERT_TRUE(apply({.type = "b"}));
  EXPECT_EQ(committed(), (Documents{{"orders.eu.1", R"({"n":1})"}}));
  EXPECT_EQ(rows_.sequences["orders.eu.1"], 1U);
}

TEST_F(DeclarativeFoldTest, ATableOfItsOwnGoesBeforeTheRest) {
  define_whole("[on.\"*\"]\nrest = { count = true }\n[on.\"a\"]\nn = { count = true }\n");
  ASSERT_TRUE(apply({.type = "a"}));
  ASSERT_TRUE(apply({.type = "b"}));
  EXPECT_EQ(committed(), (Documents{{"all", R"({"n":1,"rest":1})"}}));
}

TEST_F(DeclarativeFoldTest, RowsGoAndComeBackEmpty) {
  define_whole(
      "key = \"{id}\"\n[on.\"*\"]\nn = { count = true }\na = { avg = 3 }\n[on.\"gone\"]\ndelete = "
      "true\n");
  ASSERT_TRUE(apply({.id = "kept"}));
  ASSERT_TRUE(apply({.id = "brief"}));
  ASSERT_TRUE(apply({.type = "gone", .id = "brief"}));
  ASSERT_TRUE(apply({.type = "gone", .id = "never"}));
  const std::vector<RowChange> changes = take();
  ASSERT_EQ(changes.size(), 2U);
  EXPECT_EQ(changes[0].row, (Row{"brief", "", 3}));
  EXPECT_EQ(changes[1].row, (Row{"kept", R"({"a":3.0,"n":1})", 1}));
  rows_.commit(changes);

  ASSERT_TRUE(apply({.type = "gone", .id = "kept"}));
  ASSERT_TRUE(apply({.id = "kept"}));
  EXPECT_EQ(committed(), (Documents{{"kept", R"({"a":3.0,"n":1})"}}));
  EXPECT_TRUE(take().empty());
}

TEST_F(DeclarativeFoldTest, KeysAreMadeOfValues) {
  define("n = { count = true }", "{/a}/{{{/b}}}");
  ASSERT_TRUE(apply({.data = R"({"a":"x","b":1})"}));
  ASSERT_TRUE(apply({.data = R"({"a":1.5,"b":true})"}));
  ASSERT_TRUE(apply({.data = R"({"a":"\u00e9","b":""})"}));
  ASSERT_TRUE(apply({.data = R"({"a":null,"b":1})"}));
  ASSERT_TRUE(apply({.data = R"({"b":1})"}));
  EXPECT_EQ(
      committed(),
      (Documents{{"1.5/{true}", R"({"n":1})"}, {"x/{1}", R"({"n":1})"}, {"é/{}", R"({"n":1})"}}));
}

TEST_F(DeclarativeFoldTest, AnEmptyKeyLeavesTheEventOut) {
  define("n = { count = true }", "{/a}");
  ASSERT_TRUE(apply({.data = R"({"a":""})"}));
  EXPECT_TRUE(committed().empty());
}

TEST_F(DeclarativeFoldTest, WindowsAreBucketsOfEventTime) {
  define("n = { count = true }", "{stream[1]}", "window = \"1h\"\n");
  ASSERT_TRUE(apply({.time_us = 978'325'199'999'999}));  // 2001-01-01T04:59:59.999999Z
  ASSERT_TRUE(apply({.time_us = 978'325'200'000'000}));
  ASSERT_TRUE(apply({.time_us = 978'326'000'000'000}));
  ASSERT_TRUE(apply({.time_us = 978'325'199'000'000}));
  ASSERT_TRUE(apply({}));
  EXPECT_EQ(committed(), (Documents{{"eu@2001-01-01T04:00:00Z", R"({"n":2})"},
                                    {"eu@2001-01-01T05:00:00Z", R"({"n":2})"},
                                    {"eu@2001-09-09T01:00:00Z", R"({"n":1})"}}));
}

TEST_F(DeclarativeFoldTest, ReadsEachRowOnceUntilItForgets) {
  define("n = { count = true }");
  fold({"{}", "{}"});
  committed();
  fold({"{}"});
  EXPECT_EQ(rows_.finds, 1U);
  const std::size_t held = fold_->bytes();
  EXPECT_GT(held, 0U);
  committed();
  fold_->forget();
  EXPECT_EQ(fold_->bytes(), 0U);
  fold({"{}"});
  EXPECT_EQ(rows_.finds, 2U);
  EXPECT_EQ(fold_->bytes(), held);
}

// ----------------------------------------------------------------------------- events that are bad

TEST_F(DeclarativeFoldTest, ErrorsNameFieldOperationAndValue) {
  const OperationCase cases[] = {
      {"n = { sum = \"/v\" }",
       {R"({"v":"abc"})"},
       "\"n\" of the row \"eu\": sum of /v: the text \"abc\""},
      {"n = { sum = \"/v\" }", {R"({"v":true})"}, "sum of /v: true is not a number"},
      {"n = { avg = \"/v\" }", {R"({"v":[1]})"}, "avg of /v: [1] is not a number"},
      {"n = { sum = \"/v\" }", {R"({"v":9223372036854775807})", R"({"v":1})"}, "beyond 64 bits"},
      {"n = { sum = \"/v\" }", {R"({"v":-9223372036854775808})", R"({"v":-1})"}, "beyond 64 bits"},
      {"n = { sum = \"/v\" }", {R"({"v":1e308})", R"({"v":1e308})"}, "beyond what a double holds"},
      {"n = { min = \"/v\" }", {R"({"v":true})"}, "neither a number nor text"},
      {"n = { min = \"/v\" }", {R"({"v":1})", R"({"v":"a"})"}, "cannot be compared with a number"},
      {"n = { max = \"/v\" }", {R"({"v":"a"})", R"({"v":1})"}, "cannot be compared with text"},
      {"n = { last = \"/v\" }", {R"({"v":1e400})"}, "not the JSON that it claims"},
      {"n = { merge = \"/v\" }", {R"({"v":{"a")"}, "not the JSON that it claims"},
  };
  for (const OperationCase& tested : cases) {
    define(tested.rules);
    const std::string message = fold(tested.data);
    EXPECT_NE(message.find(tested.expected), std::string::npos) << message;
    EXPECT_NE(message.find("skip this one"), std::string::npos) << message;
  }
}

TEST_F(DeclarativeFoldTest, KeysThatCannotBeAreErrors) {
  define("n = { count = true }", "{/a}");
  EXPECT_NE(fold({R"({"a":[1]})"}).find("the key: /a is [1]"), std::string::npos);
  fold_->forget();
  const std::string longest(kRowKeyBytesMax, 'k');
  EXPECT_EQ(fold({R"({"a":")" + longest + "\"}"}), "");
  EXPECT_NE(fold({R"({"a":")" + longest + "k\"}"}).find("at most 512"), std::string::npos);
}

// At the same event, whether or not rows went through their documents in between.
TEST_F(DeclarativeFoldTest, RowsThatGrowTooLargeAreErrors) {
  const std::string data = R"({"v":")" + std::string(60'000, 'x') + "\"}";
  for (const bool forgets : {false, true}) {
    define("n = { append = \"/v\", keep = 100 }\na = { avg = 1 }\nm = { max = \"/v\" }");
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(fold({data}), "");
      committed();
      if (forgets) fold_->forget();
    }
    EXPECT_NE(fold({data}).find("more than 262144 bytes"), std::string::npos);
  }
}

TEST_F(DeclarativeFoldTest, RowsOfAnotherMakingAreDataLoss) {
  for (const StoredRow& stored :
       {StoredRow{"", ""}, StoredRow{"[]", ""}, StoredRow{R"({"x":1})", ""},
        StoredRow{R"({"n":"1"})", ""}, StoredRow{R"({"a":1.0})", ""},
        StoredRow{R"({"a":1.0})", R"({"a":[1,0]})"}, StoredRow{R"({"a":1.0})", "{"},
        StoredRow{R"({"l":1})", ""}}) {
    define("n = { count = true }\na = { avg = 1 }\nl = { append = 1, keep = 1 }");
    rows_.rows["eu"] = stored;
    const Status applied = apply({});
    ASSERT_FALSE(applied) << stored.document;
    EXPECT_EQ(applied.error().code, Code::kDataLoss);
  }
}

}  // namespace
}  // namespace tidegate::test
