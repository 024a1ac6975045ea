#include <map>
#include <simdjson.h>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/gateway_process.h"

// The benchmarks against a real gateway: they must end, and count right. How fast it was is not
// looked at: that depends on the machine.

namespace tidegate::test {
namespace {

class BenchTest : public testing::Test {
 protected:
  // `tidegate bench ...` with JSON output.
  Finished bench(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(),
                     {tidegate_path(), "--server", gateway_.grpc(), "-o", "json", "bench"});
    return run_program(arguments);
  }
  Finished fanout(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"fanout", "--http", gateway_.http()});
    return bench(std::move(arguments));
  }

  // A number of the report; -1: it has none of this name.
  static double number(const Finished& finished, std::string_view name) {
    simdjson::dom::parser parser;
    double value = -1;
    const auto report = parser.parse(finished.stdout_text);
    if (report.error() == simdjson::SUCCESS && report[name].get(value) == simdjson::SUCCESS)
      return value;
    ADD_FAILURE() << "no " << name << " in: " << finished.stdout_text << finished.stderr_text;
    return -1;
  }

  GatewayProcess gateway_;
};

TEST_F(BenchTest, IngestPublishesWhatItSays) {
  const Finished finished =
      bench({"ingest", "--events", "1000", "--publishers", "3", "--batch", "64", "--streams", "5",
             "--server-pid", std::to_string(gateway_.process().pid())});
  EXPECT_EQ(finished.exit_code, 0) << finished.stderr_text;
  EXPECT_EQ(number(finished, "events"), 1000);
  EXPECT_EQ(number(finished, "refused"), 0);
  EXPECT_GT(number(finished, "batch_p50_us"), 0);
  EXPECT_GT(number(finished, "server_rss_bytes"), 0);
  const Finished streams = run_program({tidegate_path(), "--server", gateway_.grpc(), "stream",
                                        "ls", "bench.ingest.", "-o", "json"});
  simdjson::dom::parser parser;
  std::uint64_t events = 0;
  for (const auto stream : parser.parse(streams.stdout_text).get_array()) {
    events += std::uint64_t{stream["last_revision"]};
  }
  EXPECT_EQ(events, 1000U);
}

TEST_F(BenchTest, FanoutDeliversEverythingOnceInBothForms) {
  for (const char* form : {"json", "proto"}) {
    const Finished finished = fanout({"--subscribers", "20", "--events", "500", "--window", "64",
                                      "--threads", "2", "--form", form});
    EXPECT_EQ(finished.exit_code, 0) << finished.stderr_text;
    EXPECT_EQ(number(finished, "deliveries"), 10'000);
    EXPECT_EQ(number(finished, "lost"), 0);
    EXPECT_EQ(number(finished, "duplicated"), 0);
    EXPECT_EQ(number(finished, "out_of_order"), 0);
  }
}

TEST_F(BenchTest, FanoutKeepsToARate) {
  const Finished finished = fanout({"--subscribers", "5", "--events", "100", "--rate", "200"});
  EXPECT_EQ(finished.exit_code, 0) << finished.stderr_text;
  EXPECT_EQ(number(finished, "deliveries"), 500);
  // The last of 100 events is due after 99/200 s.
  EXPECT_GE(number(finished, "seconds"), 0.495);
}

TEST_F(BenchTest, RefusesMoreSubscribersThanThereAreFiles) {
  const Finished finished =
      run_program({"/usr/bin/prlimit", "--nofile=300:300", tidegate_path(), "--server",
                   gateway_.grpc(), "bench", "fanout", "--http", gateway_.http()});
  EXPECT_EQ(finished.exit_code, 2);
  EXPECT_NE(finished.stderr_text.find("at most 200 subscribers"), std::string::npos)
      << finished.stderr_text;
}

TEST_F(BenchTest, SaysThatThereIsNoGateway) {
  const std::string grpc = gateway_.grpc();
  gateway_.kill();
  const Finished finished =
      run_program({tidegate_path(), "--server", grpc, "bench", "ingest", "--duration", "1s"});
  EXPECT_EQ(finished.exit_code, 6);
  EXPECT_NE(finished.stderr_text.find(grpc), std::string::npos) << finished.stderr_text;
}

}  // namespace
}  // namespace tidegate::test
