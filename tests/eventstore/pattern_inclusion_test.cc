// Whether a pattern is within others, against the sets of names that they match.

#include <array>
#include <bitset>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "eventstore/filter.h"

namespace tidegate::test {
namespace {

using Tokens = std::vector<std::string>;

// Patterns have at most four tokens, so five tokens are as good as more, and `c` stands for every
// token that no pattern names.
constexpr std::size_t kPatternTokens = 4;
constexpr std::size_t kNameTokens = 5;
constexpr std::array kNamed = {"a", "b", "_r"};
constexpr std::size_t kNames = 4 + 16 + 64 + 256 + 1024;
using Names = std::bitset<kNames>;

std::string joined(const Tokens& tokens) {
  std::string text;
  for (const std::string& token : tokens) text += (text.empty() ? "" : ".") + token;
  return text;
}

// From the definition, token by token.
bool matches(const Tokens& pattern, const Tokens& name, std::size_t at = 0) {
  if (at == pattern.size()) return at == name.size();
  if (at == name.size()) return false;
  const bool is_reserved = at == 0 && name[0].starts_with('_');
  if (pattern[at] == ">") return !is_reserved;
  if (pattern[at] == "*" ? is_reserved : pattern[at] != name[at]) return false;
  return matches(pattern, name, at + 1);
}

std::vector<Tokens> all_sequences(const Tokens& alphabet, std::size_t length_max) {
  std::vector<Tokens> all = {{}};
  for (std::size_t begin = 0; all.back().size() < length_max;) {
    const std::size_t end = all.size();
    for (; begin < end; ++begin) {
      for (const std::string& token : alphabet) {
        Tokens longer = all[begin];
        longer.push_back(token);
        all.push_back(std::move(longer));
      }
    }
  }
  all.erase(all.begin());
  return all;
}

struct Known {
  Pattern pattern;
  Names names;
};

std::vector<Known> all_patterns() {
  Tokens alphabet(kNamed.begin(), kNamed.end());
  alphabet.emplace_back("c");
  const std::vector<Tokens> names = all_sequences(alphabet, kNameTokens);
  EXPECT_EQ(names.size(), kNames);
  alphabet.back() = "*";
  alphabet.emplace_back(">");
  std::vector<Known> all;
  for (const Tokens& tokens : all_sequences(alphabet, kPatternTokens)) {
    const auto pattern = Pattern::parse(joined(tokens));
    if (!pattern) continue;  // `>` before the end
    Names matched;
    for (std::size_t i = 0; i < names.size(); ++i) matched[i] = matches(tokens, names[i]);
    all.push_back({*pattern, matched});
  }
  return all;
}

TEST(PatternInclusionTest, EqualsInclusionOfTheSetsOfNames) {
  const std::vector<Known> all = all_patterns();
  std::mt19937_64 random(20'260'101);
  const auto any = [&]() -> const Known& { return all[random() % all.size()]; };
  std::size_t within = 0;
  for (int round = 0; round < 1'000'000; ++round) {
    const Known& requested = any();
    Names names;
    std::vector<Pattern> granted;
    for (std::size_t i = random() % 5; i > 0; --i) {
      const Known& grant = any();
      granted.push_back(grant.pattern);
      names |= grant.names;
    }
    const bool expected = (requested.names & ~names).none();
    within += expected ? 1 : 0;
    ASSERT_EQ(is_within(requested.pattern, granted), expected)
        << requested.pattern.text() << " within " << ::testing::PrintToString([&] {
             Tokens texts;
             for (const Pattern& grant : granted) texts.push_back(grant.text());
             return texts;
           }());
  }
  EXPECT_GT(within, 1000u) << "too few pairs were granted to prove anything";
}

TEST(PatternInclusionTest, KnowsTheEdges) {
  const auto pattern = [](std::string_view text) { return *Pattern::parse(text); };
  const auto patterns = [&](const Tokens& texts) {
    std::vector<Pattern> all;
    for (const std::string& text : texts) all.push_back(pattern(text));
    return all;
  };
  std::string sixteen = "t";
  for (int i = 1; i < 16; ++i) sixteen += ".*";
  const std::string fifteen = sixteen.substr(0, sixteen.size() - 2);
  const std::string long_name(251, 'x');
  const struct {
    std::string requested;
    Tokens granted;
    bool is_within;
  } cases[] = {
      {"orders.>", {"orders.*"}, false},
      {"orders.*", {"orders.>"}, true},
      {"a.>", {"a.*.c"}, false},
      {"a.>", {"a.*", "a.*.>"}, true},
      {"a.>", {"a.b", "a.>"}, true},
      {"a.*", {"a.b", "a.c"}, false},
      {"a", {}, false},
      {">", {">"}, true},
      {"*", {">"}, true},
      {">", {"*", "*.>"}, true},
      {"_sys.x", {">"}, false},
      {"_sys.x", {"_sys.>"}, true},
      // A name has at most sixteen tokens, so `>` stands for one here.
      {fifteen + ".>", {sixteen}, true},
      {fifteen.substr(0, fifteen.size() - 2) + ".>", {sixteen}, false},
      // And at most 255 bytes: room for two tokens.
      {long_name + ".>", {long_name + ".*", long_name + ".*.*"}, true},
      {long_name + ".>", {long_name + ".*"}, false},
  };
  for (const auto& tested : cases) {
    const auto granted = patterns(tested.granted);
    EXPECT_EQ(is_within(pattern(tested.requested), granted), tested.is_within)
        << tested.requested << " within " << ::testing::PrintToString(tested.granted);
  }
}

}  // namespace
}  // namespace tidegate::test
