#include "tools/tidegate/replay_state.h"

#include <iterator>
#include <simdjson.h>

#include <fmt/format.h>

#include "eventstore/base/text.h"
#include "eventstore/base/whole_file.h"

namespace tidegate {
namespace {

void append_member(std::string& out, std::string_view name, std::string_view value) {
  append_json_string(out, name);
  out += ':';
  append_json_string(out, value);
  out += ',';
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
  constexpr std::size_t kStateBytesMax = 1
                                         << 20;  // a state is some hundred bytes and its arguments
  const Result<WholeFile> file = read_whole_file(path, kStateBytesMax);
  if (!file) {
    if (file.error().code == Code::kNotFound) return std::optional<ReplayState>();
    return file.error();
  }
  Result<ReplayState> state = replay_state_from_json(file->bytes);
  if (!state)
    return Error{state.error().code, fmt::format("--state {}: {}", path, state.error().message)};
  return std::optional(*std::move(state));
}

Status save_replay_state(const std::string& path, const ReplayState& state) {
  return replace_file(path, to_json(state), 0644);
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
