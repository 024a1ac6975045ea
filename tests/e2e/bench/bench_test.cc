#include <simdjson.h>
#include <string>
#include <vector>

#include "tests/e2e/bench/bench_fixture.h"

namespace tidegate::test {
namespace {

TEST_F(BenchTest, IngestPublishesWhatItSays) {
  const Finished finished = bench({"ingest", "--events", "1000", "--publishers", "3", "--batch",
                                   "64", "--streams", "5", "--server-pid", gateway_pid()});
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
    const Finished finished =
        subscribers("fanout", {"--subscribers", "20", "--events", "500", "--window", "64",
                               "--threads", "2", "--form", form});
    expect_all_once_in_order(finished);
    EXPECT_EQ(number(finished, "deliveries"), 10'000);
  }
}

TEST_F(BenchTest, FanoutKeepsToARate) {
  const Finished finished =
      subscribers("fanout", {"--subscribers", "5", "--events", "100", "--rate", "200"});
  EXPECT_EQ(finished.exit_code, 0) << finished.stderr_text;
  EXPECT_EQ(number(finished, "deliveries"), 500);
  // The last of 100 events is due after 99/200 s.
  EXPECT_GE(number(finished, "seconds"), 0.495);
}

TEST_F(BenchTest, LatencyKeepsToItsOwnRate) {
  const Finished finished = subscribers("latency", {"--subscribers", "5", "--events", "20"});
  expect_all_once_in_order(finished);
  EXPECT_EQ(number(finished, "rate"), 50);
  EXPECT_EQ(number(finished, "deliveries"), 100);
  EXPECT_GE(number(finished, "seconds"), 0.38);
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
