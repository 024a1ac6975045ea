#include <csignal>

#include "tests/e2e/cli/cli_fixture.h"

namespace tidegate::test {
namespace {

using Numbers = std::vector<int>;

TEST_F(CliTest, PublishesAndReadsBack) {
  const Finished published =
      run({"publish", "orders.1", "--type", "order.placed", "--id", "o1", "--subject", "s",
           "--attribute", "region=eu", "--data", "{\"total\": 12}", "-o", "json"});
  ASSERT_EQ(published.exit_code, 0) << published.stderr_text;
  EXPECT_TRUE(
      contains(published.stdout_text, R"("stream":"orders.1","sequence":1,"revision":1,"id":"o1")"))
      << published.stdout_text;
  const Finished read = run({"read", "orders.>"});
  EXPECT_EQ(read.exit_code, 0) << read.stderr_text;
  EXPECT_TRUE(contains(read.stdout_text, R"("region":"eu")")) << read.stdout_text;
  EXPECT_TRUE(contains(read.stdout_text, R"("data":{"total":12}}})")) << read.stdout_text;
  EXPECT_EQ(line_count(read.stdout_text), 1U);
}

TEST_F(CliTest, PublishTakesDataFromAFileOrStandardInput) {
  write_file(dir_.file("data"), "[1,2]");
  EXPECT_EQ(run({"publish", "a", "--type", "t", "--data", "@" + dir_.file("data")}).exit_code, 0);
  EXPECT_EQ(
      shell("echo hello | $T publish a --type t --content-type text/plain --data -").exit_code, 0);
  const std::string read = run({"read", "a"}).stdout_text;
  EXPECT_TRUE(contains(read, R"("data":[1,2])")) << read;
  EXPECT_TRUE(contains(read, R"("data":"hello\n")")) << read;
}

TEST_F(CliTest, PublishConflictsEndWithFour) {
  ASSERT_EQ(run({"publish", "a", "--type", "t", "--id", "1", "--expect-absent"}).exit_code, 0);
  const Finished again = run({"publish", "a", "--type", "t", "--id", "2", "--expect-absent"});
  EXPECT_EQ(again.exit_code, 4);
  EXPECT_TRUE(contains(again.stderr_text, "'a': expected no event")) << again.stderr_text;
  EXPECT_EQ(run({"publish", "a", "--type", "t", "--id", "2", "--expect-revision", "5"}).exit_code,
            4);
  EXPECT_EQ(run({"publish", "b", "--type", "t", "--id", "2", "--expect-present"}).exit_code, 4);
  EXPECT_EQ(run({"publish", "a", "--type", "other", "--id", "1"}).exit_code, 4);
  const Finished same = run({"publish", "a", "--type", "t", "--id", "1", "-o", "json"});
  EXPECT_EQ(same.exit_code, 0) << same.stderr_text;
  EXPECT_TRUE(contains(same.stdout_text, R"("deduplicated":true)")) << same.stdout_text;
  EXPECT_EQ(run({"publish", "a", "--type", "t", "--expect-revision", "1", "--buffered"}).exit_code,
            0);
}

TEST_F(CliTest, ImportIsSafeToRunAgain) {
  write_file(dir_.file("in"), lines(1500));
  const Finished first = run({"import", dir_.file("in"), "-o", "json"});
  EXPECT_EQ(first.exit_code, 0) << first.stderr_text;
  EXPECT_TRUE(contains(first.stdout_text, R"("imported":1500,"deduplicated":0,"bad_lines":0)"))
      << first.stdout_text;
  const Finished second = shell("cat " + dir_.file("in") + " | $T import - -o json");
  EXPECT_EQ(second.exit_code, 0) << second.stderr_text;
  EXPECT_TRUE(contains(second.stdout_text, R"("imported":0,"deduplicated":1500)"))
      << second.stdout_text;
}

TEST_F(CliTest, ImportReportsBadLinesAndGoesOn) {
  ASSERT_EQ(run({"publish", "n.1", "--type", "taken", "--id", "i1", "--source", "/test"}).exit_code,
            0);
  write_file(dir_.file("in"), "nonsense\n\n{\"stream\":\"a..b\",\"event\":{}}\n" + lines(10));
  const Finished done = run({"import", dir_.file("in"), "-o", "json"});
  EXPECT_EQ(done.exit_code, 7) << done.stderr_text;
  EXPECT_TRUE(contains(done.stderr_text, "line 1: ")) << done.stderr_text;
  EXPECT_TRUE(contains(done.stderr_text, "line 3: ")) << done.stderr_text;
  // The id i1 is taken on n.1 with other content: only its own line is refused.
  EXPECT_TRUE(contains(done.stderr_text, "line 5: ")) << done.stderr_text;
  EXPECT_TRUE(contains(done.stdout_text, R"("imported":9,"deduplicated":0,"bad_lines":3)"))
      << done.stdout_text;
}

TEST_F(CliTest, ReadsTheChosenPart) {
  import(10);
  const auto read = [this](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "read");
    const Finished done = run(arguments);
    EXPECT_EQ(done.exit_code, 0) << done.stderr_text;
    return sequences(done.stdout_text);
  };
  EXPECT_EQ(read({}), (Numbers{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}));
  EXPECT_EQ(read({"n.1"}), (Numbers{2, 7}));
  EXPECT_EQ(read({"n.1", "n.2"}), (Numbers{2, 3, 7, 8}));
  EXPECT_EQ(read({"*.1", "--type", "tock"}), (Numbers{7}));
  EXPECT_EQ(read({"--from", "8"}), (Numbers{8, 9, 10}));
  EXPECT_EQ(read({"--after", "8"}), (Numbers{9, 10}));
  EXPECT_EQ(read({"--from", "3", "--until", "5"}), (Numbers{3, 4, 5}));
  EXPECT_EQ(read({"--limit", "2"}), (Numbers{1, 2}));
  EXPECT_EQ(read({"--reverse", "--limit", "3"}), (Numbers{10, 9, 8}));
  EXPECT_EQ(read({"--reverse", "--from", "3", "--until", "5"}), (Numbers{5, 4, 3}));
  EXPECT_EQ(read({"--reverse", "--after", "3", "--until", "5"}), (Numbers{5, 4}));
  EXPECT_EQ(read({"--from", "head"}), Numbers{});
  EXPECT_EQ(read({"--from", "-1h", "--until", "head"}).size(), 10U);
  EXPECT_EQ(read({"--until", "-1h"}), Numbers{});
  EXPECT_EQ(read({"n.9"}), Numbers{});
}

TEST_F(CliTest, ReadPrintsEachFormat) {
  import(2);
  EXPECT_TRUE(contains(run({"read", "-o", "table"}).stdout_text, "SEQUENCE"));
  EXPECT_EQ(run({"read", "-o", "json"}).stdout_text.substr(0, 2), "[\n");
  EXPECT_EQ(run({"read", "none", "-o", "json"}).stdout_text, "[]\n");
}

TEST_F(CliTest, EndsQuietlyWhenTheReaderHasEnough) {
  import(3000);
  for (const std::string command : {"read", "replay --speed max", "follow --from start"}) {
    const Finished done = shell("{ $T " + command + "; echo exit $? >&2; } | head -n 1");
    EXPECT_EQ(done.stderr_text, "exit 0\n") << command;
    EXPECT_EQ(line_count(done.stdout_text), 1U);
  }
}

TEST_F(CliTest, APositionOfAnotherHistoryIsAConflict) {
  import(2);
  EXPECT_EQ(run({"read", "--after", "aaaaaaaaaaaaaaaa.1.00000000"}).exit_code, 4);
  EXPECT_EQ(run({"follow", "--after", "aaaaaaaaaaaaaaaa.1.00000000"}).exit_code, 4);
}

TEST_F(CliTest, FollowsFromAPlace) {
  import(5);
  EXPECT_EQ(sequences(run({"follow", "--from", "2", "--limit", "3"}).stdout_text),
            (Numbers{2, 3, 4}));
  EXPECT_EQ(sequences(run({"follow", "n.>", "--last", "2", "--limit", "2"}).stdout_text),
            (Numbers{4, 5}));
}

TEST_F(CliTest, ACursorGoesOnAfterWhatWasPrinted) {
  import(6);
  const auto follow = [this] {
    return sequences(
        run({"follow", "--cursor", "billing", "--from", "start", "--limit", "2"}).stdout_text);
  };
  EXPECT_EQ(follow(), (Numbers{1, 2}));
  EXPECT_EQ(follow(), (Numbers{3, 4}));
  const Finished info = run({"cursor", "info", "billing", "-o", "json"});
  EXPECT_TRUE(contains(info.stdout_text, R"("name":"billing","sequence":4,"behind":2)"))
      << info.stdout_text;
  EXPECT_EQ(run({"cursor", "seek", "billing", "--to", "2", "--dry-run"}).exit_code, 0);
  EXPECT_EQ(run({"cursor", "seek", "billing", "--to", "3"}).exit_code, 0);
  EXPECT_EQ(follow(), (Numbers{3, 4}));
  EXPECT_EQ(line_count(run({"cursor", "ls"}).stdout_text), 2U);
  EXPECT_EQ(run({"cursor", "rm", "billing"}).exit_code, 0);
  EXPECT_EQ(run({"cursor", "rm", "billing"}).exit_code, 3);
  EXPECT_EQ(run({"cursor", "info", "billing"}).exit_code, 3);
}

TEST_F(CliTest, FollowGoesOnAfterTheGatewayWasKilled) {
  import(3);
  const std::string grpc = gateway_.grpc();
  ChildProcess follow({tidegate_path(), "follow", "--from", "start", "--server", grpc});
  ASSERT_TRUE(eventually(follow, [&] { return line_count(follow.stdout_text()) == 3; }));
  gateway_.kill();
  GatewayProcess again({.flags = {"--grpc", grpc}, .data_dir = gateway_.data_dir()});
  ASSERT_EQ(run({"publish", "n.9", "--type", "t"}).exit_code, 0);
  ASSERT_TRUE(eventually(follow, [&] { return line_count(follow.stdout_text()) == 4; }))
      << follow.stderr_text();
  EXPECT_EQ(sequences(follow.stdout_text()), (Numbers{1, 2, 3, 4}));
  EXPECT_TRUE(contains(follow.stderr_text(), "connection lost")) << follow.stderr_text();
  EXPECT_TRUE(contains(follow.stderr_text(), "reconnected; going on after sequence 3"))
      << follow.stderr_text();
  follow.signal(SIGINT);
  EXPECT_EQ(follow.wait_exit(), 130);
}

TEST_F(CliTest, FollowTellsAGap) {
  import(10);
  ASSERT_EQ(run({"log", "trim", "--before", "6", "--yes"}).exit_code, 0);
  const Finished failed = run({"follow", "--after", "2", "--limit", "1"});
  EXPECT_EQ(failed.exit_code, 4);
  EXPECT_TRUE(contains(failed.stderr_text, "--on-gap floor")) << failed.stderr_text;
  const Finished done = run({"follow", "--after", "2", "--limit", "1", "--on-gap", "floor"});
  EXPECT_EQ(sequences(done.stdout_text), (Numbers{6})) << done.stderr_text;
}

}  // namespace
}  // namespace tidegate::test
