#include "tests/e2e/reliability/traced_gateway.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "tests/e2e/reliability/under_test.h"

namespace tidegate::test {
namespace {

namespace fs = std::filesystem;

constexpr Milliseconds kStartTime{60'000};

std::vector<std::string> traced_command(const std::string& trace, const std::string& program,
                                        const std::string& data_dir, const std::string& injection,
                                        const std::vector<std::string>& flags) {
  // -D: the gateway, not strace, is our child. No --seccomp-bpf: with it strace 6.1 injects no
  // signal.
  std::vector<std::string> command = {"strace", "-D",
                                      "-f",     "-y",
                                      "-s",     "0",
                                      "-o",     trace,
                                      "-e",     "trace=write,pwrite64,fdatasync",
                                      "-e",     "inject=fdatasync:" + injection,
                                      program,  "--data",
                                      data_dir};
  command.insert(command.end(), flags.begin(), flags.end());
  return command;
}

}  // namespace

std::vector<std::string> tidegated_flags() {
  return {
      "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0",     "--disk-soft",
      "8MiB",   "--disk-hard", "4MiB",   "--ballast",   "0",       "--logging-level", "error"};
}

// LeakSanitizer cannot work under another tracer.
TracedGateway::TracedGateway(const std::string& program, const std::string& data_dir,
                             const std::string& injection, const std::vector<std::string>& flags)
    : process_(traced_command(files_.file("trace"), program, data_dir, injection, flags),
               {{"ASAN_OPTIONS", "detect_leaks=0"}}) {}

bool TracedGateway::wait_until_it_listens() {
  const std::string line = "listening grpc ";
  eventually(
      [&] {
        const std::string text = process_.stdout_text();
        const std::size_t at = text.find(line);
        const std::size_t end = at == std::string::npos ? at : text.find('\n', at);
        if (end != std::string::npos) grpc_ = text.substr(at + line.size(), end - at - line.size());
        return !grpc_.empty() || !process_.is_alive();
      },
      kStartTime);
  return !grpc_.empty();
}

std::uint64_t TracedGateway::lose_unsynced() {
  read_trace();
  std::uint64_t lost = 0;
  for (const auto& [traced_path, bytes] : unsynced_) {
    fs::path path = traced_path;
    // A new log is built aside and renamed when it is whole.
    const std::size_t aside = traced_path.find("/.new/");
    if (!fs::exists(path) && aside != std::string::npos)
      path = traced_path.substr(0, aside) + traced_path.substr(aside + 5);
    if (bytes == 0 || !fs::exists(path)) continue;
    const std::uint64_t size = fs::file_size(path);
    EXPECT_GE(size, bytes) << path;
    fs::resize_file(path, size - std::min(size, bytes));
    lost += bytes;
  }
  return lost;
}

void TracedGateway::read_trace() {
  // strace is not our child: its last line tells that it is done.
  const std::string end = std::to_string(process_.pid()) + " ";
  std::string text;
  EXPECT_TRUE(eventually([&] {
    text = read_file(files_.file("trace"));
    const std::size_t last = text.rfind("\n" + end);
    return last != std::string::npos && text.find("+++", last) != std::string::npos &&
           text.ends_with("+++\n");
  })) << "strace does not end: "
      << process_.stderr_text();
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) read_line(line);
}

// "123 write(8</d/db/000004.log>, ""..., 99) = 99", or the same in two lines: "... <unfinished
// ...>" and "123 <... write resumed>) = 99".
void TracedGateway::read_line(const std::string& line) {
  const std::string thread = line.substr(0, line.find(' '));
  const std::size_t result_at = line.rfind(" = ");
  const std::string result = result_at == std::string::npos ? "" : line.substr(result_at + 3);
  if (line.find("<... ") != std::string::npos) {
    const auto call = unfinished_.find(thread);
    if (call == unfinished_.end()) return;
    conclude(call->second, result);
    unfinished_.erase(call);
    return;
  }
  const std::size_t name_at = line.find_first_not_of(' ', thread.size());
  const std::size_t open = line.find('(');
  const std::size_t path_at = line.find('<');
  const std::size_t path_end = line.find('>', path_at);
  if (name_at == std::string::npos || open == std::string::npos || path_end == std::string::npos)
    return;
  const Call call{line.substr(name_at, open - name_at),
                  line.substr(path_at + 1, path_end - path_at - 1)};
  if (!call.path.ends_with(".log")) return;
  if (line.find("<unfinished ...>") != std::string::npos) {
    unfinished_[thread] = call;
  } else {
    conclude(call, result);
  }
}

// One thread writes and syncs a write-ahead log, so a sync that succeeded covers all that was
// written before.
void TracedGateway::conclude(const Call& call, const std::string& result) {
  if (call.name == "fdatasync") {
    if (result == "0") unsynced_[call.path] = 0;
  } else if (!result.empty() && result[0] >= '0' && result[0] <= '9') {
    unsynced_[call.path] += std::strtoull(result.c_str(), nullptr, 10);
  }
}

}  // namespace tidegate::test
