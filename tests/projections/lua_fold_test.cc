#include "projections/lua_fold.h"

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "projections/json_value.h"
#include "tests/projections/lua_script.h"

namespace tidegate::test {
namespace {

using Documents = std::map<std::string, std::string>;

TEST(LuaFoldTest, FoldsEventsIntoRowsByKey) {
  LuaScript script(R"(
    function init() return { flights = 0, delay = 0 } end
    function key(event) return event.tokens[2] end
    on = {}
    on["flight.departed"] = function(state, event)
      state.flights = state.flights + 1
      state.delay = state.delay + event.data.delay
      return state
    end)");
  ASSERT_EQ(script.load_error(), "");
  for (const std::string stream : {"flights.ATL", "flights.LAX", "flights.ATL"}) {
    ASSERT_EQ(script.apply({.data = R"({"delay":7})", .type = "flight.departed", .stream = stream}),
              "");
  }
  ASSERT_EQ(script.commit(), "");
  EXPECT_EQ(script.rows().documents(), (Documents{{"ATL", R"({"delay":14,"flights":2})"},
                                                  {"LAX", R"({"delay":7,"flights":1})"}}));
  EXPECT_EQ(script.rows().sequences["ATL"], 3U);
  EXPECT_EQ(script.rows().sequences["LAX"], 2U);
}

TEST(LuaFoldTest, GivesOutEveryFieldOfAnEvent) {
  LuaScript script(handler(R"(
    local seen = {}
    for name, value in pairs(event) do seen[name] = value end
    return seen)"));
  FoldedEvent event{.data = R"({"a":[1,null]})", .subject = "s", .time_us = 5};
  event.extensions = {{"tenant", "x"}};
  EXPECT_EQ(script.document_after({event}),
            R"({"append_time":1000000000000000,"attributes":{"subject":"s","tenant":"x","time":5},)"
            R"("data":{"a":[1,null]},"id":"1","revision":1,"sequence":1,"source":"/tests",)"
            R"("stream":"orders.eu.1","subject":"s","time":5,"tokens":["orders","eu","1"],)"
            R"("type":"order.placed"})");
}

TEST(LuaFoldTest, TakesOpaqueDataAsText) {
  LuaScript script(handler("return { text = event.data, none = event.subject }"));
  EXPECT_EQ(script.document_after({{.data = "<a/>", .content_type = "text/xml"}}),
            R"({"text":"<a/>"})");
}

TEST(LuaFoldTest, KeepsTheStateOfAHandlerThatReturnsNothing) {
  LuaScript script(handler("state.n = (state.n or 0) + 1"));
  EXPECT_EQ(script.document_after({{}, {}}), R"({"n":2})");
}

TEST(LuaFoldTest, RemovesARowByDelete) {
  LuaScript script(R"(
    on = { add = function(state) state.n = (state.n or 0) + 1 end }
    on.drop = function() return delete end)");
  EXPECT_EQ(script.document_after({{.type = "add"}}), R"({"n":1})");
  EXPECT_EQ(script.document_after({{.type = "drop"}}), "no row");
  EXPECT_EQ(script.rows().sequences["all"], 2U);
  // Nothing is there to be removed.
  EXPECT_EQ(script.document_after({{.type = "drop"}}), "no row");
  EXPECT_EQ(script.rows().sequences["all"], 2U);
  EXPECT_EQ(script.document_after({{.type = "add"}}), R"({"n":1})");
}

TEST(LuaFoldTest, LeavesEventsOutWithoutAKeyOrAHandler) {
  LuaScript script(R"(
    function key(event) return event.data.key end
    on = { known = function(state) state.n = (state.n or 0) + 1 end })");
  ASSERT_EQ(script.apply({.data = R"({"key":"a"})", .type = "known"}), "");
  ASSERT_EQ(script.apply({.data = "{}", .type = "known"}), "");
  ASSERT_EQ(script.apply({.data = R"({"key":"b"})", .type = "unknown"}), "");
  ASSERT_EQ(script.commit(), "");
  EXPECT_EQ(script.rows().documents(), (Documents{{"a", R"({"n":1})"}}));
}

TEST(LuaFoldTest, KeepsIntegersAndFloatsApart) {
  LuaScript script(handler(R"(
    state.low, state.high = event.data.low, event.data.high
    state.wrapped = event.data.high + 1 == event.data.low
    state.float = 2.0
    state.tiny = 0.1 + 0.2)"));
  const FoldedEvent event{.data = R"({"low":-9223372036854775808,"high":9223372036854775807})"};
  const std::string expected =
      R"({"float":2.0,"high":9223372036854775807,"low":-9223372036854775808,)"
      R"("tiny":0.30000000000000004,"wrapped":true})";
  EXPECT_EQ(script.document_after({event}), expected);
  script.forget();
  EXPECT_EQ(script.document_after({event}), expected);
}

TEST(LuaFoldTest, CopiesWhatAStateHoldsTwiceOrSharesWithAConstant) {
  LuaScript script(R"(
    local names = { a = "x" }
    on = { take = function(state, event)
      state.one, state.two, state.names = event.data, event.data, names
    end }
    on.change = function(state)
      state.one.v = 2
      state.names.a = state.names.a .. "y"
      state.constant = names.a
    end)");
  EXPECT_EQ(script.document_after({{.data = R"({"v":1})", .type = "take"}, {.type = "change"}}),
            R"({"constant":"x","names":{"a":"xy"},"one":{"v":2},"two":{"v":1}})");
}

TEST(LuaFoldTest, DoesNotLetAHandlerChangeWhatInitReturns) {
  LuaScript script(R"(
    local fresh = { n = 0 }
    function init() return fresh end
    function key(event) return event.tokens[1] end
    on = { ["*"] = function(state) state.n = state.n + 1 end })");
  ASSERT_EQ(script.apply({.stream = "a"}), "");
  ASSERT_EQ(script.apply({.stream = "b"}), "");
  ASSERT_EQ(script.commit(), "");
  EXPECT_EQ(script.rows().documents(), (Documents{{"a", R"({"n":1})"}, {"b", R"({"n":1})"}}));
}

TEST(LuaFoldTest, AnEmptyTableIsAnArrayIfItWasOne) {
  LuaScript script(R"(
    on = { add = function(state)
      state.list = state.list or {}
      table.insert(state.list, 1)
      state.object = state.object or {}
      state.object.x = 1
    end }
    on.clear = function(state) table.remove(state.list) state.object.x = nil end)");
  for (const bool forgets : {false, true}) {
    EXPECT_EQ(script.document_after({{.type = "add"}}), R"({"list":[1],"object":{"x":1}})");
    if (forgets) script.forget();
    EXPECT_EQ(script.document_after({{.type = "clear"}}), R"({"list":[],"object":{}})");
  }
}

// ------------------------------------------------------------------------------ what differs from
// Lua

struct LuaExpression {
  std::string expression;
  std::string json;
};

class LuaExpressionTest : public testing::TestWithParam<LuaExpression> {};

TEST_P(LuaExpressionTest, HasTheValue) {
  LuaScript script(handler("return { v = (" + GetParam().expression + ") }"));
  ASSERT_EQ(script.load_error(), "");
  EXPECT_EQ(script.document_after({{}}), "{\"v\":" + GetParam().json + "}")
      << GetParam().expression;
}

INSTANTIATE_TEST_SUITE_P(
    Operators, LuaExpressionTest,
    testing::Values(LuaExpression{"#'abc'", "3"}, LuaExpression{"#{1, 2, nil, 4}", "2"},
                    LuaExpression{"-#{1, 2}", "-2"}, LuaExpression{"2^#{1, 2}", "4.0"},
                    LuaExpression{"not #{}", "false"}, LuaExpression{"#{1} + #'ab' * 2", "5"},
                    LuaExpression{"'#' .. #'#'", R"("#1")"},
                    LuaExpression{"[[#]] --[[ # ]] .. [=[#]=]", R"("##")"},
                    LuaExpression{"7 // 2", "3"}, LuaExpression{"7 / 2", "3.5"},
                    LuaExpression{"math.maxinteger + 1 == math.mininteger", "true"}));

INSTANTIATE_TEST_SUITE_P(
    Basics, LuaExpressionTest,
    testing::Values(LuaExpression{"tostring({})", R"("table")"},
                    LuaExpression{"tostring(tostring)", R"("function")"},
                    LuaExpression{"tostring(1.5)", R"("1.5")"},
                    LuaExpression{"tostring(null)", R"("null")"},
                    LuaExpression{"type(null)", R"("null")"},
                    LuaExpression{"type(state)", R"("table")"}, LuaExpression{"null", "null"},
                    LuaExpression{"select('#', 1, 2)", "2"},
                    LuaExpression{"tonumber('0x10')", "16"},
                    LuaExpression{"table.concat({1, 'b', 3}, '-')", R"("1-b-3")"},
                    LuaExpression{"table.unpack({1, 2}, 2)", "2"},
                    LuaExpression{"table.move({1, 2, 3}, 2, 3, 1)", "[2,3,3]"},
                    LuaExpression{"utf8.len('äö')", "2"},
                    LuaExpression{"string.format('%5.1f|%d|%s|%s', 1.5, 3, true, null)",
                                  R"("  1.5|3|true|null")"}));

INSTANTIATE_TEST_SUITE_P(
    Texts, LuaExpressionTest,
    testing::Values(LuaExpression{"('abc'):upper()", R"("ABC")"},
                    LuaExpression{"('ab'):rep(3, ',')", R"("ab,ab,ab")"},
                    LuaExpression{"(''):rep(1 << 62)", R"("")"},
                    LuaExpression{"('hello world'):find('o w')", "5"},
                    LuaExpression{"('a.b'):find('.', 1, true)", "2"},
                    LuaExpression{"('hello'):find('l', -2)", "4"},
                    LuaExpression{"('hello'):find('h', 2) == nil", "true"},
                    LuaExpression{"('key=val'):match('=(%w+)$')", R"("val")"},
                    LuaExpression{"('f(a(b)c)d'):match('%b()')", "\"(a(b)c)\""},
                    LuaExpression{"('[]]'):match('[]]')", R"("]")"},
                    LuaExpression{"('a-b c'):match('[%w-]+')", R"("a-b")"},
                    LuaExpression{"('abab'):match('(ab)%1')", R"("ab")"},
                    LuaExpression{"('abc'):match('()b')", "2"},
                    LuaExpression{"('xaay'):match('a-y')", R"("aay")"},
                    LuaExpression{"('ac'):match('ab?c')", R"("ac")"},
                    LuaExpression{"('hello'):gsub('l', 'L')", R"("heLLo")"},
                    LuaExpression{"('hello'):gsub('l', 'L', 1)", R"("heLlo")"},
                    LuaExpression{"('abc'):gsub('', '-')", R"("-a-b-c-")"},
                    LuaExpression{"('abc'):gsub('%w', '%0%0')", R"("aabbcc")"},
                    LuaExpression{"('abc'):gsub('^a', '')", R"("bc")"},
                    LuaExpression{"('THE (quick) fox'):gsub('%f[%a]%a+', 'x')", R"("x (x) x")"},
                    LuaExpression{"('a b'):gsub('%w', { a = 1 })", R"("1 b")"},
                    LuaExpression{"('a b'):gsub('%w', string.upper)", R"("A B")"}));

TEST(LuaFoldTest, IteratesInTheOrderOfKeys) {
  LuaScript script(handler(R"(
    local order = {}
    for k in pairs({ z = 1, [3] = 1, a = 1, [1] = 1, [2.5] = 1, ["10"] = 1 }) do
      order[#order + 1] = tostring(k)
    end
    for word in ("x y"):gmatch("%a") do order[#order + 1] = word end
    return { order = table.concat(order, " ") })"));
  EXPECT_EQ(script.document_after({{}}), R"({"order":"1 2.5 3 10 a z x y"})");
}

TEST(LuaFoldTest, SortsStably) {
  LuaScript script(handler(R"(
    local list = {}
    for i = 1, 500 do list[i] = { group = i % 3, place = i } end
    table.sort(list, function(a, b) return a.group < b.group end)
    for i = 2, 500 do
      local a, b = list[i - 1], list[i]
      assert(a.group < b.group or (a.group == b.group and a.place < b.place))
    end
    local numbers = { 3, 1, 2 }
    table.sort(numbers)
    return { numbers = numbers })"));
  EXPECT_EQ(script.document_after({{}}), R"({"numbers":[1,2,3]})");
}

// ------------------------------------------------------------------------------------------ at
// random

class RandomJson {
 public:
  explicit RandomJson(std::uint32_t seed) : random_(seed) {}

  std::uint32_t below(std::uint32_t end) { return static_cast<std::uint32_t>(random_() % end); }

  std::string value(int depth) {
    switch (below(depth > 4 ? 7 : 9)) {
      case 0:
        return "null";
      case 1:
        return below(2) == 0 ? "true" : "false";
      case 2:
        return std::to_string(static_cast<std::int64_t>(random_()));
      case 3:
        return fmt::format("{}", static_cast<double>(below(100000)) / 64 - 500.25);
      case 4:
        return fmt::format("{}.5e{}", below(10), static_cast<int>(below(60)) - 30);
      case 5:
        return below(2) == 0 ? "9223372036854775807" : "-9223372036854775808";
      case 6:
        return text();
      case 7:
        return list(depth, false);
      default:
        return list(depth, true);
    }
  }

 private:
  std::string text() {
    static const std::vector<std::string> pieces = {
        "a", "Z", "\\n",  "\\\"", "\\u00e4", "ö", "\\ud83d\\ude00",
        "😀", " ", "\\\\", "\\/",  "\\u0001", "0"};
    std::string out = "\"";
    for (std::uint32_t i = below(8); i > 0; --i) {
      out += pieces[below(static_cast<std::uint32_t>(pieces.size()))];
    }
    return out + "\"";
  }

  std::string list(int depth, bool is_object) {
    std::string out(1, is_object ? '{' : '[');
    const std::uint32_t count = below(5);
    for (std::uint32_t i = 0; i < count; ++i) {
      if (i > 0) out += ", ";
      // Distinct names: of equal ones the first counts, which is not the point here.
      if (is_object) out += fmt::format("\"{}{}\" : ", i, below(100));
      out += value(depth + 1);
    }
    return out + (is_object ? '}' : ']');
  }

  std::mt19937_64 random_;
};

TEST(LuaFoldTest, RandomDocumentsComeBackAsTheyWere) {
  LuaScript script(R"(
    on = { set = function(state, event) return { v = event.data } end }
    on.touch = function() end)");
  RandomJson random(20'240'501);
  for (int i = 0; i < 300; ++i) {
    const std::string data = random.value(0);
    const auto parsed = Json::parse("{\"v\":" + data + "}");
    ASSERT_TRUE(parsed) << data;
    ASSERT_EQ(script.document_after({{.data = data, .type = "set"}}), parsed->text()) << data;
    script.forget();
    ASSERT_EQ(script.document_after({{.type = "touch"}}), parsed->text()) << data;
  }
}

constexpr const char* kEventfulScript = R"(
  function init() return { n = 0, board = {}, seen = {}, sum = 0.0 } end
  function key(event) return event.tokens[2] end
  on = {}
  on.add = function(state, event)
    state.n = state.n + 1
    state.sum = state.sum + event.data.x
    state.board[#state.board + 1] = event.data
    if #state.board > 3 then table.remove(state.board, 1) end
    state.last = state.board[#state.board]
  end
  on.mark = function(state, event)
    state.seen[event.data.name] = (state.seen[event.data.name] or 0) + 1
    local names = {}
    for name, count in pairs(state.seen) do names[#names + 1] = name .. count end
    state.names = names
  end
  on.touch = function(state)
    if state.last then state.last.touched = (state.last.touched or 0) + 1 end
    state.board[#state.board + 2] = null
    state.board[#state.board + 2] = nil
    state.size = #state.board
  end
  on.clear = function(state)
    while #state.board > 0 do table.remove(state.board) end
    state.names = nil
  end
  on.drop = function() return delete end)";

FoldedEvent random_event(RandomJson& random) {
  static const std::vector<std::string> types = {"add", "add",   "add",   "mark", "mark",
                                                 "add", "touch", "clear", "drop", "other"};
  FoldedEvent event;
  event.type = types[random.below(static_cast<std::uint32_t>(types.size()))];
  event.stream = fmt::format("flights.{}", random.below(4));
  event.data = fmt::format(R"({{"x":{},"name":"n{}","more":{}}})",
                           random.below(2) == 0 ? "3" : "0.25", random.below(5), random.value(3));
  return event;
}

// The same events make the same rows, wherever commits lie and rows leave the memory.
TEST(LuaFoldTest, BoundariesMakeNoDifference) {
  for (std::uint32_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    RandomJson random(seed);
    LuaScript straight(kEventfulScript);
    LuaScript broken_up(kEventfulScript);
    ASSERT_EQ(straight.load_error(), "");
    for (int i = 0; i < 300; ++i) {
      const FoldedEvent event = random_event(random);
      ASSERT_EQ(straight.apply(event), "");
      ASSERT_EQ(broken_up.apply(event), "");
      if (random.below(4) == 0) {
        ASSERT_EQ(broken_up.commit(), "");
        if (random.below(3) == 0) broken_up.forget();
      }
    }
    ASSERT_EQ(straight.commit(), "");
    ASSERT_EQ(broken_up.commit(), "");
    EXPECT_EQ(straight.rows().documents(), broken_up.rows().documents());
    EXPECT_EQ(straight.rows().sequences, broken_up.rows().sequences);
  }
}

TEST(LuaFoldTest, ForgettingDropsWhatWasNotTaken) {
  LuaScript script(handler("state.n = (state.n or 0) + 1"));
  EXPECT_EQ(script.document_after({{}}), R"({"n":1})");
  ASSERT_EQ(script.apply({}), "");
  EXPECT_GT(script.bytes(), 0U);
  script.forget();
  EXPECT_EQ(script.document_after({{}}), R"({"n":2})");
}

}  // namespace
}  // namespace tidegate::test
