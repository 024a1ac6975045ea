#include "tools/tidegate/replay_state.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <simdjson.h>
#include <unistd.h>

#include <fmt/format.h>

#include "eventstore/base/text.h"

namespace tidegate {
namespace {

void append_member(std::string& out, std::string_view name, std::string_view value) {
  append_json_string(out, name);
  out += ':';
  append_json_string(out, value);
  out += ',';
}

Error cannot(std::string_view what, const std::string& path) {
  return {Code::kInternal, fmt::format("cannot {} '{}': {}", what, path, std::strerror(errno))};
}

Status write_all(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0 && errno != EINTR) return cannot("write", path);
    if (written > 0) text.remove_prefix(static_cast<std::size_t>(written));
  }
  if (fsync(fd) != 0) return cannot("write", path);
  return {};
}

}  // namespace

std::string to_json(const ReplayState& state) {
  std::string out = "{\"version\":1,";
  append_member(out, "log", state.log);
  append_member(out, "arguments", state.arguments);
  append_member(out, "position", state.position);
  fmt::format_to(
      std::back_inserter(out),
      R"("sequence":{},"events":{},"end":{},"from_us":{},"until_us":{},"file_bytes":{},"complete":{}}})",
      state.sequence, state.events, state.end, state.from_us, state.until_us, state.file_bytes,
      state.complete);
  return out + "\n";
}

Result<ReplayState> replay_state_from_json(std::string_view json) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  std::uint64_t version = 0;
  std::string_view log;
  std::string_view arguments;
  std::string_view position;
  ReplayState state;
  const bool read =
      !parser.parse(simdjson::padded_string(json)).get(root) && !root["version"].get(version) &&
      version == 1 && !root["log"].get(log) && !root["arguments"].get(arguments) &&
      !root["position"].get(position) && !root["sequence"].get(state.sequence) &&
      !root["events"].get(state.events) && !root["end"].get(state.end) &&
      !root["from_us"].get(state.from_us) && !root["until_us"].get(state.until_us) &&
      !root["file_bytes"].get(state.file_bytes) && !root["complete"].get(state.complete);
  if (!read) return Error{Code::kBadArgument, "it is not the state of a replay by this version"};
  state.log = log;
  state.arguments = arguments;
  state.position = position;
  return state;
}

Result<std::optional<ReplayState>> load_replay_state(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    if (errno == ENOENT) return std::optional<ReplayState>();
    return cannot("read", path);
  }
  const std::string json(std::istreambuf_iterator<char>(file), {});
  Result<ReplayState> state = replay_state_from_json(json);
  if (!state)
    return Error{state.error().code, fmt::format("--state {}: {}", path, state.error().message)};
  return std::optional(*std::move(state));
}

Status save_replay_state(const std::string& path, const ReplayState& state) {
  const std::string aside = path + ".new";
  const int fd = open(aside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return cannot("write", aside);
  const Status written = write_all(fd, to_json(state), aside);
  close(fd);
  if (!written) return written;
  if (std::rename(aside.c_str(), path.c_str()) != 0) return cannot("write", path);
  // The name, too, has to survive a power loss.
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const int folder_fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_fd < 0) return cannot("open", folder);
  const bool synced = fsync(folder_fd) == 0;
  close(folder_fd);
  if (!synced) return cannot("write", folder);
  return {};
}

Status check_resumable(const ReplayState& state, std::string_view log, std::string_view arguments) {
  if (state.log != log) {
    return Error{
        Code::kHistoryMismatch,
        fmt::format(
            "the state is of a replay of log {}, but this is log {}: use another --state file",
            state.log, log)};
  }
  if (state.arguments != arguments) {
    return Error{
        Code::kBadArgument,
        fmt::format(
            "the state is of another replay ({}), not of this one ({}): use another --state file",
            state.arguments, arguments)};
  }
  return {};
}

}  // namespace tidegate
