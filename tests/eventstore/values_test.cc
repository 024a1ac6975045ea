#include <set>

#include <gtest/gtest.h>

#include "eventstore/base/text.h"
#include "eventstore/filter.h"
#include "eventstore/types.h"

namespace tidegate::test {
namespace {

constexpr const char* kLog = "abcdefghijklmnop";

TEST(LogIdTest, RandomOnesAreDifferentAndParse) {
  std::set<std::string> seen;
  for (int i = 0; i < 200; ++i) {
    const LogId id = LogId::random();
    EXPECT_TRUE(seen.emplace(id.text()).second);
    EXPECT_EQ(LogId::parse(id.text()).value(), id);
  }
}

TEST(PositionTest, PrintsAndParses) {
  const Position position = Position::at(LogId::parse(kLog).value(), 42, 0x00ab12cd'ffffffff);
  EXPECT_EQ(position.text(), "abcdefghijklmnop.42.00ab12cd");
  EXPECT_EQ(Position::parse(position.text()).value(), position);
  const Position largest = Position::at(LogId::random(), ~Sequence{0}, ~Chain{0});
  EXPECT_EQ(Position::parse(largest.text()).value(), largest);
  EXPECT_EQ(Position::parse("abcdefghijklmnop.0.00000000").value().sequence, 0u);
}

TEST(PositionTest, RefusesEverythingElse) {
  const char* const cases[] = {"",
                               "42",
                               "abcdefghijklmnop",
                               "abcdefghijklmnop.7.0909ABCD",
                               "abcdefghijklmnop.42",
                               "abcdefghijklmnop.42.",
                               "abcdefghijklmnop..00ab12cd",
                               "abcdefghijklmno.42.00ab12cd",
                               "abcdefghijklmnopq.42.00ab12cd",
                               "Abcdefghijklmnop.42.00ab12cd",
                               "abcdefghijklmno1.42.00ab12cd",
                               "abcdefghijklmnop.042.00ab12cd",
                               "abcdefghijklmnop.-1.00ab12cd",
                               "abcdefghijklmnop.+1.00ab12cd",
                               "abcdefghijklmnop.4x.00ab12cd",
                               "abcdefghijklmnop.18446744073709551616.00ab12cd",
                               "abcdefghijklmnop.42.0ab12cd",
                               "abcdefghijklmnop.42.000ab12cd",
                               "abcdefghijklmnop.42.00ab12cg",
                               "abcdefghijklmnop.42.00ab12cd.",
                               " abcdefghijklmnop.42.00ab12cd",
                               "abcdefghijklmnop.42.00ab12cd "};
  for (const char* text : cases) {
    const auto parsed = Position::parse(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, Code::kBadPosition) << text;
  }
  EXPECT_LT(Position::parse(std::string(100'000, 'a')).error().message.size(), 300u);
  // The cut at 64 bytes falls into a character.
  const std::string euros = "\xe2\x82\xac\xe2\x82\xac";
  EXPECT_TRUE(is_valid_utf8(Position::parse(std::string(62, 'x') + euros).error().message));
  EXPECT_TRUE(is_valid_utf8(LogId::parse(std::string(62, 'x') + euros).error().message));
}

std::string tokens(std::size_t count) {
  std::string name = "t";
  for (std::size_t i = 1; i < count; ++i) name += ".t";
  return name;
}

TEST(StreamNameTest, Grammar) {
  const std::string good[] = {"a",  "a.b", "A-z_0.9", tokens(16), std::string(255, 'x'),
                              "_a", "a._b"};
  for (const std::string& name : good) EXPECT_TRUE(check_stream_name(name)) << name;
  const std::string bad[] = {"",
                             ".",
                             "a.",
                             ".a",
                             "a..b",
                             "a b",
                             "a.*",
                             "*",
                             ">",
                             "a.>",
                             "\xc3\xa9",
                             "a/b",
                             "a\n",
                             tokens(17),
                             std::string(256, 'x'),
                             "$a",
                             std::string("a\0b", 3)};
  for (const std::string& name : bad) {
    const Status checked = check_stream_name(name);
    if (name == "$a") continue;  // reserved; see below
    ASSERT_FALSE(checked) << name;
    EXPECT_EQ(checked.error().code, Code::kBadArgument) << name;
  }
}

TEST(StreamNameTest, ReservedNamesAreNotForPublishers) {
  for (const char* name : {"_a", "_a.b", "$a", "$sys.x"})
    EXPECT_FALSE(check_publishable_name(name)) << name;
  for (const char* name : {"a", "a._b", "a-_"}) EXPECT_TRUE(check_publishable_name(name)) << name;
}

TEST(PatternTest, Matches) {
  const struct {
    const char* pattern;
    const char* stream;
    bool matches;
  } cases[] = {
      {"a.b", "a.b", true},     {"a.b", "a", false},     {"a.b", "a.b.c", false},
      {"a.b", "a.bc", false},   {"*", "a", true},        {"*", "a.b", false},
      {"a.*", "a.b", true},     {"a.*", "a", false},     {"a.*", "a.b.c", false},
      {"*.b", "a.b", true},     {"*.b", "b.b", true},    {"*.b", "a.c", false},
      {"a.*.c", "a.b.c", true}, {"a.*.c", "a.c", false}, {">", "a", true},
      {">", "a.b.c", true},     {"a.>", "a.b", true},    {"a.>", "a.b.c.d", true},
      {"a.>", "a", false},      {"a.>", "ab.c", false},  {"*.>", "a", false},
      {"*.>", "a.b", true},     {"*.*.>", "a.b", false}, {"a.*.>", "a.b.c", true},
      {">", "_a.b", false},     {"*.b", "_a.b", false},  {"_a.*", "_a.b", true},
      {"_a.>", "_a.b.c", true}, {"_a.b", "_a.b", true},  {"a.>", "a._b", true},
      {"a.*", "a._b", true},
  };
  for (const auto& tested : cases) {
    const auto pattern = Pattern::parse(tested.pattern);
    ASSERT_TRUE(pattern) << tested.pattern;
    EXPECT_EQ(pattern->matches(tested.stream), tested.matches)
        << tested.pattern << " " << tested.stream;
  }
  EXPECT_TRUE(Pattern::parse("a.b")->is_exact());
  EXPECT_FALSE(Pattern::parse("a.*")->is_exact());
  EXPECT_FALSE(Pattern::parse("a.>")->is_exact());
}

TEST(PatternTest, RefusesWhatIsNoPattern) {
  const std::string cases[] = {"",      ".",    "a.",   "a..b",     ">.a",
                               "a.>.b", "a*",   "*a",   "a.b>",     "**",
                               ">>",    "a b",  "a/*",  "#",        "$*",
                               "$>",    "$>.a", "$*.a", tokens(17), std::string(256, 'x')};
  for (const std::string& text : cases) {
    const auto pattern = Pattern::parse(text);
    ASSERT_FALSE(pattern) << text;
    EXPECT_EQ(pattern.error().code, Code::kBadPattern) << text;
  }
}

TEST(FilterTest, IsPatternsAndTypes) {
  const auto filter = Filter::make({"a.*", "b"}, {"x", "y"});
  ASSERT_TRUE(filter);
  EXPECT_TRUE(filter->matches("a.1", "x"));
  EXPECT_TRUE(filter->matches("b", "y"));
  EXPECT_FALSE(filter->matches("b", "z"));
  EXPECT_FALSE(filter->matches("c", "x"));
  EXPECT_TRUE(Filter::everything().matches("a.b.c", "any"));
  EXPECT_FALSE(Filter::everything().matches("_a", "any"));
}

TEST(FilterTest, DropsRepetitionsAndKeepsLimits) {
  const auto filter = Filter::make({"a", "a", "b"}, {"x", "x"});
  ASSERT_TRUE(filter);
  EXPECT_EQ(filter->patterns().size(), 2u);
  EXPECT_EQ(filter->types().size(), 1u);
  std::vector<std::string> streams;
  std::vector<std::string> types;
  for (std::size_t i = 0; i < kPatternsMax; ++i) streams.push_back("s" + std::to_string(i));
  for (std::size_t i = 0; i < kTypesMax; ++i) types.push_back("t" + std::to_string(i));
  EXPECT_TRUE(Filter::make(streams, types));
  auto too_many = streams;
  too_many.push_back("one-more");
  EXPECT_FALSE(Filter::make(too_many, {}));
  auto too_many_types = types;
  too_many_types.push_back("one-more");
  EXPECT_FALSE(Filter::make(streams, too_many_types));
  EXPECT_FALSE(Filter::make({}, {}));
  EXPECT_FALSE(Filter::make({"a"}, {""}));
  EXPECT_TRUE(Filter::make({"a"}, {std::string(kTypeBytesMax, 't')}));
  EXPECT_FALSE(Filter::make({"a"}, {std::string(kTypeBytesMax + 1, 't')}));
  EXPECT_FALSE(Filter::make({"a", "b..c"}, {}));
}

}  // namespace
}  // namespace tidegate::test
