#pragma once

#include <simdjson.h>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/gateway_process.h"

namespace tidegate::test {

// The benchmarks against a real gateway: they must end, and count right. How fast it was is not
// looked at: that depends on the machine.
// Thread: caller serialises.
class BenchTest : public testing::Test {
 protected:
  // `tidegate bench ...` with JSON output.
  Finished bench(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(),
                     {tidegate_path(), "--server", gateway_.grpc(), "-o", "json", "bench"});
    return run_program(arguments);
  }
  // A scenario with WebSocket subscribers.
  Finished subscribers(const std::string& scenario, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {scenario, "--http", gateway_.http()});
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

  static void expect_all_once_in_order(const Finished& finished) {
    EXPECT_EQ(finished.exit_code, 0) << finished.stderr_text;
    EXPECT_EQ(number(finished, "lost"), 0);
    EXPECT_EQ(number(finished, "duplicated"), 0);
    EXPECT_EQ(number(finished, "out_of_order"), 0);
  }

  std::string gateway_pid() { return std::to_string(gateway_.process().pid()); }

  GatewayProcess gateway_;
};

}  // namespace tidegate::test
