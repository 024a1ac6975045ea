#include "projections/expression.h"

#include <string>

#include <gtest/gtest.h>

#include "projections/event_values.h"
#include "tests/projections/folded_event.h"

namespace tidegate::test {
namespace {

// The value as JSON; "absent" and "broken" for what is none.
std::string expression_value(std::string_view text, FoldedEvent event) {
  Result<Expression> expression = parse_expression(text);
  if (!expression) return expression.error().message;
  PointerFinder finder;
  bind_pointers(*expression, finder);
  EventValues values;
  values.begin(event.record(), finder);
  const EventValue value = values.of(*expression);
  if (value.kind == EventValue::Kind::kAbsent) return "absent";
  Json json;
  return values.make(value, json) ? json.text() : "broken";
}

struct ExpressionCase {
  std::string_view expression;
  std::string_view expected;
};

TEST(ExpressionTest, ReadsEveryPartOfAnEvent) {
  const FoldedEvent event{.data = R"( {"to":"LAS", "delay":-5, "nested":{"list":[1,{"a/b":true}]},
                                      "none":null, "share":0.25} )",
                          .subject = "N123",
                          .time_us = 1'000'000'500'000,
                          .extensions = {{"region", "eu"}},
                          .sequence = 7};
  const ExpressionCase cases[] = {
      {"/to", R"("LAS")"},
      {" /to ", R"("LAS")"},
      {"/delay", "-5"},
      {"/share", "0.25"},
      {"/none", "null"},
      {"/absent", "absent"},
      {"/to/deeper", "absent"},
      {"/nested/list/0", "1"},
      {"/nested/list/1/a~1b", "true"},
      {"/nested/list/2", "absent"},
      {"/nested/list/01", "absent"},
      {"/nested/list", R"([1,{"a/b":true}])"},
      {"stream", R"("orders.eu.1")"},
      {"stream[0]", R"("orders")"},
      {"stream[2]", R"("1")"},
      {"stream[3]", "absent"},
      {"type", R"("order.placed")"},
      {"source", R"("/tests")"},
      {"id", R"("1")"},
      {"subject", R"("N123")"},
      {"attribute.region", R"("eu")"},
      {"attribute.planet", "absent"},
      {"time", R"("1970-01-12T13:46:40.500Z")"},
      {"append_time", R"("2001-09-09T01:46:40Z")"},
      {"sequence", "7"},
      {"revision", "7"},
      {"'it''s'", R"("it's")"},
      {"''", R"("")"},
  };
  for (const ExpressionCase& tested : cases) {
    EXPECT_EQ(expression_value(tested.expression, event), tested.expected) << tested.expression;
  }
}

TEST(ExpressionTest, CountsTheBytesOfTheEvent) {
  FoldedEvent event;
  const std::size_t bytes = event.record().event.size();
  EXPECT_EQ(expression_value("bytes", event), std::to_string(bytes));
}

TEST(ExpressionTest, ReadsNumbersAndTextInEveryForm) {
  const ExpressionCase cases[] = {
      {R"({"v":9223372036854775807})", "9223372036854775807"},
      {R"({"v":-9223372036854775808})", "-9223372036854775808"},
      {R"({"v":9223372036854775808})", "9.223372036854776e+18"},
      {R"({"v":123456789012345678901234567890})", "1.2345678901234568e+29"},
      {R"({"v":1e2})", "100.0"},
      {R"({"v":-0})", "0"},
      {R"({"v":1e-400})", "0.0"},
      {R"({"v":1e400})", "broken"},
      {R"({"v":"a\"b\u00e9\\"})", R"("a\"bé\\")"},
      {R"({"v":"\ud83d\ude00"})", R"("😀")"},
      {R"({"\u0076":1})", "1"},
      {R"({"v":1,"v":2})", "1"},
      {R"({"x":{"v":2},"v":1})", "1"},
      {R"({"x":"{\"v\":2}","v":1})", "1"},
      {R"({"x":[[],{},"]"],"v":{}})", "{}"},
      {"[1]", "absent"},
      {"7", "absent"},
      {R"({"v":)", "broken"},
      {R"({"v" 1})", "broken"},
      {R"({"v":"a)", "broken"},
      {R"({"v":nul})", "broken"},
      {R"({"v":[1})", "broken"},
  };
  for (const ExpressionCase& tested : cases) {
    EXPECT_EQ(expression_value("/v", {.data = std::string(tested.expression)}), tested.expected)
        << tested.expression;
  }
}

TEST(ExpressionTest, DataIsJsonWhenItIsDeclaredSo) {
  const std::string json = R"({"v":1})";
  EXPECT_EQ(expression_value("/v", {.data = json}), "1");
  EXPECT_EQ(expression_value("/v", {.data = json, .content_type = "application/vnd.a+JSON; x=y"}),
            "1");
  EXPECT_EQ(
      expression_value("/v", {.data = json, .content_type = "application/json", .is_binary = true}),
      "1");
  EXPECT_EQ(expression_value("/v", {.data = json, .content_type = "text/plain"}), "absent");
  EXPECT_EQ(expression_value("/v", {.data = json, .is_binary = true}), "absent");
  EXPECT_EQ(expression_value("data", {.data = " [1, 2] "}), "[1,2]");
  EXPECT_EQ(expression_value("data", {.data = "hello", .content_type = "text/plain"}),
            R"("hello")");
  EXPECT_EQ(expression_value("data", {.data = "\xff", .is_binary = true}), "absent");
}

TEST(ExpressionTest, TimeIsTheAppendTimeOfAnEventWithoutOne) {
  EXPECT_EQ(expression_value("time", {}), R"("2001-09-09T01:46:40Z")");
}

TEST(ExpressionTest, RefusesWhatIsNone) {
  const struct {
    std::string_view text;
    std::string_view complaint;
  } cases[] = {
      {"", "it is empty"},
      {"  ", "it is empty"},
      {"flight", "write /name"},
      {"5", "write /name"},
      {"/a~2b", "~0"},
      {"/a~", "~0"},
      {"'open", "single quote"},
      {"'", "single quote"},
      {"'a'b'", "single quote"},
      {"stream[", "stream[0] to stream[15]"},
      {"stream[16]", "stream[0] to stream[15]"},
      {"stream[-1]", "stream[0] to stream[15]"},
      {"stream[1]x", "stream[0] to stream[15]"},
      {"attribute.", "1 to 20 characters"},
      {"attribute.Region", "1 to 20 characters"},
      {"attribute.aaaaaaaaaaaaaaaaaaaaa", "1 to 20 characters"},
  };
  for (const auto& tested : cases) {
    const auto parsed = parse_expression(tested.text);
    ASSERT_FALSE(parsed) << tested.text;
    EXPECT_EQ(parsed.error().code, Code::kBadArgument);
    EXPECT_NE(parsed.error().message.find(tested.complaint), std::string::npos)
        << parsed.error().message;
  }
  EXPECT_FALSE(parse_expression(std::string(Expression::kTextBytesMax + 1, 'a')));
  std::string deep;
  for (std::size_t i = 0; i <= Expression::kPointerTokensMax; ++i) deep += "/a";
  EXPECT_FALSE(parse_expression(deep));
}

TEST(KeyTest, IsTextWithExpressions) {
  const auto key = parse_key("{{{stream[1]}}}-{'}'}/{/to}x");
  ASSERT_TRUE(key) << key.error().message;
  ASSERT_EQ(key->size(), 4U);
  EXPECT_EQ((*key)[0].text, "{");
  EXPECT_EQ((*key)[0].expression->text, "stream[1]");
  EXPECT_EQ((*key)[1].text, "}-");
  EXPECT_EQ((*key)[1].expression->text, "'}'");
  EXPECT_EQ((*key)[2].text, "/");
  EXPECT_EQ((*key)[2].expression->text, "/to");
  EXPECT_EQ((*key)[3].text, "x");
  EXPECT_FALSE((*key)[3].expression);
}

TEST(KeyTest, RefusesLooseBraces) {
  for (const std::string_view text : {"{", "}", "a}", "{stream", "{}", "{stream}}", "{flight}"}) {
    EXPECT_FALSE(parse_key(text)) << text;
  }
}

}  // namespace
}  // namespace tidegate::test
