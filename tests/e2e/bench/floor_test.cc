// What is measured without a gateway is measured at all; the figures are not looked at.

#include <string>

#include <gtest/gtest.h>

#include "tests/support/gateway_process.h"
#include "tests/support/ws_client.h"

namespace tidegate::test {
namespace {

const std::string kFloor = TIDEGATE_BIN_DIR "/tidegate_floor";

TEST(FloorTest, MeasuresSends) {
  const Finished finished =
      run_program({kFloor, "sends", "--subscribers", "20", "--events", "5", "--rate", "1000"});
  EXPECT_EQ(finished.exit_code, 0) << finished.stderr_text;
  EXPECT_NE(json_field(finished.stdout_text, "delivery_p50_us"), "") << finished.stdout_text;
}

TEST(FloorTest, MeasuresSendsOfWhatIsSynced) {
  const TempDir files;
  const auto measure = [](const std::string& directory) {
    return run_program({kFloor, "sends", "--subscribers", "2", "--events", "5", "--rate", "1000",
                        "--sync-dir", directory});
  };
  const Finished finished = measure(files.file(""));
  EXPECT_EQ(finished.exit_code, 0) << finished.stderr_text;
  EXPECT_NE(json_field(finished.stdout_text, "delivery_p50_us"), "") << finished.stdout_text;
  EXPECT_NE(measure(files.file("none")).exit_code, 0);
}

TEST(FloorTest, MeasuresPings) {
  const Finished finished =
      run_program({kFloor, "pings", "--connections", "20", "--period-ms", "500"});
  EXPECT_EQ(finished.exit_code, 0) << finished.stderr_text;
  EXPECT_EQ(json_field(finished.stdout_text, "pings"), "20") << finished.stdout_text;
}

TEST(FloorTest, MeasuresSyncsAndRefusesAFolderThatIsNotThere) {
  const TempDir files;
  const Finished finished =
      run_program({kFloor, "fdatasync", "--times", "3", "--dir", files.file("")});
  EXPECT_EQ(finished.exit_code, 0) << finished.stderr_text;
  EXPECT_NE(json_field(finished.stdout_text, "fdatasync_p50_us"), "") << finished.stdout_text;
  EXPECT_NE(run_program({kFloor, "fdatasync", "--dir", files.file("none")}).exit_code, 0);
}

}  // namespace
}  // namespace tidegate::test
