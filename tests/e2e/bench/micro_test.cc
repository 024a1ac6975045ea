// Every micro-benchmark runs; what it measures is not looked at.

#include <sstream>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/gateway_process.h"

namespace tidegate::test {
namespace {

// Making a million subscriptions takes a second, and ten on a busy machine.
constexpr Milliseconds kPatienceForAll{100'000};

Finished micro(const std::string& flag) {
  return run_program({TIDEGATE_BIN_DIR "/tidegate_micro", flag}, {}, kPatienceForAll);
}

TEST(MicroTest, EveryBenchmarkRuns) {
  const Finished listed = micro("--benchmark_list_tests");
  ASSERT_EQ(listed.exit_code, 0) << listed.stderr_text;
  // So short that one iteration is enough.
  const Finished finished = micro("--benchmark_min_time=1e-9");
  EXPECT_EQ(finished.exit_code, 0) << finished.stderr_text;
  std::istringstream names(listed.stdout_text);
  std::size_t count = 0;
  for (std::string name; std::getline(names, name); ++count) {
    EXPECT_NE(finished.stdout_text.find("\n" + name + " "), std::string::npos)
        << name << " is missing in:\n"
        << finished.stdout_text;
  }
  EXPECT_GT(count, 0U);
}

}  // namespace
}  // namespace tidegate::test
