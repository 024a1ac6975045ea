// `tidegate projection`, as operators use it.

#include <csignal>

#include "tests/e2e/cli/cli_fixture.h"

namespace tidegate::test {
namespace {

// Over the events of CliTest::import: ticks and tocks of streams n.0 to n.4.
constexpr const char* kByStream = R"(
name = "by-stream"
description = "What each stream counts"
streams = ["n.*"]
key = "{stream[1]}"
[on."*"]
events = { count = true }
total = { sum = "/n" }
)";

class CliProjectionTest : public CliTest {
 protected:
  std::string definition(const std::string& name, const std::string& text) {
    write_file(dir_.file(name), text);
    return dir_.file(name);
  }
  Finished projection(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), "projection");
    return run(std::move(arguments));
  }
  void apply(const std::string& text) {
    const Finished applied = projection({"apply", definition("a.toml", text), "--wait"});
    ASSERT_EQ(applied.exit_code, 0) << applied.stderr_text;
  }
  // The row's JSON as of the head.
  std::string row(const std::string& name, const std::string& key) const {
    const Finished found =
        projection({"query", name, key, "--min-position", "head", "--wait", "10s", "-o", "jsonl"});
    EXPECT_EQ(found.exit_code, 0) << found.stderr_text;
    return found.stdout_text;
  }
};

TEST_F(CliProjectionTest, AppliesAndQueries) {
  import(20);
  apply(kByStream);
  // 1, 6, 11 and 16 on n.1.
  EXPECT_EQ(row("by-stream", "1"),
            "{\"key\":\"1\",\"value\":{\"events\":4,\"total\":34},\"sequence\":17}\n");
  const Finished all = projection({"query", "by-stream", "--all", "-o", "jsonl"});
  EXPECT_EQ(line_count(all.stdout_text), 5U) << all.stdout_text << all.stderr_text;
  const Finished table = projection({"query", "by-stream", "--all", "--sort", "total"});
  EXPECT_EQ(table.stdout_text,
            "KEY  EVENTS  TOTAL  SEQUENCE\n"
            "4    4       46     20\n"
            "3    4       42     19\n"
            "2    4       38     18\n"
            "1    4       34     17\n"
            "0    4       30     16\n");
  const Finished two = projection({"query", "by-stream", "--limit", "2", "-o", "jsonl"});
  EXPECT_EQ(line_count(two.stdout_text), 2U);
  EXPECT_TRUE(contains(two.stderr_text, "there are more rows")) << two.stderr_text;
  EXPECT_EQ(projection({"query", "by-stream", "--prefix", "x", "-o", "json"}).stdout_text, "[]\n");
  EXPECT_EQ(projection({"query", "by-stream", "9"}).exit_code, 3);
  EXPECT_EQ(projection({"query", "unknown"}).exit_code, 3);
}

TEST_F(CliProjectionTest, WaitsForTheRowsOfAFirstVersion) {
  import(20);
  const Finished applied =
      projection({"apply", definition("a.toml", kByStream), "--wait", "-o", "jsonl"});
  EXPECT_TRUE(contains(applied.stdout_text, R"("sequence":20,"behind":0,"rows":5,)"))
      << applied.stdout_text << applied.stderr_text;
  ASSERT_EQ(projection({"pause", "by-stream"}).exit_code, 0);
  const Finished query = projection({"query", "by-stream", "1"});
  EXPECT_TRUE(contains(query.stderr_text, "1 row of version 1")) << query.stderr_text;
  EXPECT_TRUE(contains(query.stderr_text, "'by-stream' is paused: its rows stay as of 20"))
      << query.stderr_text;
  import(21);
  const Finished stuck = projection({"apply", definition("a.toml", kByStream), "--wait"});
  EXPECT_EQ(stuck.exit_code, 4);
  EXPECT_TRUE(contains(stuck.stderr_text, "paused")) << stuck.stderr_text;
  ChildProcess watch({tidegate_path(), "projection", "watch", "by-stream"},
                     {{"TIDEGATE_SERVER", gateway_.grpc()}});
  EXPECT_TRUE(eventually(watch, [&] { return contains(watch.stderr_text(), "is paused"); }));
}

TEST_F(CliProjectionTest, AppliesAllFilesOrTellsWhich) {
  const std::string good = definition("good.toml", kByStream);
  const std::string bad = definition("bad.toml", "name = \"bad\"\n");
  const Finished wrong = projection({"apply", good, bad});
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_TRUE(contains(wrong.stderr_text, "nothing was applied")) << wrong.stderr_text;
  EXPECT_EQ(projection({"info", "by-stream"}).exit_code, 3);
  const Finished twice = projection({"apply", good, definition("same.toml", kByStream)});
  EXPECT_EQ(twice.exit_code, 2);
  EXPECT_TRUE(contains(twice.stderr_text, "both define 'by-stream'")) << twice.stderr_text;
  EXPECT_EQ(projection({"info", "by-stream"}).exit_code, 3);
}

TEST_F(CliProjectionTest, TellsWhatATrimmedLogCannotBringBack) {
  import(10);
  apply(kByStream);
  ASSERT_EQ(projection({"pause", "by-stream"}).exit_code, 0);
  import(20);
  const std::string told = "'by-stream' is paused at 10 (version 1)";
  const Finished dry = run({"log", "trim", "--before", "15", "--dry-run"});
  EXPECT_TRUE(contains(dry.stderr_text, told)) << dry.stderr_text;
  ASSERT_EQ(projection({"resume", "by-stream"}).exit_code, 0);
  row("by-stream", "1");
  const Finished trimmed = run({"log", "trim", "--before", "15", "--yes"});
  EXPECT_FALSE(contains(trimmed.stderr_text, told)) << trimmed.stderr_text;
  const Finished refused = projection({"rebuild", "by-stream"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_TRUE(contains(refused.stderr_text, "events before 15")) << refused.stderr_text;
  const std::string changed =
      definition("b.toml", std::string(kByStream) + "most = { max = \"/n\" }\n");
  EXPECT_EQ(projection({"apply", changed}).exit_code, 2);
  EXPECT_EQ(projection({"apply", definition("a.toml", kByStream)}).exit_code, 0);
  EXPECT_EQ(projection({"apply", changed, "--yes", "--wait"}).exit_code, 0);
  // Its live version began at the floor.
  EXPECT_EQ(projection({"rebuild", "by-stream", "--wait"}).exit_code, 0);
  const Finished gone = projection({"test", changed, "--until", "3"});
  EXPECT_EQ(gone.exit_code, 4);
  EXPECT_TRUE(contains(gone.stderr_text, "the log begins at 15")) << gone.stderr_text;
}

TEST_F(CliProjectionTest, SortsAllRowsBeforeItCuts) {
  import(20);
  apply(kByStream);
  const Finished two = projection({"query", "by-stream", "--sort", "total", "--limit", "2"});
  EXPECT_EQ(two.stdout_text,
            "KEY  EVENTS  TOTAL  SEQUENCE\n"
            "4    4       46     20\n"
            "3    4       42     19\n");
  EXPECT_TRUE(contains(two.stderr_text, "2 of 5 rows")) << two.stderr_text;
  EXPECT_EQ(projection({"query", "by-stream", "--sort", "n"}).exit_code, 2);
}

TEST_F(CliProjectionTest, ReadsPipesAndNamesTheUnknown) {
  const std::string good = definition("good.toml", kByStream);
  EXPECT_EQ(shell("cat " + good + " | $T projection validate /dev/stdin").exit_code, 0);
  EXPECT_EQ(shell("mkfifo " + dir_.file("f") + " && (cat " + good + " > " + dir_.file("f") +
                  " & $T projection validate " + dir_.file("f") + ")")
                .exit_code,
            0);
  EXPECT_EQ(projection({"validate", "/dev/zero"}).exit_code, 2);
  const Finished unknown = projection({"frob"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_TRUE(contains(unknown.stderr_text, "tidegate projection has no command 'frob'"))
      << unknown.stderr_text;
}

TEST_F(CliProjectionTest, ListsAndShows) {
  import(20);
  apply(kByStream);
  const Finished list = projection({"ls", "-o", "jsonl"});
  EXPECT_TRUE(contains(list.stdout_text, R"({"name":"by-stream","state":"live","version":1,)"))
      << list.stdout_text;
  const Finished info = projection({"info", "by-stream", "-o", "json"});
  EXPECT_TRUE(contains(info.stdout_text, R"("description":"What each stream counts")"));
  EXPECT_TRUE(contains(info.stdout_text, R"("versions":[{"number":1,"state":"live",)"))
      << info.stdout_text;
  EXPECT_TRUE(contains(projection({"info", "by-stream"}).stdout_text, "version 1"));
  EXPECT_EQ(projection({"info", "by-stream", "--definition"}).stdout_text, kByStream);
  EXPECT_EQ(projection({"info", "unknown"}).exit_code, 3);
}

TEST_F(CliProjectionTest, ChangesVersions) {
  import(20);
  apply(kByStream);
  apply(kByStream);
  EXPECT_TRUE(contains(projection({"ls", "-o", "jsonl"}).stdout_text, R"("version":1,)"));
  apply(std::string(kByStream) + "most = { max = \"/n\" }\n");
  EXPECT_TRUE(contains(row("by-stream", "1"), R"({"events":4,"most":16,"total":34})"));
  EXPECT_EQ(projection({"rollback", "by-stream", "--wait"}).exit_code, 0);
  EXPECT_TRUE(contains(row("by-stream", "1"), R"({"events":4,"total":34})"));
  const Finished rebuilt = projection({"rebuild", "by-stream", "--wait", "-o", "json"});
  EXPECT_TRUE(contains(rebuilt.stdout_text, R"("state":"live","version":3,)"))
      << rebuilt.stdout_text << rebuilt.stderr_text;
  EXPECT_TRUE(contains(row("by-stream", "1"), R"({"events":4,"total":34})"));
  EXPECT_EQ(projection({"rm", "by-stream"}).exit_code, 2);
  EXPECT_EQ(projection({"rm", "by-stream", "--yes"}).exit_code, 0);
  EXPECT_EQ(projection({"info", "by-stream"}).exit_code, 3);
}

TEST_F(CliProjectionTest, PausesAndResumes) {
  apply(kByStream);
  const Finished paused = projection({"pause", "by-stream", "-o", "json"});
  EXPECT_TRUE(contains(paused.stdout_text, R"("state":"live, paused")")) << paused.stdout_text;
  import(5);
  const Finished waited =
      projection({"query", "by-stream", "1", "--min-position", "5", "--wait", "10ms"});
  EXPECT_EQ(waited.exit_code, 6) << waited.stdout_text;
  EXPECT_EQ(projection({"resume", "by-stream"}).exit_code, 0);
  EXPECT_TRUE(contains(row("by-stream", "1"), R"("events":1)"));
}

TEST_F(CliProjectionTest, StopsAtAnEventUntilItIsSkipped) {
  apply(kByStream);
  import(10);
  ASSERT_EQ(run({"publish", "n.1", "--type", "tick", "--data", R"({"n":"text"})"}).exit_code, 0);
  import(15);
  const Finished refused = projection({"retry", "unknown"});
  EXPECT_EQ(refused.exit_code, 3);
  ASSERT_TRUE(eventually([&] {
    return contains(projection({"info", "by-stream", "-o", "json"}).stdout_text,
                    R"("failure":{"sequence":11,"stream":"n.1","type":"tick","message":")");
  }));
  EXPECT_TRUE(contains(projection({"ls", "-o", "jsonl"}).stdout_text, R"("state":"failed")"));
  const Finished again = projection({"retry", "by-stream"});
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_TRUE(contains(again.stderr_text, "stopped at event 11 (n.1, tick)")) << again.stderr_text;
  EXPECT_EQ(projection({"skip", "by-stream", "12"}).exit_code, 4);
  EXPECT_EQ(projection({"skip", "by-stream", "11"}).exit_code, 0);
  EXPECT_TRUE(contains(row("by-stream", "1"), R"({"events":3,"total":18})"));
  EXPECT_TRUE(
      contains(projection({"info", "by-stream", "-o", "json"}).stdout_text, R"("skipped":[11])"));
  EXPECT_EQ(projection({"retry", "by-stream"}).exit_code, 4);
}

TEST_F(CliProjectionTest, ValidatesAndTests) {
  import(20);
  const std::string good = definition("good.toml", kByStream);
  const std::string bad = definition("bad.toml", std::string(kByStream) + "worst = { mean = 1 }\n");
  EXPECT_EQ(projection({"validate", good}).exit_code, 0);
  const Finished wrong = projection({"validate", bad, good});
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_TRUE(contains(wrong.stderr_text, "bad.toml")) << wrong.stderr_text;
  EXPECT_TRUE(contains(wrong.stderr_text, "line 9")) << wrong.stderr_text;
  EXPECT_EQ(projection({"ls", "by", "-o", "json"}).exit_code, 2);

  const Finished tried =
      projection({"test", good, "--from", "6", "--until", "10", "--limit", "1", "-o", "json"});
  EXPECT_TRUE(contains(tried.stdout_text, R"({"examined":5,"matched":5,"row_count":5,)"))
      << tried.stdout_text << tried.stderr_text;
  EXPECT_TRUE(contains(
      tried.stdout_text,
      R"("failure":null,"rows":[{"key":"0","value":{"events":1,"total":5},"sequence":6}]})"))
      << tried.stdout_text;
  EXPECT_EQ(projection({"info", "by-stream"}).exit_code, 3);
}

TEST_F(CliProjectionTest, TakesScriptsFromFiles) {
  import(20);
  write_file(dir_.file("count.lua"), R"lua(
function key(event) return event.tokens[2] end
on = {}
on["tick"] = function(state, event)
  state.ticks = (state.ticks or 0) + 1
  return state
end
)lua");
  apply("name = \"ticks\"\nstreams = [\"n.*\"]\nscript_file = \"count.lua\"\n");
  // Of 1, 6, 11 and 16, 6 is a tock.
  EXPECT_TRUE(contains(row("ticks", "1"), R"("value":{"ticks":3})"));
  const Finished missing =
      projection({"validate",
                  definition("b.toml", "name = \"b\"\nstreams = [\">\"]\nscript_file = \"no\"\n")});
  EXPECT_EQ(missing.exit_code, 2);
  EXPECT_TRUE(contains(missing.stderr_text, "no")) << missing.stderr_text;
}

TEST_F(CliProjectionTest, WatchesChanges) {
  import(5);
  apply(kByStream);
  ChildProcess watch({tidegate_path(), "projection", "watch", "by-stream", "1"},
                     {{"TIDEGATE_SERVER", gateway_.grpc()}});
  ASSERT_TRUE(eventually(watch, [&] { return contains(watch.stdout_text(), "snapshot_end"); }))
      << watch.stderr_text();
  EXPECT_EQ(watch.stdout_text().rfind("{\"key\":\"1\",", 0), 0U) << watch.stdout_text();
  ASSERT_EQ(run({"publish", "n.1", "--type", "tick", "--data", R"({"n":100})"}).exit_code, 0);
  EXPECT_TRUE(eventually(watch, [&] {
    return contains(watch.stdout_text(),
                    R"({"key":"1","value":{"events":2,"total":101},"sequence":6})");
  })) << watch.stdout_text();
  watch.signal(SIGINT);
  EXPECT_EQ(watch.wait_exit(), 130);

  const Finished live = projection({"watch", "by-stream", "--live"});
  EXPECT_EQ(live.exit_code, 2);
  EXPECT_TRUE(contains(live.stderr_text, "terminal")) << live.stderr_text;
}

TEST_F(CliProjectionTest, WatchWaitsForAGatewayThatHasGone) {
  import(5);
  apply(kByStream);
  ChildProcess watch({tidegate_path(), "projection", "watch", "by-stream"},
                     {{"TIDEGATE_SERVER", gateway_.grpc()}});
  ASSERT_TRUE(eventually(watch, [&] { return contains(watch.stdout_text(), "snapshot_end"); }))
      << watch.stderr_text();
  EXPECT_EQ(gateway_.terminate(), 0);
  EXPECT_TRUE(eventually(watch, [&] { return contains(watch.stderr_text(), "reconnecting"); }));
  EXPECT_TRUE(watch.is_alive()) << watch.stderr_text();
}

TEST_F(CliProjectionTest, TheDemonstrationIsWhatItsCommentsSay) {
  const std::string demo = std::string(TIDEGATE_SOURCE_DIR) + "/tools/demo/";
  ASSERT_EQ(run({"import", demo + "flights.jsonl"}).exit_code, 0);
  const std::string folder = demo + "projections/";
  const Finished applied =
      projection({"apply", folder + "departures.toml", folder + "delay-by-route.toml",
                  folder + "board-atl.toml", folder + "punctuality.toml", "--wait"});
  ASSERT_EQ(applied.exit_code, 0) << applied.stderr_text;
  // `grep -c '"stream":"flights\.ATL\.' tools/demo/flights.jsonl`
  EXPECT_TRUE(contains(row("departures", "ATL"), R"("departures":846,)"));
  const Finished board = projection({"query", "board-atl", "--unfold", "board"});
  EXPECT_EQ(line_count(board.stdout_text), 21U) << board.stdout_text;
  EXPECT_TRUE(contains(row("delay-by-route", "ATL-LAX"), "\"average\":"));
  EXPECT_TRUE(contains(row("punctuality", "ATL"), "\"longest_run\":"));
}

}  // namespace
}  // namespace tidegate::test
