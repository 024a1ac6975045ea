#include "tests/e2e/cli/cli_fixture.h"

namespace tidegate::test {
namespace {

TEST_F(CliTest, ListsStreams) {
  import(10);
  const Finished list = run({"stream", "ls"});
  EXPECT_EQ(line_count(list.stdout_text), 6U) << list.stdout_text;
  EXPECT_EQ(list.stdout_text.rfind("NAME", 0), 0U);
  EXPECT_EQ(line_count(run({"stream", "ls", "n.1", "-o", "jsonl"}).stdout_text), 1U);
  EXPECT_EQ(run({"stream", "ls", "x", "-o", "json"}).stdout_text, "[]\n");
  const Finished info = run({"stream", "info", "n.1", "-o", "json"});
  EXPECT_TRUE(contains(info.stdout_text,
                       R"("name":"n.1","first_revision":1,"last_revision":2,"last_sequence":7)"))
      << info.stdout_text;
  const Finished none = run({"stream", "info", "x"});
  EXPECT_EQ(none.exit_code, 3);
  EXPECT_EQ(none.stdout_text, "");
}

TEST_F(CliTest, TellsTheState) {
  const Finished status = run({"server", "status"});
  EXPECT_EQ(status.exit_code, 0) << status.stderr_text;
  EXPECT_TRUE(contains(status.stdout_text, "serving")) << status.stdout_text;
}

TEST_F(CliTest, TrimsOnlyWhenTold) {
  import(10);
  const Finished dry = run({"log", "trim", "--before", "4", "--dry-run", "-o", "json"});
  EXPECT_EQ(dry.stdout_text, "{\"floor\":4,\"removed\":3}\n") << dry.stderr_text;
  EXPECT_TRUE(contains(run({"log", "info", "-o", "json"}).stdout_text, R"("floor":1,)"));
  const Finished trimmed = run({"log", "trim", "--before", "4", "--yes", "-o", "json"});
  EXPECT_EQ(trimmed.stdout_text, "{\"floor\":4,\"removed\":3}\n") << trimmed.stderr_text;
  EXPECT_EQ(sequences(run({"read", "--limit", "1"}).stdout_text), std::vector<int>{4});
  EXPECT_EQ(run({"read", "--from", "2"}).exit_code, 4);
}

TEST_F(CliTest, LooksAtALogOnlineAndOffline) {
  import(50);
  const Finished online = run({"log", "info", "-o", "json"});
  EXPECT_TRUE(contains(online.stdout_text, R"("head":{"sequence":50,"position":")"))
      << online.stdout_text;
  const Finished verified = run({"log", "verify", "-o", "json"});
  EXPECT_EQ(verified.exit_code, 0) << verified.stderr_text;
  EXPECT_EQ(verified.stdout_text, "{\"clean\":true,\"examined\":50,\"problems\":[]}\n");

  ASSERT_EQ(gateway_.terminate(), 0);
  const Finished offline = run({"log", "info", "--data", gateway_.data_dir(), "-o", "json"});
  const std::string head = online.stdout_text.substr(0, online.stdout_text.find("\"bytes\""));
  EXPECT_EQ(offline.stdout_text.substr(0, head.size()), head) << offline.stderr_text;
  const Finished checked = run({"log", "verify", "--data", gateway_.data_dir(), "-o", "json"});
  EXPECT_EQ(checked.stdout_text, verified.stdout_text) << checked.stderr_text;
}

TEST_F(CliTest, OfflineCommandsKeepOffAnOpenDirectory) {
  const Finished loss = run({"log", "accept-loss", "--data", gateway_.data_dir(), "--yes"});
  EXPECT_NE(loss.exit_code, 0);
  EXPECT_TRUE(contains(loss.stderr_text, std::to_string(gateway_.process().pid())))
      << loss.stderr_text;
  EXPECT_NE(run({"log", "info", "--data", dir_.file("missing")}).exit_code, 0);
}

}  // namespace
}  // namespace tidegate::test
