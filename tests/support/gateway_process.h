#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "tests/support/tcp_client.h"
#include "tests/support/temp_dir.h"

namespace tidegate::test {

// A program under test as a process of its own, with stdout and stderr in files. Killed when the
// object goes. Thread: caller serialises.
class ChildProcess {
 public:
  // `arguments` begin with the program's path. `environment` is added to this process's own.
  explicit ChildProcess(const std::vector<std::string>& arguments,
                        const std::map<std::string, std::string>& environment = {});
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  void signal(int number);
  // The exit code, or 128 + the signal that ended it; nothing when it still runs after `time`.
  std::optional<int> wait_exit(Milliseconds time = kPatience);
  bool is_alive() { return !wait_exit(Milliseconds(0)).has_value(); }
  std::string stdout_text() const { return read_file(files_.file("stdout")); }
  std::string stderr_text() const { return read_file(files_.file("stderr")); }

 private:
  TempDir files_;
  pid_t pid_ = -1;
  int exit_fd_ = -1;  // becomes readable when the process ends
  std::optional<int> exit_code_;
};

// A running tidegated on free ports, with a data directory of its own or a given one.
//
//   GatewayProcess gateway;
//   WsClient client = WsClient::connect(gateway.http());
//   gateway.kill();                    // as a crash
//   gateway.start();                   // again on the same data, on other ports
//   EXPECT_EQ(gateway.terminate(), 0);
// Thread: caller serialises.
class GatewayProcess {
 public:
  struct Options {
    // Added to --data, --http, --grpc and --admin. Small disk limits are always set, so that a
    // nearly full build machine does not turn a test red.
    std::vector<std::string> flags = {};
    std::map<std::string, std::string> environment = {};
    // Empty: a temporary directory, removed at the end.
    std::string data_dir = {};
    // Put before the program (strace and its arguments, for example).
    std::vector<std::string> wrapper = {};
  };

  // Starts it and waits for the listening lines; a failure fails the test.
  GatewayProcess();
  explicit GatewayProcess(Options options);

  // Starts it again after it has ended.
  void start();

  const std::string& http() const { return http_; }  // "127.0.0.1:41233"
  const std::string& grpc() const { return grpc_; }
  const std::string& admin() const { return admin_; }
  const std::string& data_dir() const { return data_dir_; }

  ChildProcess& process() { return *process_; }
  bool is_alive() { return process_->is_alive(); }
  // kill -9, and waits for the end.
  void kill();
  // SIGTERM, and waits for the exit code; -1 when it does not come in time.
  int terminate(Milliseconds time = kPatience);
  std::string stderr_text() const { return process_->stderr_text(); }

 private:
  bool read_listening_lines();

  Options options_;
  TempDir temp_;
  std::string data_dir_;
  std::unique_ptr<ChildProcess> process_;
  std::string http_;
  std::string grpc_;
  std::string admin_;
};

// The programs of this build.
std::string tidegated_path();
std::string tidegate_path();

// The value of a series of /metrics (`name` or `name{label="value"}`); 0 when it is not there.
double metric(const GatewayProcess& gateway, const std::string& series);
// Lines of the gateway's log with this text so far.
std::size_t log_lines(const GatewayProcess& gateway, std::string_view text);
// The same once there are `wanted`, or when the time is over: a line may come after its cause.
std::size_t await_log_lines(const GatewayProcess& gateway, std::string_view text,
                            std::size_t wanted);

// Runs a program to its end.
struct Finished {
  int exit_code = -1;  // -1: it did not end in time and was killed
  std::string stdout_text;
  std::string stderr_text;
};
Finished run_program(const std::vector<std::string>& arguments,
                     const std::map<std::string, std::string>& environment = {},
                     Milliseconds time = kPatience);

}  // namespace tidegate::test
