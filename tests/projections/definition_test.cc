#include "projections/definition.h"

#include <string>
#include <variant>

#include <gtest/gtest.h>

#include "projections/fold.h"

namespace tidegate::test {
namespace {

constexpr std::string_view kDelays = R"(name = "delay-by-route"
description = "Flights and delays per route"
streams = ["flights.*.*"]
types = ["flight.departed", "flight.cancelled"]
key = "{stream[1]}-{stream[2]}"
window = "1h"

[on."flight.departed"]
flights = { count = true }
delay = { avg = "/delay" }
board = { append = { flight = "/flight", of = ["type", 1, true, 0.5] }, keep = 20 }

[on."flight.cancelled"]
delete = true
)";

TEST(DefinitionTest, ReadsADeclarativeFold) {
  const auto definition = Definition::parse(kDelays);
  ASSERT_TRUE(definition) << definition.error().message;
  EXPECT_EQ(definition->name, "delay-by-route");
  EXPECT_EQ(definition->description, "Flights and delays per route");
  EXPECT_EQ(definition->text, kDelays);
  EXPECT_TRUE(definition->filter.matches("flights.ATL.LAX", "flight.departed"));
  EXPECT_FALSE(definition->filter.matches("flights.ATL.LAX", "flight.landed"));
  const auto* const rules = std::get_if<Declarative>(&definition->fold);
  ASSERT_NE(rules, nullptr);
  EXPECT_EQ(rules->window_us, 3'600'000'000);
  ASSERT_EQ(rules->fields.size(), 3U);
  EXPECT_EQ(rules->fields[0].name, "board");
  EXPECT_EQ(rules->fields[1].name, "delay");
  EXPECT_EQ(rules->fields[2].name, "flights");
  ASSERT_EQ(rules->on.size(), 2U);
  EXPECT_TRUE(rules->on[0].is_delete);
  ASSERT_EQ(rules->on[1].rules.size(), 3U);
  for (const FieldRule& rule : rules->on[1].rules) {
    const std::string& field = rules->fields[rule.field].name;
    EXPECT_EQ(rule.op, field == "board"   ? FieldRule::Op::kAppend
                       : field == "delay" ? FieldRule::Op::kAvg
                                          : FieldRule::Op::kCount);
  }
}

TEST(DefinitionTest, ReadsAScript) {
  const auto definition =
      Definition::parse("name = \"a\"\nstreams = [\">\"]\nscript = '''\non = {}\n'''\n");
  ASSERT_TRUE(definition) << definition.error().message;
  const auto* const script = std::get_if<Script>(&definition->fold);
  ASSERT_NE(script, nullptr);
  EXPECT_EQ(script->source, "on = {}\n");
}

TEST(DefinitionTest, TakesTheNamesOfBuiltInProjections) {
  EXPECT_TRUE(Definition::parse(
      "name = \"_streams\"\nstreams = [\">\"]\n[on.\"*\"]\nevents = { count = true }\n"));
  EXPECT_FALSE(check_projection_name("_streams"));
  EXPECT_TRUE(check_projection_name("streams.by-day_2"));
}

TEST(DefinitionTest, MakesItsFold) {
  const auto definition = Definition::parse(kDelays);
  ASSERT_TRUE(definition);
  EXPECT_TRUE(make_fold(*definition));
}

// ------------------------------------------------------------------------------------ wrong ones

struct WrongDefinition {
  std::string_view text;
  std::string_view complaint;
};

void expect_definition_refused(const std::string& text, std::string_view complaint) {
  const auto definition = Definition::parse(text);
  ASSERT_FALSE(definition) << text;
  EXPECT_EQ(definition.error().code, Code::kBadArgument) << text;
  EXPECT_NE(definition.error().message.find(complaint), std::string::npos)
      << text << "\nwas refused with: " << definition.error().message;
}

TEST(DefinitionTest, RefusesAWrongHead) {
  const std::string rules = "\n[on.\"*\"]\nn = { count = true }\n";
  const WrongDefinition cases[] = {
      {"streams = [\">\"]", "line 1: the definition has no name"},
      {"name = 5\nstreams = [\">\"]", "line 1: name must be a text"},
      {"name = \"a b\"\nstreams = [\">\"]", "line 1: \"a b\" is not a projection's name"},
      {"name = \"\"\nstreams = [\">\"]", "line 1:"},
      {"name = \"$a\"\nstreams = [\">\"]", "line 1:"},
      {"name = \"_a b\"\nstreams = [\">\"]", "line 1:"},
      {"name = \"a\"", "line 1: the definition names no streams"},
      {"name = \"a\"\nstreams = \">\"", "line 2: streams must be a list"},
      {"name = \"a\"\nstreams = [5]", "line 2: streams must be a list"},
      {"name = \"a\"\nstreams = []", "line 2: no stream pattern"},
      {"name = \"a\"\nstreams = [\n\">\",\n\"a..b\"]", "line 4: 'a..b' is not a stream pattern"},
      {"name = \"a\"\nstreams = [\">\"]\ntypes = []", "line 3: types is empty"},
      {"name = \"a\"\nstreams = [\">\"]\ntypes = [1]", "line 3: types must be a list"},
      {"name = \"a\"\nstreams = [\">\"]\ntypes = [\"\"]", "line 3: an event type has"},
      {"name = \"a\"\nstreams = [\">\"]\ndescription = 5", "line 3: description must be"},
      {"name = \"a\"\nstreams = [\">\"]\nkeys = \"{stream}\"", "line 3: unknown key \"keys\""},
      {"name = \"a\"\nstreams = [\">\"]\nkey = 5", "line 3: key must be a text"},
      {"name = \"a\"\nstreams = [\">\"]\nkey = \"\"", "line 3: key must be a text"},
      {"name = \"a\"\nstreams = [\">\"]\nkey = \"{flight}\"",
       "line 3: \"flight\" is no expression"},
      {"name = \"a\"\nstreams = [\">\"]\nkey = \"{stream\"", "line 3: the key has an opening"},
      {"name = \"a\"\nstreams = [\">\"]\nwindow = 5", "line 3: window must be"},
      {"name = \"a\"\nstreams = [\">\"]\nwindow = \"\"", "line 3: window must be"},
      {"name = \"a\"\nstreams = [\">\"]\nwindow = \"h\"", "line 3: window must be"},
      {"name = \"a\"\nstreams = [\">\"]\nwindow = \"0s\"", "line 3: window must be"},
      {"name = \"a\"\nstreams = [\">\"]\nwindow = \"5w\"", "line 3: window must be"},
      {"name = \"a\"\nstreams = [\">\"]\nwindow = \"1.5h\"", "line 3: window must be"},
      {"name = \"a\"\nstreams = [\">\"]\nwindow = \"367d\"", "line 3: window must be"},
      {"name = \"a\"\nstreams = [\">\"]\nscript = 5", "\"on\" and a script exclude each other"},
      {"name = \"a\"\nname = \"b\"\nstreams = [\">\"]", "line 2:"},
  };
  for (const WrongDefinition& tested : cases) {
    expect_definition_refused(std::string(tested.text) + rules, tested.complaint);
  }
}

TEST(DefinitionTest, RefusesWrongRules) {
  const std::string head = "name = \"a\"\nstreams = [\">\"]\n";  // the rules begin in line 3
  const WrongDefinition cases[] = {
      {"", "the definition says not what to do"},
      {"on = 5", "line 3: the definition says not what to do"},
      {"[on]", "line 3: the definition says not what to do"},
      {"[on.\"a\"]", "line 3: on.\"a\" must be a table"},
      {"on.\"a\" = 5", "line 3: on.\"a\" must be a table"},
      {"types = [\"a\"]\n[on.\"b\"]\nn = { count = true }", "line 4: \"b\" is none of types"},
      {"[on.order.placed]\nn = { count = true }", "a type with dots stands in quotes"},
      {"[on.\"a\"]\nn = true", "line 4: the field \"n\" needs an operation"},
      {"[on.\"a\"]\nn = {}", "line 4: the field \"n\" has no operation"},
      {"[on.\"a\"]\nn = { keep = 5 }", "line 4: the field \"n\" has no operation"},
      {"[on.\"a\"]\nn = { average = \"/x\" }", "line 4: \"average\" is no operation"},
      {"[on.\"a\"]\nn = { sum = \"/x\", avg = \"/x\" }", "line 4: the field \"n\" has two"},
      {"[on.\"a\"]\nn = { count = false }", "line 4: count takes no value"},
      {"[on.\"a\"]\nn = { count = \"/x\" }", "line 4: count takes no value"},
      {"[on.\"a\"]\nn = { sum = \"x\" }", "line 4: \"x\" is no expression"},
      {"[on.\"a\"]\nn = { sum = \"'x'\" }", "line 4: sum needs a number"},
      {"[on.\"a\"]\nn = { sum = true }", "line 4: sum needs a number"},
      {"[on.\"a\"]\nn = { avg = \"time\" }", "line 4: avg needs a number"},
      {"[on.\"a\"]\nn = { avg = [\"/x\"] }", "line 4: avg needs a number"},
      {"[on.\"a\"]\nn = { min = { a = \"/x\" } }", "line 4: min needs a number or text"},
      {"[on.\"a\"]\nn = { max = true }", "line 4: max needs a number or text"},
      {"[on.\"a\"]\nn = { last = 1979-05-27 }", "line 4: neither a date"},
      {"[on.\"a\"]\nn = { last = inf }", "line 4: neither a date nor inf"},
      {"[on.\"a\"]\nn = { last = \"/x\", keep = 5 }", "line 4: keep belongs to append"},
      {"[on.\"a\"]\nn = { append = \"/x\" }", "line 4: append needs to know"},
      {"[on.\"a\"]\nn = { append = \"/x\", keep = 0 }", "line 4: append needs to know"},
      {"[on.\"a\"]\nn = { append = \"/x\", keep = 1001 }", "line 4: append needs to know"},
      {"[on.\"a\"]\nn = { append = \"/x\", keep = \"5\" }", "line 4: append needs to know"},
      {"[on.\"a\"]\n\"\" = { count = true }", "line 4: a field's name has"},
      {"[on.\"a\"]\ndelete = false", "line 4: delete must be true"},
      {"[on.\"a\"]\ndelete = true\nn = { count = true }", "line 3: delete = true stands alone"},
      {"[on.\"a\"]\nn = { count = true }\n[on.\"b\"]\nn = { avg = \"/x\" }",
       "line 6: the field \"n\" has count in line 4 and avg here"},
      {"[on.\"a\"]\nn = { last = [[[[[[[[[\"/x\"]]]]]]]]] }", "nested more than 8 deep"},
      {"[on.\"a\"]\nn = { count = true", "line "},
  };
  for (const WrongDefinition& tested : cases) {
    expect_definition_refused(head + std::string(tested.text), tested.complaint);
  }
}

TEST(DefinitionTest, RefusesTooMuch) {
  const std::string head = "name = \"a\"\nstreams = [\">\"]\n";
  expect_definition_refused(head + "# " + std::string(Definition::kTextBytesMax, 'x'),
                            "bytes; at most");
  expect_definition_refused("name = \"" + std::string(129, 'a') + "\"\nstreams = [\">\"]\n",
                            "at most 128");
  std::string fields = head + "[on.\"*\"]\n";
  for (std::size_t i = 0; i <= Declarative::kFieldsMax; ++i) {
    fields += "f" + std::to_string(i) + " = { count = true }\n";
  }
  expect_definition_refused(fields, "at most 64 fields");
  std::string types = head;
  for (std::size_t i = 0; i <= Declarative::kTypesMax; ++i) {
    types += "[on.t" + std::to_string(i) + "]\nn = { count = true }\n";
  }
  expect_definition_refused(types, "at most 64 can");
}

// toml++ makes a table of each segment, and frees them by recursion.
TEST(DefinitionTest, RefusesKeysThatWouldTakeTheWholeStack) {
  const std::string head = "name = \"a\"\nstreams = [\">\"]\n";
  std::string dots;
  while (dots.size() < 260'000) dots += "a.";
  const std::string complaint = "line 3: a key may have 64 dots";
  expect_definition_refused(head + dots + "a = 1\n", complaint);
  expect_definition_refused(head + "[" + dots + "a]\n", complaint);
  expect_definition_refused(head + "[[" + dots + "a]]\n", complaint);
  expect_definition_refused(head + "x = { " + dots + "a = 1 }\n", complaint);
  expect_definition_refused(head + "x = { y = , " + dots + "a = 1 }\n", complaint);
  expect_definition_refused(head + "x = { y = '', " + dots + "a = 1 }\n", complaint);
  expect_definition_refused(head + "x = { y = \"\\\"\", " + dots + "a = 1 }\n", complaint);
  expect_definition_refused(head + "x = " + std::string(200, '['),
                            "line 3: a key may have 64 dots");
}

TEST(DefinitionTest, DotsInTextsAndCommentsAreNoKeys) {
  std::string dots;
  while (dots.size() < 1000) dots += "a.";
  for (const std::string& quote : {std::string("'"), std::string("\"")}) {
    std::string text = "name = \"a\" # it's " + dots + "\nstreams = [\">\"]\ndescription = ";
    text += quote + dots.substr(0, 900) + quote + "\nscript = " + quote + quote + quote;
    text += "\n-- " + dots + " " + quote + quote + " " + dots + "\non = {}\n";
    text += quote + quote + quote + "\n";
    const auto definition = Definition::parse(text);
    EXPECT_TRUE(definition) << definition.error().message;
  }
}

TEST(DefinitionTest, FieldsMayBeSharedByWhatKeepsThemAlike) {
  const auto definition = Definition::parse(
      "name = \"a\"\nstreams = [\">\"]\n[on.\"a\"]\nn = { count = true }\nv = { set = 5 }\n"
      "[on.\"b\"]\nn = { sum = \"/x\" }\nv = { merge = \"/x\" }\n");
  EXPECT_TRUE(definition) << definition.error().message;
}

}  // namespace
}  // namespace tidegate::test
