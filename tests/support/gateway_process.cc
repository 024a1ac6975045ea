#include "tests/support/gateway_process.h"

#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sstream>
#include <string_view>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <gtest/gtest.h>

namespace tidegate::test {
namespace {

// A new log is synced a few times; on a busy build machine with sanitizers that takes its time.
constexpr Milliseconds kStartTime{60'000};
// The listening lines are read from a file, which tells nobody that it grew.
constexpr int kLookAgainMs = 5;

// This process's environment with changes, for a child.
std::vector<std::string> changed_environment(const std::map<std::string, std::string>& changes) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    if (!changes.contains(std::string(text.substr(0, text.find('='))))) all.emplace_back(text);
  }
  for (const auto& [name, value] : changes) all.push_back(name + "=" + value);
  return all;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& arguments,
                           const std::map<std::string, std::string>& environment) {
  // Not fork and exec: other threads of this process may hold the allocator's locks meanwhile.
  std::vector<std::string> words = arguments;
  std::vector<std::string> variables = changed_environment(environment);
  const std::string out = files_.file("stdout");
  const std::string err = files_.file("stderr");
  constexpr int kWrite = O_WRONLY | O_CREAT | O_TRUNC;
  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, out.c_str(), kWrite, 0600);
  ::posix_spawn_file_actions_addopen(&files, STDERR_FILENO, err.c_str(), kWrite, 0600);
  const int failed = ::posix_spawnp(&pid_, words[0].c_str(), &files, nullptr,
                                    pointers_to(words).data(), pointers_to(variables).data());
  ::posix_spawn_file_actions_destroy(&files);
  if (failed != 0) {
    ADD_FAILURE() << "cannot run " << words[0] << ": " << std::generic_category().message(failed);
    exit_code_ = 127;
    return;
  }
  exit_fd_ = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
}

ChildProcess::~ChildProcess() {
  if (is_alive()) {
    signal(SIGKILL);
    wait_exit();
  }
  ::close(exit_fd_);
}

void ChildProcess::signal(int number) {
  if (!exit_code_) ::kill(pid_, number);
}

std::optional<int> ChildProcess::wait_exit(Milliseconds time) {
  if (exit_code_) return exit_code_;
  pollfd item = {exit_fd_, POLLIN, 0};
  if (::poll(&item, 1, static_cast<int>(time.count())) <= 0) return std::nullopt;
  int status = 0;
  if (::waitpid(pid_, &status, 0) != pid_) return std::nullopt;
  exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return exit_code_;
}

GatewayProcess::GatewayProcess() : GatewayProcess(Options{}) {}

GatewayProcess::GatewayProcess(Options options) : options_(std::move(options)) {
  data_dir_ = options_.data_dir.empty() ? temp_.file("data") : options_.data_dir;
  start();
}

void GatewayProcess::start() {
  std::vector<std::string> arguments = options_.wrapper;
  for (const std::string& argument :
       {tidegated_path(), std::string("--data"), data_dir_, std::string("--http"),
        std::string("127.0.0.1:0"), std::string("--grpc"), std::string("127.0.0.1:0"),
        std::string("--admin"), std::string("127.0.0.1:0"), std::string("--disk-soft"),
        std::string("8MiB"), std::string("--disk-hard"), std::string("4MiB"),
        std::string("--ballast"), std::string("0")}) {
    arguments.push_back(argument);
  }
  arguments.insert(arguments.end(), options_.flags.begin(), options_.flags.end());
  process_ = std::make_unique<ChildProcess>(arguments, options_.environment);
  const Deadline deadline(kStartTime);
  while (!read_listening_lines()) {
    // Waits for the end of the process, or a little.
    if (process_->wait_exit(Milliseconds(kLookAgainMs)) || deadline.is_over()) {
      ADD_FAILURE() << "tidegated does not start: " << process_->stderr_text();
      return;
    }
  }
}

bool GatewayProcess::read_listening_lines() {
  std::istringstream lines(process_->stdout_text());
  std::map<std::string, std::string> found;
  std::string word;
  std::string name;
  std::string address;
  while (lines >> word >> name >> address) found[name] = address;
  // The last line is whole only with its end.
  if (found.size() < 3 || !process_->stdout_text().ends_with('\n')) return false;
  http_ = found["http"];
  grpc_ = found["grpc"];
  admin_ = found["admin"];
  return true;
}

void GatewayProcess::kill() {
  process_->signal(SIGKILL);
  EXPECT_EQ(process_->wait_exit(), 128 + SIGKILL);
}

int GatewayProcess::terminate(Milliseconds time) {
  process_->signal(SIGTERM);
  return process_->wait_exit(time).value_or(-1);
}

std::string tidegated_path() {
  return std::string(TIDEGATE_BIN_DIR) + "/tidegated";
}
std::string tidegate_path() {
  return std::string(TIDEGATE_BIN_DIR) + "/tidegate";
}

double metric(const GatewayProcess& gateway, const std::string& series) {
  const std::string text = "\n" + http_get(gateway.admin(), "/metrics").body;
  const std::size_t at = text.find("\n" + series + " ");
  if (at == std::string::npos) return 0;
  return std::strtod(text.c_str() + at + series.size() + 2, nullptr);
}

std::size_t log_lines(const GatewayProcess& gateway, std::string_view text) {
  const std::string log = gateway.stderr_text();
  std::size_t count = 0;
  for (std::size_t at = 0; (at = log.find(text, at)) != std::string::npos; at += text.size())
    ++count;
  return count;
}

std::size_t await_log_lines(const GatewayProcess& gateway, std::string_view text,
                            std::size_t wanted) {
  eventually([&] { return log_lines(gateway, text) >= wanted; });
  return log_lines(gateway, text);
}

Finished run_program(const std::vector<std::string>& arguments,
                     const std::map<std::string, std::string>& environment, Milliseconds time) {
  ChildProcess process(arguments, environment);
  Finished finished;
  finished.exit_code = process.wait_exit(time).value_or(-1);
  finished.stdout_text = process.stdout_text();
  finished.stderr_text = process.stderr_text();
  return finished;
}

}  // namespace tidegate::test
