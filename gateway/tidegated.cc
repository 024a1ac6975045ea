// The gateway's program: reads the configuration, starts the gateway, says where it listens, and
// ends it by signal.
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <variant>
#include <vector>

#include <fmt/format.h>
#include <google/protobuf/stubs/logging.h>

#include "eventstore/base/log.h"
#include "gateway/config.h"
#include "gateway/gateway.h"

namespace tidegate {
namespace {

using SteadyClock = std::chrono::steady_clock;

// How often a drain looks whether the last connection has gone.
constexpr timespec kDrainTurn = {0, 20'000'000};

// Blocked in every thread, since threads inherit the mask of the first; only `wait_for_signal`
// takes them.
sigset_t handled_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  return set;
}

// Tells systemd, when it started us (Type=notify).
void notify_supervisor(std::string_view state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path == nullptr || std::strlen(path) < 2 || std::strlen(path) >= sizeof address.sun_path)
    return;
  std::memcpy(address.sun_path, path, std::strlen(path));
  // '@' stands for the zero byte of an abstract name.
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
  if (::sendto(fd, state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address),
               length) < 0) {
    log(LogLevel::kWarn, "the supervisor could not be told", {{"error", std::strerror(errno)}});
  }
  ::close(fd);
}

// SIGHUP: the log level is taken anew, and keys and certificate are read again (Gateway::reload);
// every other key needs a restart, which is said.
void reload(const std::vector<std::string>& arguments, Config& config) {
  auto read = read_config(arguments, process_environment());
  if (const auto* answer = std::get_if<ConfigAnswer>(&read)) {
    log(LogLevel::kError, "the configuration was not reloaded", {{"errors", answer->text}});
    return;
  }
  const Config& fresh = std::get<Config>(read);
  for (const std::string& key : changed_keys(config, fresh)) {
    if (key != "logging.level")
      log(LogLevel::kWarn, "a changed key needs a restart", {{"key", key}});
  }
  config.logging_level = fresh.logging_level;
  log_setup(config.log_level(), config.has_json_logs());
  log(LogLevel::kInfo, "the configuration was reloaded", {{"level", config.logging_level}});
}

// Until the last connection has gone, the time is over, or a second signal asks for haste.
void drain(Gateway& gateway, const Config& config, const sigset_t& signals) {
  notify_supervisor("STOPPING=1");
  log(LogLevel::kInfo, "draining", {{"connections", gateway.connections()}});
  gateway.drain();
  const auto deadline = SteadyClock::now() + std::chrono::milliseconds(config.shutdown_drain_ms);
  while (gateway.connections() > 0 && SteadyClock::now() < deadline) {
    const int signal = sigtimedwait(&signals, nullptr, &kDrainTurn);
    if (signal == SIGTERM || signal == SIGINT) {
      log(LogLevel::kWarn, "a second signal ends the drain");
      break;
    }
  }
  log(LogLevel::kInfo, "stopping", {{"connections", gateway.connections()}});
}

int run(const std::vector<std::string>& arguments) {
  auto read = read_config(arguments, process_environment());
  if (const auto* answer = std::get_if<ConfigAnswer>(&read)) {
    fmt::print(answer->exit_code == 0 ? stdout : stderr, "{}", answer->text);
    return answer->exit_code;
  }
  Config config = std::get<Config>(std::move(read));
  log_setup(config.log_level(), config.has_json_logs());
  // It would print a line for every text of a peer that is not UTF-8; we answer the peer instead.
  google::protobuf::SetLogHandler(nullptr);
  // A peer that has gone is an error of its write, not of the process.
  std::signal(SIGPIPE, SIG_IGN);
  const sigset_t signals = handled_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  auto started = Gateway::start(config);
  if (const auto* error = std::get_if<Gateway::StartError>(&started)) {
    log(LogLevel::kError, "the gateway does not start",
        {{"reason", error->text}, {"exit", error->exit_code}});
    return error->exit_code;
  }
  const std::unique_ptr<Gateway> gateway = std::get<0>(std::move(started));
  for (const Gateway::Listener& listener : gateway->listeners()) {
    fmt::print("listening {} {}\n", listener.name, listener.address);
  }
  std::fflush(stdout);
  notify_supervisor("READY=1");

  int signal = SIGHUP;
  while (signal == SIGHUP) {
    sigwait(&signals, &signal);
    if (signal != SIGHUP) break;
    reload(arguments, config);
    gateway->reload();
  }
  drain(*gateway, config, signals);
  return 0;
}

}  // namespace
}  // namespace tidegate

int main(int argc, char** argv) {
  return tidegate::run({argv + 1, argv + argc});
}
