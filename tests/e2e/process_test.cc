// tidegated as a process: listening lines, exit codes, configuration errors, the admin pages, and
// the end by signal.

#include <algorithm>
#include <arpa/inet.h>
#include <csignal>
#include <functional>
#include <map>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/gateway_process.h"
#include "tests/support/ws_client.h"

namespace tidegate::test {
namespace {

Finished run_gateway(const std::vector<std::string>& arguments,
                     const std::map<std::string, std::string>& environment = {}) {
  std::vector<std::string> command = {tidegated_path()};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return run_program(command, environment);
}

void expect_in(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts)
    EXPECT_NE(text.find(part), std::string::npos) << part << " is not in:\n" << text;
}

std::string eventually(const std::function<std::string()>& read, const std::string& part) {
  const Deadline deadline(kPatience);
  std::string text;
  do {
    text = read();
  } while (text.find(part) == std::string::npos && !deadline.is_over());
  return text;
}

TEST(ProcessTest, PrintsItsListenersInOrder) {
  GatewayProcess gateway;
  EXPECT_EQ(gateway.process().stdout_text(), "listening http " + gateway.http() +
                                                 "\nlistening grpc " + gateway.grpc() +
                                                 "\nlistening admin " + gateway.admin() + "\n");
  WsClient::connect(gateway.http()).expect("welcome");
  EXPECT_EQ(gateway.terminate(), 0);
}

TEST(ProcessTest, TellsItsSupervisor) {
  const TempDir dir;
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const std::string path = dir.file("notify");
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  GatewayProcess gateway({.environment = {{"NOTIFY_SOCKET", path}}});
  std::string state(64, '\0');
  const ssize_t count = ::recv(fd, state.data(), state.size(), 0);
  ::close(fd);
  EXPECT_EQ(state.substr(0, static_cast<std::size_t>(std::max<ssize_t>(0, count))), "READY=1");
}

TEST(ProcessTest, AnswersQuestions) {
  const Finished help = run_gateway({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  expect_in(help.stdout_text,
            {"--data", "--http", "--log-store-tail-bytes", "[256MiB]", "--shutdown-drain-ms"});
  const Finished version = run_gateway({"--version"});
  EXPECT_EQ(version.exit_code, 0);
  expect_in(version.stdout_text, {"tidegated 0."});
}

TEST(ProcessTest, RefusesAWrongCommandLine) {
  const std::vector<std::vector<std::string>> wrong = {
      {}, {"--nonsense"}, {"--data"}, {"serve"}, {"--data", "/tmp/x", "extra"}};
  for (const auto& arguments : wrong) {
    const Finished finished = run_gateway(arguments);
    EXPECT_EQ(finished.exit_code, 64) << finished.stderr_text;
    EXPECT_NE(finished.stderr_text, "");
    EXPECT_EQ(finished.stdout_text, "");
  }
}

TEST(ProcessTest, TellsAllConfigurationErrorsWithTheirPlaces) {
  const TempDir dir;
  const std::string file = dir.file("tidegate.toml");
  write_file(file,
             "[http]\n"
             "listen = \"127.0.0.1:70000\"\n"
             "max_connections = -1\n"
             "colour = \"blue\"\n"
             "\n"
             "[log_store]\n"
             "tail_bytes = \"64 parsecs\"\n"
             "ingest_queue_bytes = true\n"
             "[nonsense]\n"
             "a = 1\n"
             "[logging]\n"
             "level = \"loud\"\n");
  const Finished finished =
      run_gateway({"--config", file, "--data", dir.file("data"), "--grpc", "nowhere"},
                  {{"TIDEGATE_DELIVERY__HEARTBEAT_MS", "0"}, {"TIDEGATE_HTTP__COLOUR", "red"}});
  EXPECT_EQ(finished.exit_code, 78);
  expect_in(finished.stderr_text,
            {file + ":2:", file + ":3:", file + ":4:1: unknown key \"http.colour\"",
             file + ":7:", file + ":8:", file + ":9:", file + ":12:", "--grpc:",
             "TIDEGATE_DELIVERY__HEARTBEAT_MS:", "TIDEGATE_HTTP__COLOUR:"});
}

TEST(ProcessTest, RefusesWrongValues) {
  const TempDir dir;
  const auto with = [&dir](std::vector<std::string> flags) {
    flags.insert(flags.end(), {"--data", dir.file("data")});
    return run_gateway(flags);
  };
  const std::vector<std::vector<std::string>> wrong = {
      {"--log-store-tail-bytes", "0"},
      {"--log-store-tail-bytes", "-5"},
      {"--log-store-tail-bytes", "9999TiB"},
      {"--disk-soft", "8MiB", "--disk-hard", "9MiB"},
      {"--shutdown-drain-ms", "0"},
      {"--logging-format", "xml"},
      {"--projections-enabled", "maybe"},
      {"--projections-row-cache-bytes", "1"},
      {"--projections-presence", "true", "--projections-enabled", "false"},
      {"--config", dir.file("does-not-exist")},
  };
  for (const auto& flags : wrong) {
    const Finished finished = with(flags);
    EXPECT_EQ(finished.exit_code, 78) << flags[1] << ": " << finished.stderr_text;
  }
  write_file(dir.file("twice.toml"),
             "[http]\nlisten = \"127.0.0.1:0\"\nlisten = \"127.0.0.1:0\"\n");
  const Finished twice = with({"--config", dir.file("twice.toml")});
  EXPECT_EQ(twice.exit_code, 78);
  expect_in(twice.stderr_text, {"twice.toml:3:"});
}

TEST(ProcessTest, ListensOnLoopbackOnlyWithoutAuthentication) {
  const TempDir dir;
  for (const char* flag : {"--http", "--grpc", "--admin"}) {
    const Finished finished = run_gateway({"--data", dir.file("data"), flag, "0.0.0.0:0"});
    EXPECT_EQ(finished.exit_code, 78);
    expect_in(finished.stderr_text, {flag, "authentication"});
  }
}

TEST(ProcessTest, FlagsWinOverTheEnvironmentAndThatOverTheFile) {
  const TempDir dir;
  write_file(dir.file("a.toml"), "[http]\nmax_connections = 1\n[shutdown]\ndrain_ms = 1000\n");
  GatewayProcess gateway({.flags = {"--http-max-connections", "3", "--config", dir.file("a.toml")},
                          .environment = {{"TIDEGATE_HTTP__MAX_CONNECTIONS", "2"}}});
  std::vector<WsClient> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(WsClient::connect(gateway.http()));
    clients.back().expect("welcome");
  }
  HttpReply reply;
  EXPECT_FALSE(WsClient::try_connect(gateway.http(), {}, &reply));
  EXPECT_EQ(reply.status, 503);
}

TEST(ProcessTest, EndsWith71WhenAnAddressIsInUse) {
  GatewayProcess gateway;
  const TempDir dir;
  for (const auto& [flag, address] :
       {std::pair{"--http", gateway.http()}, std::pair{"--grpc", gateway.grpc()},
        std::pair{"--admin", gateway.admin()}}) {
    std::vector<std::string> flags = {"--data",      dir.file("data"), "--http",      "127.0.0.1:0",
                                      "--grpc",      "127.0.0.1:0",    "--admin",     "127.0.0.1:0",
                                      "--disk-soft", "8MiB",           "--disk-hard", "4MiB"};
    flags.insert(flags.end(), {flag, address});
    const Finished finished = run_gateway(flags);
    EXPECT_EQ(finished.exit_code, 71) << finished.stderr_text;
    expect_in(finished.stderr_text, {address});
    EXPECT_EQ(finished.stdout_text, "");
  }
  EXPECT_TRUE(gateway.is_alive());
}

TEST(ProcessTest, EndsWith75WhenTheLogIsInUse) {
  GatewayProcess gateway;
  const Finished finished = run_gateway({"--data", gateway.data_dir(), "--http", "127.0.0.1:0",
                                         "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0"});
  EXPECT_EQ(finished.exit_code, 75) << finished.stderr_text;
  WsClient::connect(gateway.http()).expect("welcome");
}

TEST(ProcessTest, ServesTheAdminPages) {
  GatewayProcess gateway;
  EXPECT_EQ(http_get(gateway.admin(), "/livez").status, 200);
  const HttpReply ready = http_get(gateway.admin(), "/readyz");
  EXPECT_EQ(ready.status, 200);
  expect_in(ready.body, {"\"status\":\"ready\"", "\"reasons\":[]"});
  EXPECT_EQ(http_get(gateway.admin(), "/nothing").status, 404);
  TcpClient post(gateway.admin());
  post.send("POST /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(HttpReply::parse(post.receive_all().value_or("")).status, 405);
  TcpClient foreign(gateway.admin());
  foreign.send("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n");
  EXPECT_EQ(HttpReply::parse(foreign.receive_all().value_or("")).status, 403);
}

TEST(ProcessTest, CountsWhatHappens) {
  GatewayProcess gateway;
  WsClient client = WsClient::connect(gateway.http());
  client.expect("welcome");
  client.send_text(
      R"({"op":"publish","request":"r","stream":"a.b","event":{"specversion":"1.0","id":"1","source":"/s","type":"t"}})");
  client.expect("published");
  client.send_text(R"({"op":"subscribe","id":"s","streams":["a.>"],"after":0})");
  client.expect("subscribed");
  client.expect("events");
  const HttpReply metrics = http_get(gateway.admin(), "/metrics");
  EXPECT_EQ(metrics.status, 200);
  EXPECT_EQ(metrics.field("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
  expect_in(metrics.body, {"tidegate_connections{transport=\"websocket\"} 1",
                           "tidegate_messages_received_total 2",
                           "tidegate_messages_sent_total ",
                           "tidegate_received_bytes_total ",
                           "tidegate_sent_bytes_total ",
                           "tidegate_events_delivered_total 1",
                           "tidegate_connection_duration_seconds_count",
                           "tidegate_heartbeat_failures_total{cause=\"no_pong\"} 0",
                           "tidegate_resumes_total{result=\"tail\"} 1",
                           "tidegate_resumes_total{result=\"gap\"} 0",
                           "tidegate_append_duration_seconds_bucket{stage=\"queue\",le=",
                           "tidegate_append_duration_seconds_count{stage=\"commit\"} 1",
                           "tidegate_append_batch_events_sum 1",
                           "tidegate_ingest_queue_bytes 0",
                           "tidegate_log_head_sequence 1",
                           "tidegate_log_floor_sequence 1",
                           "tidegate_tail_bytes ",
                           "tidegate_subscribers_behind 0",
                           "tidegate_subscriptions 1",
                           "tidegate_build_info{"});
  eventually([&gateway] { return http_get(gateway.admin(), "/metrics").body; },
             "tidegate_loop_lag_seconds_count");
  client.send_close(1000);
  client.expect_close();
  client.socket().close();
  const std::string closed =
      "tidegate_connections_closed_total{reason=\"peer\",transport=\"websocket\"} 1";
  expect_in(eventually([&gateway] { return http_get(gateway.admin(), "/metrics").body; }, closed),
            {closed});
}

TEST(ProcessTest, CountsWhatProjectionsFold) {
  GatewayProcess gateway({.flags = {"--projections-built-in", "true"}});
  WsClient client = WsClient::connect(gateway.http());
  client.expect("welcome");
  client.send_text(
      R"({"op":"publish","request":"r","stream":"a.b","event":{"specversion":"1.0","id":"1","source":"/s","type":"t"}})");
  client.expect("published");
  const std::string folded = "tidegate_projection_events_total{projection=\"_streams\"} 1";
  const auto metrics = [&gateway] { return http_get(gateway.admin(), "/metrics").body; };
  eventually(metrics, folded);
  expect_in(eventually(metrics, "tidegate_projection_behind{projection=\"_streams\"} 0"),
            {folded, "tidegate_projection_behind{projection=\"_streams\"} 0",
             "tidegate_projection_running{projection=\"_streams\"} 1", "tidegate_watches 0"});
}

TEST(ProcessTest, RunsWithoutProjections) {
  GatewayProcess gateway({.flags = {"--projections-enabled", "false"}});
  WsClient client = WsClient::connect(gateway.http());
  client.expect("welcome");
  client.send_text(R"({"op":"query","request":"q","projection":"_streams"})");
  const std::string refused = client.expect("error");
  EXPECT_EQ(json_field(refused, "code"), "unsupported");
  expect_in(refused, {"projections.enabled"});
  const std::string metrics = http_get(gateway.admin(), "/metrics").body;
  EXPECT_EQ(metrics.find("{projection="), std::string::npos);
}

TEST(ProcessTest, DrainsOnSigterm) {
  GatewayProcess gateway;
  WsClient first = WsClient::connect(gateway.http());
  WsClient second = WsClient::connect(gateway.http(), {.protocol = "tidegate.v1.proto"});
  first.expect("welcome");
  ASSERT_TRUE(second.read_message());
  gateway.process().signal(SIGTERM);
  const std::string closing = first.expect("closing");
  EXPECT_NE(json_field(closing, "reconnect_after_ms"), "");
  EXPECT_EQ(first.expect_close(), 1012);
  first.send_close(1012);
  first.socket().close();
  EXPECT_EQ(second.expect_close(), 1012);
  second.send_close(1012);
  second.socket().close();
  EXPECT_EQ(gateway.process().wait_exit(), 0) << gateway.stderr_text();
}

TEST(ProcessTest, IsNotReadyWhileItDrains) {
  GatewayProcess gateway;
  WsClient client = WsClient::connect(gateway.http());
  client.expect("welcome");
  gateway.process().signal(SIGTERM);
  // The client does not answer the close frame, so the drain lasts five seconds.
  EXPECT_EQ(client.expect_close(), 1012);
  const HttpReply ready = http_get(gateway.admin(), "/readyz");
  EXPECT_EQ(ready.status, 503);
  expect_in(ready.body, {"draining"});
  EXPECT_EQ(http_get(gateway.admin(), "/livez").status, 200);
  EXPECT_EQ(gateway.process().wait_exit(), 0);
}

TEST(ProcessTest, ASecondSignalEndsTheDrain) {
  GatewayProcess gateway;
  WsClient client = WsClient::connect(gateway.http());
  client.expect("welcome");
  gateway.process().signal(SIGTERM);
  client.expect("closing");
  gateway.process().signal(SIGINT);
  EXPECT_EQ(gateway.process().wait_exit(Milliseconds(4'000)), 0) << gateway.stderr_text();
}

TEST(ProcessTest, KeepsItsLogOverRestarts) {
  GatewayProcess gateway;
  const std::string publish =
      R"({"op":"publish","request":"r","stream":"a.b","event":{"specversion":"1.0","id":"1","source":"/s","type":"t"}})";
  WsClient before = WsClient::connect(gateway.http());
  const std::string log = json_field(before.expect("welcome"), "log");
  before.send_text(publish);
  const std::string position = json_field(before.expect("published"), "position");
  gateway.kill();
  gateway.start();
  WsClient after = WsClient::connect(gateway.http());
  EXPECT_EQ(json_field(after.expect("welcome"), "log"), log);
  after.send_text(publish);
  const std::string again = after.expect("published");
  EXPECT_EQ(json_field(again, "position"), position);
  EXPECT_EQ(json_field(again, "deduplicated"), "true");
}

TEST(ProcessTest, ReloadsTheLogLevelAndNamesWhatNeedsARestart) {
  const TempDir dir;
  const std::string file = dir.file("a.toml");
  write_file(file, "[logging]\nlevel = \"info\"\n");
  GatewayProcess gateway({.flags = {"--config", file}});
  write_file(file, "[logging]\nlevel = \"debug\"\n[http]\nmax_connections = 5\n");
  gateway.process().signal(SIGHUP);
  const std::string lines =
      eventually([&gateway] { return gateway.stderr_text(); }, "was reloaded");
  expect_in(lines, {"needs a restart", "http.max_connections"});
  WsClient::connect(gateway.http()).expect("welcome");
  expect_in(eventually([&gateway] { return gateway.stderr_text(); }, "WebSocket connection begins"),
            {"WebSocket connection begins"});
  write_file(file, "[logging\n");
  gateway.process().signal(SIGHUP);
  expect_in(eventually([&gateway] { return gateway.stderr_text(); }, "was not reloaded"),
            {"was not reloaded"});
  EXPECT_TRUE(gateway.is_alive());
}

}  // namespace
}  // namespace tidegate::test
