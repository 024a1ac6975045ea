#include "projections/json_value.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "tests/cloudevents/random_input.h"

namespace tidegate::test {
namespace {

Json parsed_json(std::string_view text) {
  Result<Json> json = Json::parse(text);
  EXPECT_TRUE(json) << text << ": " << json.error().message;
  return json ? *std::move(json) : Json();
}

TEST(JsonTest, PrintsWhatItParsed) {
  const struct {
    std::string_view text;
    std::string_view printed;
  } cases[] = {
      {" null ", "null"},
      {"true", "true"},
      {"-9223372036854775808", "-9223372036854775808"},
      {"9223372036854775808", "9.223372036854776e+18"},
      {"1.0", "1.0"},
      {"1e3", "1000.0"},
      {"-0.0", "-0.0"},
      {"1e300", "1e+300"},
      {"0.1", "0.1"},
      {R"("\u0007\t\"\\\/é")", R"("\u0007\t\"\\/é")"},
      {"[ ]", "[]"},
      {"{ }", "{}"},
      {R"({"b":1,"a":[1,{"c":null}]})", R"({"a":[1,{"c":null}],"b":1})"},
      {R"({"a":1,"a":2})", R"({"a":1})"},
  };
  for (const auto& tested : cases) EXPECT_EQ(parsed_json(tested.text).text(), tested.printed);
}

TEST(JsonTest, RefusesWhatIsNone) {
  for (const std::string_view text :
       {"", " ", "nul", "{", "[1,]", "{\"a\"}", "1 2", "\"\x01\"", "\"\xff\"", "1e400", "01"}) {
    EXPECT_FALSE(Json::parse(text)) << text;
  }
}

Json random_json_value(RandomInput& random, int depth) {
  switch (random.below(depth > 0 ? 7 : 5)) {
    case 0:
      return Json();
    case 1:
      return Json(random.chance(2));
    case 2:
      return Json(static_cast<std::int64_t>(random.below(std::numeric_limits<std::size_t>::max())));
    case 3:
      return Json(std::ldexp(static_cast<double>(random.below(1'000'000)),
                             static_cast<int>(random.below(200)) - 100));
    case 4:
      return Json(random.text(6));
    case 5: {
      Json::Array array;
      for (std::size_t i = random.below(4); i > 0; --i) {
        array.push_back(random_json_value(random, depth - 1));
      }
      return Json(std::move(array));
    }
    default: {
      Json::Object object;
      for (std::size_t i = random.below(4); i > 0; --i) {
        object.insert_or_assign(random.text(3), random_json_value(random, depth - 1));
      }
      return Json(std::move(object));
    }
  }
}

TEST(JsonTest, EveryValueComesBackFromItsText) {
  RandomInput random;
  SCOPED_TRACE("TIDEGATE_TEST_SEED=" + std::to_string(random.seed()));
  for (int round = 0; round < 2000; ++round) {
    const Json json = random_json_value(random, 4);
    const std::string text = json.text();
    EXPECT_EQ(json.text_bytes(), text.size()) << text;
    const Json again = parsed_json(text);
    ASSERT_EQ(again.text(), text);
    ASSERT_TRUE(again == json) << text;
  }
}

// The examples of RFC 7396, appendix A.
TEST(JsonTest, MergesAsTheStandardSays) {
  const std::string_view cases[][3] = {
      {R"({"a":"b"})", R"({"a":"c"})", R"({"a":"c"})"},
      {R"({"a":"b"})", R"({"b":"c"})", R"({"a":"b","b":"c"})"},
      {R"({"a":"b"})", R"({"a":null})", R"({})"},
      {R"({"a":"b","b":"c"})", R"({"a":null})", R"({"b":"c"})"},
      {R"({"a":["b"]})", R"({"a":"c"})", R"({"a":"c"})"},
      {R"({"a":"c"})", R"({"a":["b"]})", R"({"a":["b"]})"},
      {R"({"a":{"b":"c"}})", R"({"a":{"b":"d","c":null}})", R"({"a":{"b":"d"}})"},
      {R"({"a":[{"b":"c"}]})", R"({"a":[1]})", R"({"a":[1]})"},
      {R"(["a","b"])", R"(["c","d"])", R"(["c","d"])"},
      {R"({"a":"b"})", R"(["c"])", R"(["c"])"},
      {R"({"a":"foo"})", "null", "null"},
      {R"({"a":"foo"})", R"("bar")", R"("bar")"},
      {R"({"e":null})", R"({"a":1})", R"({"a":1,"e":null})"},
      {R"([1,2])", R"({"a":"b","c":null})", R"({"a":"b"})"},
      {R"({})", R"({"a":{"bb":{"ccc":null}}})", R"({"a":{"bb":{}}})"},
  };
  for (const auto& [target, patch, expected] : cases) {
    Json json = parsed_json(target);
    json.merge(parsed_json(patch));
    EXPECT_EQ(json.text(), expected) << target << " + " << patch;
  }
}

}  // namespace
}  // namespace tidegate::test
