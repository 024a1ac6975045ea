#include "tests/e2e/cli/cli_fixture.h"

namespace tidegate::test {
namespace {

struct UsageCase {
  std::vector<std::string> arguments;
  int exit_code;
  std::string said;  // part of stderr
};

void PrintTo(const UsageCase& usage, std::ostream* out) {
  for (const std::string& argument : usage.arguments) *out << argument << ' ';
}

// No gateway is needed: nothing of this may get so far.
class CliUsageTest : public testing::TestWithParam<UsageCase> {};

TEST_P(CliUsageTest, EndsWithASentence) {
  std::vector<std::string> arguments = GetParam().arguments;
  arguments.insert(arguments.begin(), tidegate_path());
  // A port that nobody listens on.
  const Finished done = run_program(arguments, {{"TIDEGATE_SERVER", "127.0.0.1:1"}});
  EXPECT_EQ(done.exit_code, GetParam().exit_code) << done.stderr_text;
  EXPECT_EQ(done.stdout_text, "");
  EXPECT_TRUE(contains(done.stderr_text, GetParam().said)) << done.stderr_text;
}

INSTANTIATE_TEST_SUITE_P(
    Arguments, CliUsageTest,
    testing::Values(UsageCase{{}, 2, "subcommand is required"},
                    UsageCase{{"reed"}, 2, "See `tidegate --help`"},
                    UsageCase{{"read", "--colour"}, 2, "See `tidegate read --help`"},
                    UsageCase{{"stream"}, 2, "See `tidegate stream --help`"},
                    UsageCase{{"-o", "xml", "read"}, 2, "'xml' is not table"},
                    UsageCase{{"--server", "nonsense", "read"}, 2, "is not HOST:PORT"},
                    UsageCase{{"--server", "host:70000", "read"}, 2, "is not HOST:PORT"}));

INSTANTIATE_TEST_SUITE_P(
    Places, CliUsageTest,
    testing::Values(UsageCase{{"read", "--from", "10", "--until", "5"}, 2, "nothing in between"},
                    UsageCase{{"read", "--from", "5", "--after", "5"}, 2, "--from and --after"},
                    UsageCase{{"read", "--from", "-5"}, 2, "'-5' is not a place"},
                    UsageCase{{"read", "--from", "soon"}, 2, "'soon' is not a place"},
                    UsageCase{{"read", "--limit", "-1"}, 2, "'-1' is not a number"},
                    UsageCase{{"read", "--limit", "0"}, 2, "'0' is not a number"},
                    UsageCase{{"read", "a..b"}, 2, "a..b"},
                    UsageCase{{"cursor", "seek", "c", "--to", "soon"}, 2, "is not a place"},
                    UsageCase{{"follow", "--last", "5", "--from", "start"}, 2, "--last"},
                    UsageCase{{"follow", "--last", "10001"}, 2, "from 1 to 10000"},
                    UsageCase{{"follow", "-o", "json"}, 2, "jsonl"}));

INSTANTIATE_TEST_SUITE_P(
    Publishing, CliUsageTest,
    testing::Values(
        UsageCase{{"publish", "a"}, 2, "--type"},
        UsageCase{{"publish", "a.*", "--type", "t"}, 2, "a.*"},
        UsageCase{{"publish", "a", "--type", "t", "--data", "{"}, 2, "--content-type"},
        UsageCase{{"publish", "a", "--type", "t", "--time", "now"}, 2, "time"},
        UsageCase{{"publish", "a", "--type", "t", "--attribute", "x"}, 2, "NAME=VALUE"},
        UsageCase{{"publish", "a", "--type", "t", "--data", "@/missing"}, 2, "/missing"},
        UsageCase{
            {"publish", "a", "--type", "t", "--expect-absent", "--expect-present"}, 2, "excludes"},
        UsageCase{{"publish", "a", "--type", "t", "--expect-revision", "-1"}, 2, "not a revision"},
        UsageCase{{"import", "/missing"}, 2, "cannot open '/missing'"}));

INSTANTIATE_TEST_SUITE_P(
    Dangers, CliUsageTest,
    testing::Values(
        UsageCase{{"replay", "--speed", "fast"}, 2, "is not a speed"},
        UsageCase{{"replay", "--max-gap", "5"}, 2, "is not a duration"},
        UsageCase{{"replay", "--clock", "wall"}, 2, "wall"},
        UsageCase{{"replay", "--map", "a=b"}, 2, "--to"},
        UsageCase{{"replay", "--to", "other:7090"}, 2, "say --yes"},
        UsageCase{{"replay", "--to", "other:7090", "--yes", "--map", "a.*=b.>"}, 2, "wildcards"},
        UsageCase{{"log", "trim", "--before", "5"}, 2, "say --yes"},
        UsageCase{{"log", "accept-loss", "--data", "/missing"}, 2, "say --yes"}));

INSTANTIATE_TEST_SUITE_P(
    Projections, CliUsageTest,
    testing::Values(
        UsageCase{{"projection"}, 2, "See `tidegate projection --help`"},
        UsageCase{{"projection", "apply", "/missing.toml"}, 2, "/missing.toml"},
        UsageCase{{"projection", "query", "a", "--wait", "soon"}, 2, "is not a duration"},
        UsageCase{{"projection", "query", "a", "--wait", "2m"}, 2, "more than 60s"},
        UsageCase{{"projection", "query", "a", "--min-position", "-5m"}, 2, "--min-position"},
        UsageCase{{"projection", "query", "a", "--all", "--limit", "5"}, 2, "excludes"},
        UsageCase{{"projection", "query", "a", "k", "--prefix", "k"}, 2, "excludes"},
        UsageCase{{"projection", "skip", "a", "x"}, 2, "'x' is not a number"},
        UsageCase{{"projection", "watch", "a", "-o", "json"}, 2, "jsonl"},
        UsageCase{{"projection", "watch", "a", "--live"}, 2, "terminal"},
        UsageCase{{"projection", "rm", "a"}, 2, "say --yes"},
        UsageCase{{"projection", "ls"}, 6, "cannot reach 127.0.0.1:1"}));

INSTANTIATE_TEST_SUITE_P(
    NobodyListens, CliUsageTest,
    testing::Values(UsageCase{{"read"}, 6, "cannot reach 127.0.0.1:1"},
                    UsageCase{{"follow"}, 6, "is tidegated running?"},
                    UsageCase{{"replay"}, 6, "cannot reach"},
                    UsageCase{{"publish", "a", "--type", "t"}, 6, "cannot reach"},
                    UsageCase{{"stream", "ls"}, 6, "cannot reach"},
                    UsageCase{{"cursor", "ls"}, 6, "cannot reach"},
                    UsageCase{{"log", "info"}, 6, "cannot reach"},
                    UsageCase{{"log", "verify"}, 6, "cannot reach"},
                    UsageCase{{"server", "status"}, 6, "set --server or TIDEGATE_SERVER"}));

TEST(CliHelpTest, EveryCommandHasHelpWithAnExample) {
  const std::vector<std::vector<std::string>> commands = {{"publish"},
                                                          {"import"},
                                                          {"read"},
                                                          {"follow"},
                                                          {"replay"},
                                                          {"stream", "ls"},
                                                          {"stream", "info"},
                                                          {"cursor", "ls"},
                                                          {"cursor", "info"},
                                                          {"cursor", "seek"},
                                                          {"cursor", "rm"},
                                                          {"log", "info"},
                                                          {"log", "verify"},
                                                          {"log", "trim"},
                                                          {"log", "accept-loss"},
                                                          {"server", "status"},
                                                          {"projection", "ls"},
                                                          {"projection", "info"},
                                                          {"projection", "apply"},
                                                          {"projection", "validate"},
                                                          {"projection", "test"},
                                                          {"projection", "query"},
                                                          {"projection", "watch"},
                                                          {"projection", "skip"},
                                                          {"projection", "rm"}};
  for (std::vector<std::string> arguments : commands) {
    arguments.insert(arguments.begin(), tidegate_path());
    arguments.push_back("--help");
    const Finished done = run_program(arguments);
    EXPECT_EQ(done.exit_code, 0) << arguments[1];
    EXPECT_TRUE(contains(done.stdout_text, "Example")) << done.stdout_text;
    EXPECT_EQ(done.stderr_text, "");
  }
}

TEST(CliHelpTest, TellsItsVersion) {
  const Finished done = run_program({tidegate_path(), "--version"});
  EXPECT_EQ(done.exit_code, 0);
  EXPECT_EQ(done.stdout_text.rfind("tidegate ", 0), 0U) << done.stdout_text;
}

}  // namespace
}  // namespace tidegate::test
