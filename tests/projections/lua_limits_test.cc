#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/projections/lua_script.h"

namespace tidegate::test {
namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

LuaLimits small_memory() {
  LuaLimits limits;
  limits.memory_bytes = std::size_t{1} << 20;
  return limits;
}

// -------------------------------------------------------------------------------- a handler that
// fails

struct LuaRefusal {
  std::string body;  // of a handler; it begins on line 3
  std::string message;
};

class LuaRefusalTest : public testing::TestWithParam<LuaRefusal> {};

TEST_P(LuaRefusalTest, SaysWhatIsWrongAndGoesOnAfterForgetting) {
  LuaScript script(R"(on = { good = function(state) state.n = (state.n or 0) + 1 end }
on.bad = function(state, event)
)" + GetParam().body + "\nend",
                   small_memory());
  ASSERT_EQ(script.load_error(), "");
  EXPECT_EQ(script.document_after({{.type = "good"}}), R"({"n":1})");
  const std::string message = script.apply({.data = R"({"a":1})", .type = "bad"});
  EXPECT_TRUE(contains(message, GetParam().message)) << GetParam().body << "\n" << message;
  EXPECT_FALSE(contains(message, "0x")) << message;
  script.forget();
  EXPECT_EQ(script.document_after({{.type = "good"}}), R"({"n":2})");
}

INSTANTIATE_TEST_SUITE_P(
    Budgets, LuaRefusalTest,
    testing::Values(
        LuaRefusal{"while true do end", "script used more than 1000000 instructions at delay:3"},
        LuaRefusal{"local t = {} while true do t = { t, ('x'):rep(900) } end",
                   "delay: script needs more than 1 MiB"},
        LuaRefusal{"local s = 'x' while true do s = s .. s end", "delay: script"},
        LuaRefusal{"local function f() return 1 + f() end return f()", "delay"},
        LuaRefusal{"return ('x'):rep(1 << 40)", "delay:3: string.rep would make a text of more"},
        LuaRefusal{"('x'):rep(900 * 1000, 'y')", "string.rep would make a text of more than 1 MiB"},
        LuaRefusal{"('a'):rep(1000):find(('a-'):rep(20) .. 'b')", "instructions at delay:3"},
        LuaRefusal{"('a'):rep(1000):match(('(a*)'):rep(10) .. 'b')", "instructions at delay:3"},
        LuaRefusal{"('x'):match(('('):rep(40))", "delay:3: too many captures"},
        LuaRefusal{"table.move({}, 1, 1 << 60, 2)", "instructions at delay:3"},
        LuaRefusal{"table.unpack({}, 1, 1 << 40)", "delay:3: too many results to unpack"},
        LuaRefusal{"table.unpack({}, 1, 251)", "delay:3: too many results to unpack"},
        LuaRefusal{"('x'):rep(300):byte(1, -1)", "delay:3: too many results"},
        LuaRefusal{"('x'):rep(300):byte(-251, 300)", "delay:3: too many results"},
        LuaRefusal{"utf8.codepoint(('x'):rep(300), 1, -1)", "delay:3: too many results"},
        LuaRefusal{"local t = {} for i = 1, 1000 do t[i] = i end\n"
                   "while true do table.sort(t, function(a, b) return a > b end) end",
                   "instructions at delay:4"}));

INSTANTIATE_TEST_SUITE_P(
    Errors, LuaRefusalTest,
    testing::Values(
        LuaRefusal{"error('bad')", "delay:3: bad"}, LuaRefusal{"error('bad', 0)", "delay:3: bad"},
        LuaRefusal{"error('\\xff')", "delay:3: ?"},
        LuaRefusal{"error({})", "delay:3: error was called with a table"},
        LuaRefusal{"assert(false, 'no')", "delay:3: no"},
        LuaRefusal{"local x = nil\nx.y = 1", "delay:4: attempt to index a nil value (local 'x')"},
        LuaRefusal{"return #event.nothing", "attempt to get length of a nil value"},
        LuaRefusal{"return '10' + 1", "attempt to perform arithmetic on a string value"},
        LuaRefusal{"setmetatable({}, {})", "attempt to call a nil value (global 'setmetatable')"},
        LuaRefusal{"total = 1", "delay:3: global 'total' is set while an event is folded"},
        LuaRefusal{"string.trim = 1", "delay:3: the tables of the libraries cannot be changed"},
        LuaRefusal{"table.insert(math, 1)", "the tables of the libraries cannot be changed"},
        LuaRefusal{"string.format('%p', 1)", "delay:3: string.format has no %p"},
        LuaRefusal{"string.format('%s', {})", "delay:3: string.format takes no table"},
        LuaRefusal{"for k in pairs({ [true] = 1 }) do end", "pairs goes by the order of keys"},
        LuaRefusal{"('x'):find('[')", "malformed pattern (missing ']')"},
        LuaRefusal{"('x'):find('%')", "malformed pattern (ends with '%')"},
        LuaRefusal{"('x'):gsub('x', '%2')", "invalid capture index %2"}));

INSTANTIATE_TEST_SUITE_P(
    States, LuaRefusalTest,
    testing::Values(
        LuaRefusal{"return 5", "the handler returned a number"},
        LuaRefusal{"return null", "the handler returned a userdata"},
        LuaRefusal{"state.f = tostring", "state.f is a function"},
        LuaRefusal{"state.a = { { x = 0 / 0 } }", "state.a[1].x is infinite or not a number"},
        LuaRefusal{"state.x = math.huge", "state.x is infinite"},
        LuaRefusal{"state[1] = 1", "state has keys of both kinds"},
        LuaRefusal{"state.list = { 1, nil, 3 }", "state.list has holes"},
        LuaRefusal{"state.list = { [0] = 1, [2] = 3 }", "state.list has holes"},
        LuaRefusal{"state[true] = 1", "state has a key that is neither text nor an integer"},
        LuaRefusal{"state.t = { [1.5] = 1 }", "state.t has a key that is neither"},
        LuaRefusal{"state.me = state", "is nested more than 64 deep, or holds itself"},
        LuaRefusal{"local t = state for i = 1, 64 do t.t = {} t = t.t end", "more than 64 deep"},
        LuaRefusal{"state.text = '\\xff'", "state.text is not UTF-8"},
        LuaRefusal{"state.e = event", "state.e is the event itself"},
        LuaRefusal{"state.m = math", "is the event itself or a library"},
        LuaRefusal{"state.d = delete", "state.d is `delete`"},
        LuaRefusal{"state.big = ('x'):rep(300 * 1000)", "state is larger than 256 KiB"}));

TEST(LuaLimitsTest, TellsABadKeyOrInit) {
  const std::string tail = " on = { ['*'] = function() end }";
  const std::vector<LuaRefusal> cases = {
      {"function key() return 5 end", "delay: key returned a number"},
      {"function key() return ('x'):rep(513) end", "key returned 513 bytes"},
      {"function key() return '\\xff' end", "key returned text that is not UTF-8"},
      {"function init() return 5 end", "init returned a number"},
  };
  for (const LuaRefusal& bad : cases) {
    LuaScript script(bad.body + tail);
    const std::string message = script.apply({});
    EXPECT_TRUE(contains(message, bad.message)) << message;
  }
}

TEST(LuaLimitsTest, RefusesADocumentThatOnlyItsEscapesMakeTooLarge) {
  LuaScript script(handler("state.text = ('\\1'):rep(100 * 1000)"));
  ASSERT_EQ(script.apply({}), "");
  EXPECT_TRUE(contains(script.commit(), "row 'all' has 600011 bytes as JSON"));
}

TEST(LuaLimitsTest, CountsInstructionsPerEvent) {
  LuaScript script(handler("for i = 1, 200000 do end state.n = (state.n or 0) + 1"));
  EXPECT_EQ(script.document_after(std::vector<FoldedEvent>(20)), R"({"n":20})");
}

TEST(LuaLimitsTest, CountsMemoryBeyondTheRows) {
  LuaScript script(R"(
    function key(event) return event.tokens[2] end
    on = { ["*"] = function(state) state.text = ("x"):rep(50000) end })",
                   small_memory());
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(script.apply({.stream = "rows." + std::to_string(i)}), "");
  }
  EXPECT_GT(script.bytes(), 100U * 50'000U);
  ASSERT_EQ(script.commit(), "");
  script.forget();
  EXPECT_LT(script.bytes(), 100'000U);
}

// What the script made while it was loaded stays within reach.
TEST(LuaLimitsTest, TextsOfTheLoadingWeighToo) {
  const std::string text = "text = ('x'):rep(200 * 1000) ";
  const std::string loop = "for i = 1, 100000 do local is_less = text < 'x' end";
  LuaScript script(text + handler(loop));
  ASSERT_EQ(script.load_error(), "");
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(contains(script.apply({}), "instructions"));
    script.forget();
  }
}

// One instruction each, of any length: a hundred of them are more than enough.
TEST(LuaLimitsTest, LookingThroughATextIsCounted) {
  const std::string text = "text = ('x'):rep(900 * 1000) ";
  for (const char* const look : {"utf8.len(text)", "utf8.offset(text, -1)", "utf8.codes(text)",
                                 "text:find('y')", "text:find('yy', 1, true)"}) {
    LuaScript script(text +
                     handler("for i = 1, 100 do local seen = " + std::string(look) + " end"));
    ASSERT_EQ(script.load_error(), "");
    EXPECT_TRUE(contains(script.apply({}), "instructions")) << look;
  }
}

TEST(LuaLimitsTest, FindingTheEndOfASetIsCounted) {
  LuaScript script(
      handler("local set = ('b'):rep(500 * 1000)\n"
              "return ('a'):rep(100):find('a*a*%f[\\0][' .. set .. ']')"));
  EXPECT_TRUE(contains(script.apply({}), "instructions at delay:4"));
}

TEST(LuaLimitsTest, LongTextsMakeInstructionsWeighMore) {
  const std::string loop = " for i = 1, 100000 do local is_less = state.text < 'x' end";
  LuaScript light(handler("state.text = ('x'):rep(100)" + loop));
  EXPECT_EQ(light.apply({}), "");
  LuaScript heavy(handler("state.text = ('x'):rep(200 * 1000)" + loop));
  EXPECT_TRUE(contains(heavy.apply({}), "instructions"));
}

// ------------------------------------------------------------------------------------- hidden
// state

struct LuaMemory {
  std::string script;
  std::string message;
};

class LuaMemoryTest : public testing::TestWithParam<LuaMemory> {};

TEST_P(LuaMemoryTest, IsFoundBeforeRowsAreCommitted) {
  LuaScript script(GetParam().script);
  ASSERT_EQ(script.load_error(), "");
  ASSERT_EQ(script.apply({}), "");
  ASSERT_EQ(script.apply({}), "");
  const std::string message = script.commit();
  EXPECT_TRUE(contains(message, "the script remembers something outside of the rows: ")) << message;
  EXPECT_TRUE(contains(message, GetParam().message)) << message;
  EXPECT_TRUE(script.rows().documents().empty());
}

TEST_P(LuaMemoryTest, IsFoundWhenRowsAreForgotten) {
  LuaScript script(GetParam().script);
  ASSERT_EQ(script.apply({}), "");
  script.forget();
  EXPECT_TRUE(contains(script.apply({}), GetParam().message));
  // Then the script begins anew, as after a restart.
  script.forget();
  EXPECT_EQ(script.apply({}), "");
}

INSTANTIATE_TEST_SUITE_P(
    Places, LuaMemoryTest,
    testing::Values(
        LuaMemory{"local n = 0 on = { ['*'] = function(s) n = n + 1 s.n = n end }",
                  "upvalue 'n' of on.* changed"},
        LuaMemory{"cache = { deep = {} } on = { ['*'] = function(s) cache.deep[1] = 1 end }",
                  "table cache.deep changed"},
        LuaMemory{"local last on = { ['*'] = function(s) last = s end }",
                  "upvalue 'last' of on.* changed"},
        LuaMemory{"local all = {} on = { ['*'] = function(s) all[#all + 1] = s end }",
                  "table upvalue 'all' of on.* changed"},
        LuaMemory{"on = {} on['*'] = function(s) on.other = on['*'] end", "table on changed"},
        LuaMemory{"local one = 1 on = { ['*'] = function(s) one = 1.0 end }", "upvalue 'one'"},
        LuaMemory{"local n = 0 local function count() n = n + 1 return n end\n"
                  "function key() return 'k' .. count() end on = { ['*'] = function() end }",
                  "upvalue 'n' of"},
        LuaMemory{"local next_word = ('a b c'):gmatch('%a')\n"
                  "on = { ['*'] = function(s) s.word = next_word() end }",
                  "iterator upvalue 'next_word' of on.*"},
        LuaMemory{"local step = pairs({ a = 1, b = 2 })\n"
                  "on = { ['*'] = function(s) s.key = step() end }",
                  "iterator upvalue 'step' of on.*"}));

TEST(LuaLimitsTest, ConstantsAreNoMemory) {
  LuaScript script(R"(
    local names = { a = { 1, 2 } }
    local function first(list) return list[1] end
    on = { ["*"] = function(state) state.first = first(names.a) end })");
  EXPECT_EQ(script.document_after({{}, {}}), R"({"first":1})");
  script.forget();
  EXPECT_EQ(script.document_after({{}}), R"({"first":1})");
}

// -------------------------------------------------------------------------------------------
// loading

TEST(LuaLimitsTest, WhatReachesOutsideIsAbsent) {
  for (const char* const name : {"os",
                                 "io",
                                 "debug",
                                 "load",
                                 "loadstring",
                                 "loadfile",
                                 "dofile",
                                 "require",
                                 "package",
                                 "collectgarbage",
                                 "coroutine",
                                 "pcall",
                                 "xpcall",
                                 "next",
                                 "rawset",
                                 "rawget",
                                 "rawequal",
                                 "rawlen",
                                 "setmetatable",
                                 "getmetatable",
                                 "_G",
                                 "_VERSION",
                                 "print",
                                 "warn",
                                 "string.dump",
                                 "string.pack",
                                 "string.unpack",
                                 "string.packsize",
                                 "math.random",
                                 "math.randomseed"}) {
    LuaScript script(handler("state.is_absent = " + std::string(name) + " == nil"));
    EXPECT_EQ(script.document_after({{}}), R"({"is_absent":true})") << name;
  }
}

TEST(LuaLimitsTest, TellsWhyAScriptCannotBeLoaded) {
  const std::vector<LuaMemory> cases = {
      {"", "delay: the script has no table 'on'"},
      {"on = 5", "the script has no table 'on'"},
      {"on = {}", "'on' has no handler"},
      {"on = { x = 1 }", "'on' holds a number under a string"},
      {"on = { function() end }", "'on' holds a function under a number"},
      {"key = 5 on = { x = function() end }", "'key' is a number"},
      {"on = {}\non.x = function( end", "delay:2: "},
      {"on = {}\n_ENV = {}", "delay:2: _ENV cannot be used"},
      {"local x = __length", "delay:1: __length cannot be used"},
      {"local s = \"\\\n\r\" local r = type(_ENV) .. #{1, 2} -- \"", "delay:2: a carriage return"},
      {"on = {}\r", "delay:1: a carriage return"},
      {"while true do end", "script used more than 1000000 instructions at delay:1"},
      {"t = {} while true do t = { t, ('x'):rep(900) } end", "script needs more than 1 MiB"},
      {"\x1bLua", "binary"},
      {"\nerror('no')", "delay:2: no"},
      {"function string.trim() end", "the tables of the libraries cannot be changed"},
      {"t = {} for i = 1, 10100 do t[i] = {} end on = { x = function() end }",
       "holds more than 10000 tables and functions"},
  };
  for (const LuaMemory& bad : cases) {
    LuaScript script(bad.script, small_memory());
    EXPECT_TRUE(contains(script.load_error(), bad.message)) << bad.script << "\n"
                                                            << script.load_error();
    EXPECT_EQ(script.load_code(), Code::kBadArgument);
  }
}

TEST(LuaLimitsTest, TellsThatMemoryIsTooSmallForLua) {
  LuaLimits limits;
  limits.memory_bytes = 1000;
  EXPECT_TRUE(contains(LuaScript(handler(""), limits).load_error(), "too few to start Lua"));
  limits.memory_bytes = 8000;
  EXPECT_TRUE(contains(LuaScript(handler(""), limits).load_error(), "needs more than 8000 bytes"));
}

}  // namespace
}  // namespace tidegate::test
