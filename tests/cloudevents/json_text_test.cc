#include "gateway/cloudevents/json_text.h"

#include <simdjson.h>

#include <gtest/gtest.h>

#include "tests/cloudevents/random_input.h"

namespace tidegate {
namespace {

std::string repeated(std::string_view text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

bool is_accepted(std::string_view text) {
  return parse_json(text, kJsonDepthMax, Code::kBadEvent).has_value();
}

TEST(JsonTextTest, AcceptsEveryKindOfValue) {
  for (std::string_view text :
       {"null", "true", "false", "0", "-0", "1.5e+30", "1E400", "123456789012345678901234567890",
        R"("")", R"("a\"\\\/\b\f\n\r\t\u00e9\ud834\udd1e")", "[]", "{}", " [ 1 , 2 ] \n",
        R"({"a":1,"a":2})", "\"\xf0\x9d\x84\x9e\"", "\"\x7f\""}) {
    EXPECT_TRUE(is_accepted(text)) << text;
  }
}

// Runs of plain characters are skipped eight bytes at a time.
TEST(JsonTextTest, SeesEachByteOfAStringWhereverItStands) {
  for (std::size_t length = 1; length < 20; ++length) {
    for (std::size_t at = 0; at < length; ++at) {
      for (int byte = 0; byte < 0x80; ++byte) {
        std::string text(length, 'a');
        text[at] = static_cast<char>(byte);
        const bool is_plain = byte >= 0x20 && byte != '"' && byte != '\\';
        // An 'a' behind a backslash is no escape, and the quotes of the last one are taken away.
        ASSERT_EQ(is_accepted('"' + text + '"'), is_plain) << length << " " << at << " " << byte;
      }
      std::string two = std::string(at, 'a') + "\xc2\x80" + std::string(length - at, 'a');
      ASSERT_TRUE(is_accepted('"' + two + '"')) << length << " " << at;
    }
  }
}

TEST(JsonTextTest, RefusesWhatIsNotExactlyOneValue) {
  using namespace std::string_view_literals;
  for (std::string_view text : {""sv,
                                " "sv,
                                "1 2"sv,
                                "nul"sv,
                                "True"sv,
                                "NaN"sv,
                                "-"sv,
                                "+1"sv,
                                "01"sv,
                                "1."sv,
                                ".5"sv,
                                "1e"sv,
                                "1e+"sv,
                                "0x1"sv,
                                "\""sv,
                                "\"a"sv,
                                "'a'"sv,
                                "\"\\\""sv,
                                "\"\\x\""sv,
                                "\"\\u12g4\""sv,
                                "\"\\u123\""sv,
                                "\"\\"sv,
                                "\"\\u"sv,
                                "\"\\\0\""sv,
                                "\"\n\""sv,
                                "\"\0\""sv,
                                "["sv,
                                "[1"sv,
                                "[1,"sv,
                                "[1,]"sv,
                                "[,1]"sv,
                                "[1 2]"sv,
                                "]"sv,
                                "{"sv,
                                "{\"a\""sv,
                                "{\"a\":"sv,
                                "{\"a\":1"sv,
                                "{\"a\":1,}"sv,
                                "{a:1}"sv,
                                "{\"a\" 1}"sv,
                                "{1:1}"sv,
                                "[1}"sv,
                                "1\0"sv,
                                "\xef\xbb\xbf{}"sv,
                                "// c\n1"sv,
                                "\"\xff\""sv,
                                "\"\xc0\xa0\""sv,
                                "\"\xed\xa0\x80\""sv,
                                "\"\\ud834\""sv,
                                "\"\\udd1e\""sv,
                                "\"\\ud834\\u0041\""sv}) {
    const Result<JsonValue> value = parse_json(text, kJsonDepthMax, Code::kBadEvent);
    ASSERT_FALSE(value) << text;
    EXPECT_EQ(value.error().code, Code::kBadEvent);
  }
}

TEST(JsonTextTest, SaysWhatWasExpectedAndWhere) {
  const auto message = [](std::string_view text) {
    return parse_json(text, kJsonDepthMax, Code::kBadMessage).error().message;
  };
  EXPECT_EQ(message(R"({"a":1 "b":2})"), "not valid JSON: expected ',' or '}' at byte 7");
  EXPECT_EQ(message("[1,]"), "not valid JSON: expected a value at byte 3");
  EXPECT_EQ(message(""), "not valid JSON: expected a value at byte 0");
}

TEST(JsonTextTest, BoundsTheDepth) {
  EXPECT_TRUE(is_accepted(repeated("[", 64) + repeated("]", 64)));
  EXPECT_FALSE(is_accepted(repeated("[", 65) + repeated("]", 65)));
  EXPECT_TRUE(is_accepted(repeated("{\"a\":", 64) + "1" + repeated("}", 64)));
  EXPECT_FALSE(is_accepted(repeated("{\"a\":", 65) + "1" + repeated("}", 65)));
  EXPECT_FALSE(is_accepted(repeated("[", 1'000'000)));
  EXPECT_TRUE(is_accepted("[" + repeated("[],", 1000) + "[]]"));
}

TEST(JsonTextTest, GivesMembersAsTheyWereWritten) {
  const Result<JsonValue> object =
      parse_json(" {\"a\" : 1.0 , \"\\u0062\\n\":[ {\"}\":\"]\\\"\"} ] ,\"c\":\"x\\\\\"} ", 8,
                 Code::kBadMessage);
  ASSERT_TRUE(object);
  EXPECT_TRUE(object->is(JsonKind::kObject));
  std::vector<std::pair<std::string, std::string>> members;
  for (JsonMembers walk(*object); walk.next();)
    members.emplace_back(walk.name(), walk.value().text);
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"a", "1.0"}, {"b\n", "[ {\"}\":\"]\\\"\"} ]"}, {"c", "\"x\\\\\""}};
  EXPECT_EQ(members, expected);
}

TEST(JsonTextTest, GivesElementsAsTheyWereWritten) {
  const Result<JsonValue> array = parse_json("[ null,[],{} ,\"a]\" , -1]", 8, Code::kBadMessage);
  ASSERT_TRUE(array);
  std::string joined;
  for (JsonElements walk(*array); walk.next();) joined.append(walk.value().text) += ' ';
  EXPECT_EQ(joined, "null [] {} \"a]\" -1 ");
  const Result<JsonValue> empty = parse_json("[ ]", 8, Code::kBadMessage);
  EXPECT_FALSE(JsonElements(*empty).next());
}

TEST(JsonTextTest, Unescapes) {
  const Result<JsonValue> value = parse_json(
      R"("\"\\\/\b\f\n\r\t\u0041\u00e9\u20ac\ud834\udd1e\u0000!")", 8, Code::kBadMessage);
  ASSERT_TRUE(value);
  EXPECT_EQ(json_string(*value), std::string("\"\\/\b\f\n\r\tAé€𝄞\0!", 20));
}

TEST(JsonTextTest, ReadsOnlyIntegersThatFit) {
  const auto u64 = [](std::string_view text) { return json_u64({JsonKind::kNumber, text}); };
  EXPECT_EQ(u64("0"), 0U);
  EXPECT_EQ(u64("18446744073709551615"), ~0ULL);
  for (std::string_view text : {"18446744073709551616", "-1", "-0", "1.0", "1e3"}) {
    EXPECT_EQ(u64(text), std::nullopt) << text;
  }
  EXPECT_EQ(json_u64({JsonKind::kString, "\"1\""}), std::nullopt);
  const auto i32 = [](std::string_view text) { return json_i32({JsonKind::kNumber, text}); };
  EXPECT_EQ(i32("-2147483648"), -2147483648);
  EXPECT_EQ(i32("2147483647"), 2147483647);
  EXPECT_EQ(i32("2147483648"), std::nullopt);
  EXPECT_EQ(i32("1.0"), std::nullopt);
}

TEST(JsonTextTest, ReadsWholeNumbersHoweverTheyAreWritten) {
  const std::pair<std::string_view, std::optional<std::uint64_t>> cases[] = {
      {"0", 0},
      {"17", 17},
      {"0.0", 0},
      {"0e99999999999999999999", 0},
      {"1700000000.0", 1'700'000'000},
      {"1.7e9", 1'700'000'000},
      {"1.7E+9", 1'700'000'000},
      {"1700000000000e-3", 1'700'000'000},
      {"0.00017e13", 1'700'000'000},
      {"18446744073709551615", 18446744073709551615ULL},
      {"18446744073709551615.000", 18446744073709551615ULL},
      {"18446744073709551616", std::nullopt},
      {"1e20", std::nullopt},
      {"1e400", std::nullopt},
      {"1e99999999999999999999", std::nullopt},
      {"1e-99999999999999999999", std::nullopt},
      {"1.5", std::nullopt},
      {"0.5", std::nullopt},
      {"1.7e0", std::nullopt},
      {"15e-1", std::nullopt},
      {"-0", std::nullopt},
      {"-1", std::nullopt}};
  for (const auto& [text, number] : cases) {
    EXPECT_EQ(json_whole_number({JsonKind::kNumber, text}), number) << text;
  }
  EXPECT_EQ(json_whole_number({JsonKind::kString, "\"1\""}), std::nullopt);
}

TEST(JsonTextTest, FindsRepeatedNamesAtEveryDepth) {
  const std::pair<std::string_view, bool> cases[] = {
      {R"({"a":1,"b":{"a":2},"c":[{"a":1},{"a":2}]})", false},
      {R"({"a":1,"b":2,"a":3})", true},
      {R"({"a":1,"\u0061":2})", true},
      {R"({"x":[0,{"y":{"a":1,"a":1}}]})", true},
      {R"([{"a":1,"A":2}])", false},
      {R"("text")", false}};
  for (const auto& [text, repeats] : cases) {
    const Result<JsonValue> value = parse_json(text, kJsonDepthMax, Code::kBadMessage);
    ASSERT_TRUE(value) << text;
    EXPECT_EQ(repeats_a_name(*value), repeats) << text;
  }
}

TEST(JsonTextTest, MinifiesOutsideOfStringsOnly) {
  std::string out;
  append_minified_json(out, " { \"a b\" : [ 1 ,\n\t2 ] , \"c\" : \" \\\" x \" } \r\n");
  EXPECT_EQ(out, R"({"a b":[1,2],"c":" \" x "})");
}

// An independent judge: what simdjson accepts, we accept, and the other way round but for numbers
// beyond its range.
TEST(JsonTextTest, AgreesWithSimdjsonOnMutatedTexts) {
  test::RandomInput random;
  simdjson::dom::parser parser;
  const std::string_view valid[] = {
      R"({"a":[1,2.5,-3e-7,true,false,null,"x\"y\\z\u00e9"],"b":{"c":{}},"d":[]})",
      R"("\ud834\udd1e é€")", R"([[[[0]]],"",0.1e1])", "-0.0", R"({"":""})"};
  int accepted = 0;
  for (int i = 0; i < 60'000; ++i) {
    const std::string text = random.mutated(std::string(random.pick(valid)));
    const auto judged = parser.parse(text).error();
    if (judged == simdjson::NUMBER_ERROR) continue;
    const bool is_valid = judged == simdjson::SUCCESS && !text.starts_with("\xef\xbb\xbf");
    ASSERT_EQ(is_accepted(text), is_valid)
        << "seed " << random.seed() << ": " << text << ": " << judged;
    accepted += is_valid ? 1 : 0;
  }
  EXPECT_GT(accepted, 1000);
}

}  // namespace
}  // namespace tidegate
