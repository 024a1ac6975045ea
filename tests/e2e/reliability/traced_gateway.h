#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/gateway_process.h"
#include "tests/support/temp_dir.h"

namespace tidegate::test {

// A gateway under strace, which injects a fault at one of its syncs and writes down what was
// synced. After its end the power can be cut: what was written to a write-ahead log and not synced
// is taken away, as a machine would.
//
// strace counts `when=N` per thread, so N counts the syncs of the thread that opens the log while
// it is opened, and those of the appender, one per group, from then on. Thread: caller serialises.
class TracedGateway {
 public:
  // `injection` is what stands behind "fdatasync:", e.g. "signal=SIGKILL:when=7".
  TracedGateway(const std::string& program, const std::string& data_dir,
                const std::string& injection, const std::vector<std::string>& flags = {});

  // False when it ended before it listened.
  bool wait_until_it_listens();
  const std::string& grpc() const { return grpc_; }
  ChildProcess& process() { return process_; }

  // After the end of the process. Returns how many bytes were taken away.
  std::uint64_t lose_unsynced();

 private:
  struct Call {
    std::string name;
    std::string path;
  };
  void read_trace();
  void read_line(const std::string& line);
  void conclude(const Call& call, const std::string& result);

  TempDir files_;
  ChildProcess process_;
  std::string grpc_;
  std::map<std::string, Call> unfinished_;         // by thread
  std::map<std::string, std::uint64_t> unsynced_;  // bytes by path
};

// The flags of a real gateway on free ports, with disk limits that suit a test.
std::vector<std::string> tidegated_flags();

}  // namespace tidegate::test
