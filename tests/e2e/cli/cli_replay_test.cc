#include <csignal>

#include "tests/e2e/cli/cli_fixture.h"

namespace tidegate::test {
namespace {

TEST_F(CliTest, ReplayDryRunCountsAndTellsTheDuration) {
  import(121);
  const Finished done = run({"replay", "--dry-run", "--speed", "60", "-o", "json"});
  EXPECT_EQ(done.exit_code, 0) << done.stderr_text;
  EXPECT_TRUE(contains(done.stdout_text, R"("events":121,"first_time":"2001-01-01T00:00:00Z",)"))
      << done.stdout_text;
  EXPECT_TRUE(contains(done.stdout_text, R"("duration_seconds":2.000)")) << done.stdout_text;
  const Finished window = run({"replay", "--dry-run", "--from", "2001-01-01T00:00:10Z", "--until",
                               "2001-01-01T00:00:19Z", "-o", "json"});
  EXPECT_TRUE(contains(window.stdout_text, R"("events":10,)")) << window.stdout_text;
}

TEST_F(CliTest, ReplayKeepsTheTiming) {
  import(61);
  const Finished done = run({"replay", "--speed", "60"});
  EXPECT_EQ(done.exit_code, 0) << done.stderr_text;
  EXPECT_EQ(done.stdout_text, run({"read"}).stdout_text);
  // The same minute in a second, measured by the shell's clock of the child: it can only be longer.
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(run({"replay", "--speed", "60", "--until", "61"}).exit_code, 0);
  EXPECT_GE(std::chrono::steady_clock::now() - began, std::chrono::seconds(1));
}

TEST_F(CliTest, AnInterruptedReplayGoesOnFromItsState) {
  import(2500);
  const std::string file = dir_.file("out.jsonl");
  const std::string state = dir_.file("state");
  const std::vector<std::string> arguments = {"replay", "n.*", "--to-file", file, "--state", state};
  std::vector<std::string> slow = {tidegate_path(), "--server", gateway_.grpc()};
  slow.insert(slow.end(), arguments.begin(), arguments.end());
  slow.insert(slow.end(), {"--speed", "max", "--rate", "500"});
  ChildProcess first(slow);
  ASSERT_TRUE(eventually(first, [&] { return line_count(read_file(file + ".partial")) > 100; }))
      << first.stderr_text();
  first.signal(SIGINT);
  EXPECT_EQ(first.wait_exit(), 130) << first.stderr_text();
  EXPECT_FALSE(std::filesystem::exists(file));
  EXPECT_TRUE(contains(first.stderr_text(), "incomplete")) << first.stderr_text();

  // A crash may leave more in the file than the state knows of.
  write_file(file + ".partial", read_file(file + ".partial") + "half a li");
  std::vector<std::string> fast = arguments;
  fast.insert(fast.end(), {"--speed", "max"});
  const Finished second = run(fast);
  EXPECT_EQ(second.exit_code, 0) << second.stderr_text;
  EXPECT_EQ(read_file(file), run({"read", "n.*"}).stdout_text);
  EXPECT_FALSE(std::filesystem::exists(file + ".partial"));

  const Finished third = run(fast);
  EXPECT_EQ(third.exit_code, 0);
  EXPECT_TRUE(contains(third.stderr_text, "complete: 2500 events")) << third.stderr_text;
}

TEST_F(CliTest, AStateIsRefusedForOtherArgumentsAndForAnotherLog) {
  import(3);
  const std::string state = dir_.file("state");
  ASSERT_EQ(run({"replay", "--speed", "max", "--state", state}).exit_code, 0);
  const Finished other = run({"replay", "n.1", "--speed", "max", "--state", state});
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_TRUE(contains(other.stderr_text, "another replay")) << other.stderr_text;
  const GatewayProcess another;
  EXPECT_EQ(
      run({"replay", "--speed", "max", "--state", state, "--server", another.grpc()}).exit_code, 4);
  write_file(state, "{}");
  EXPECT_EQ(run({"replay", "--speed", "max", "--state", state}).exit_code, 2);
}

TEST_F(CliTest, ReplaysToAnotherGatewayOnceOnly) {
  import(700);
  const GatewayProcess target;
  const std::vector<std::string> replay = {"replay", "--speed", "max",     "--to",  target.grpc(),
                                           "--yes",  "--map",   "n.1=one", "--map", "n.*=copy.*"};
  const Finished first = run(replay);
  EXPECT_EQ(first.exit_code, 0) << first.stderr_text;
  EXPECT_TRUE(contains(first.stderr_text, "replayed 700 events")) << first.stderr_text;
  const Finished second = run(replay);
  EXPECT_EQ(second.exit_code, 0) << second.stderr_text;
  EXPECT_TRUE(contains(second.stderr_text, "700 of them were there already")) << second.stderr_text;
  EXPECT_EQ(line_count(run({"read", "--server", target.grpc()}).stdout_text), 700U);
  EXPECT_EQ(line_count(run({"read", "one", "--server", target.grpc()}).stdout_text), 140U);
  EXPECT_EQ(line_count(run({"stream", "ls", "copy.", "--server", target.grpc()}).stdout_text), 5U);
}

TEST_F(CliTest, AReplayThatTheTargetRefusesIsIncomplete) {
  import(600);
  const GatewayProcess target;
  ASSERT_EQ(run({"publish", "n.0", "--type", "other", "--id", "i500", "--source", "/test",
                 "--server", target.grpc()})
                .exit_code,
            0);
  const Finished done = run({"replay", "--speed", "max", "--to", target.grpc(), "--yes"});
  EXPECT_EQ(done.exit_code, 7) << done.stderr_text;
  EXPECT_TRUE(contains(done.stderr_text, "refused")) << done.stderr_text;
}

TEST_F(CliTest, DoesNotOverwriteAFile) {
  write_file(dir_.file("out"), "precious");
  EXPECT_EQ(run({"replay", "--to-file", dir_.file("out")}).exit_code, 4);
  EXPECT_EQ(read_file(dir_.file("out")), "precious");
}

}  // namespace
}  // namespace tidegate::test
