#include <string>

#include "tests/e2e/bench/bench_fixture.h"

namespace tidegate::test {
namespace {

using BenchScenariosTest = BenchTest;

TEST_F(BenchScenariosTest, CatchupReadsEverythingInBothForms) {
  for (const char* form : {"json", "proto"}) {
    const Finished finished = subscribers(
        "catchup", {"--events", "2000", "--clients", "7", "--threads", "2", "--form", form});
    expect_all_once_in_order(finished);
    EXPECT_EQ(number(finished, "events"), 2000);
    EXPECT_EQ(number(finished, "deliveries"), 14'000);
  }
}

TEST_F(BenchScenariosTest, CatchupReadsWhatIsThereAfterARestart) {
  EXPECT_EQ(subscribers("catchup", {"--no-fill"}).exit_code, 3);
  EXPECT_EQ(subscribers("catchup", {"--events", "1500"}).exit_code, 0);
  EXPECT_EQ(gateway_.terminate(), 0);
  gateway_.start();
  const Finished finished = subscribers("catchup", {"--no-fill"});
  expect_all_once_in_order(finished);
  EXPECT_EQ(number(finished, "deliveries"), 1500);
}

TEST_F(BenchScenariosTest, CatchupPublishesOnlyWhatIsMissing) {
  EXPECT_EQ(number(subscribers("catchup", {"--events", "100"}), "events"), 100);
  EXPECT_EQ(number(subscribers("catchup", {"--events", "250"}), "events"), 250);
  EXPECT_EQ(number(subscribers("catchup", {"--events", "50"}), "events"), 250);
}

TEST_F(BenchScenariosTest, CatchupRefusesEventsOfAnotherSize) {
  EXPECT_EQ(subscribers("catchup", {"--events", "10"}).exit_code, 0);
  const Finished finished = subscribers("catchup", {"--no-fill", "--size", "300"});
  EXPECT_EQ(finished.exit_code, 1) << finished.stderr_text;
}

TEST_F(BenchScenariosTest, StormLosesAndDoublesNothing) {
  for (const char* form : {"json", "proto"}) {
    const Finished finished =
        subscribers("storm", {"--subscribers", "30", "--threads", "2", "--rate", "200", "--quiet",
                              "300ms", "--down", "200ms", "--after", "500ms", "--form", form});
    expect_all_once_in_order(finished);
    // A second at 200 events/s.
    EXPECT_EQ(number(finished, "events"), 200);
    EXPECT_EQ(number(finished, "deliveries"), 6000);
    EXPECT_GE(number(finished, "down_seconds"), 0.2);
    EXPECT_GT(number(finished, "publish_quiet_p50_us"), 0);
    EXPECT_GT(number(finished, "publish_storm_p50_us"), 0);
  }
}

TEST_F(BenchScenariosTest, StormDeliversWhatWasMissed) {
  const Finished finished =
      subscribers("storm", {"--subscribers", "10", "--rate", "100", "--missed", "3000", "--quiet",
                            "200ms", "--down", "300ms", "--after", "500ms"});
  expect_all_once_in_order(finished);
  EXPECT_EQ(number(finished, "deliveries"), 31'000);
  EXPECT_GT(number(finished, "caught_up_seconds"), 0);
}

TEST_F(BenchScenariosTest, IdleCountsMemory) {
  const Finished finished = subscribers(
      "idle", {"--connections", "200", "--duration", "300ms", "--server-pid", gateway_pid()});
  EXPECT_EQ(finished.exit_code, 0) << finished.stderr_text;
  EXPECT_EQ(number(finished, "connections"), 200);
  EXPECT_GE(number(finished, "seconds"), 0.3);
  EXPECT_GT(number(finished, "server_rss_bytes_per_connection"), 0);
}

TEST_F(BenchScenariosTest, SparseFindsTheFewBothWays) {
  for (const char* form : {"json", "proto"}) {
    const Finished finished = subscribers(
        "sparse", {"--events", "2000", "--one-in", "100", "--rounds", "2", "--form", form});
    expect_all_once_in_order(finished);
    EXPECT_EQ(number(finished, "log_events"), 2000);
    EXPECT_EQ(number(finished, "matching"), 20);
    EXPECT_EQ(number(finished, "deliveries"), 80);
    EXPECT_GT(number(finished, "exact_p50_us"), 0);
    EXPECT_GT(number(finished, "wildcard_p50_us"), 0);
  }
}

TEST_F(BenchScenariosTest, MatchMeasuresInTurn) {
  const Finished finished = subscribers("match", {"--subscriptions", "450", "--events", "3000",
                                                  "--rounds", "2", "--server-pid", gateway_pid()});
  expect_all_once_in_order(finished);
  EXPECT_EQ(number(finished, "deliveries"), 12'000);
  EXPECT_EQ(subscribers("match", {"--events", "10"}).exit_code, 2);
}

Finished growth(const GatewayProcess& small, const std::vector<std::string>& more) {
  std::vector<std::string> command = {tidegate_path(), "--server", small.grpc(), "-o",
                                      "json",          "bench",    "growth",     "--http",
                                      small.http()};
  for (const char* word :
       {"--small", "300", "--large", "2000", "--streams", "7", "--read", "5", "--resumes", "40"}) {
    command.emplace_back(word);
  }
  command.insert(command.end(), more.begin(), more.end());
  return run_program(command);
}

TEST_F(BenchScenariosTest, GrowthKnowsWhichEventComesFirst) {
  for (const char* form : {"json", "proto"}) {
    GatewayProcess fresh;
    const Finished finished = growth(fresh, {"--form", form});
    expect_all_once_in_order(finished);
    // Whole turns of seven.
    EXPECT_EQ(number(finished, "small_events"), 301);
    EXPECT_EQ(number(finished, "large_events"), 2002);
    EXPECT_EQ(number(finished, "deliveries"), 400);
  }
}

TEST_F(BenchScenariosTest, GrowthMeasuresTwoLogsByTurns) {
  GatewayProcess small;
  GatewayProcess large;
  const Finished finished =
      growth(small, {"--large-server", large.grpc(), "--large-http", large.http()});
  expect_all_once_in_order(finished);
  EXPECT_EQ(number(finished, "small_events"), 301);
  EXPECT_EQ(number(finished, "large_events"), 2002);
  EXPECT_EQ(number(finished, "deliveries"), 400);
  EXPECT_EQ(growth(small, {"--large-server", large.grpc()}).exit_code, 2);
}

TEST_F(BenchScenariosTest, GrowthRefusesALogThatIsLargeAlready) {
  EXPECT_EQ(subscribers("catchup", {"--events", "500"}).exit_code, 0);
  const Finished finished = subscribers("growth", {"--small", "400", "--large", "1000"});
  EXPECT_EQ(finished.exit_code, 2);
  EXPECT_NE(finished.stderr_text.find("500 events"), std::string::npos) << finished.stderr_text;
}

}  // namespace
}  // namespace tidegate::test
