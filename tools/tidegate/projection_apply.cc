// How definitions become projections: `projection apply`.

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "tools/tidegate/output.h"
#include "tools/tidegate/projection.h"
#include "tools/tidegate/projection_file.h"
#include "tools/tidegate/projection_state.h"
#include "tools/tidegate/projection_wait.h"
#include "tools/tidegate/services.h"
#include "tools/tidegate/verb.h"

namespace tidegate {
namespace {

struct ApplyOptions {
  std::vector<std::string> files;
  bool waits = false;
  bool yes = false;
};

// All files, checked by the gateway, so that a wrong one is found before the first is applied.
Result<std::vector<DefinitionFile>> checked_files(Client& client,
                                                  const std::vector<std::string>& paths) {
  std::vector<DefinitionFile> files;
  std::map<std::string, std::string> path_of;
  for (const std::string& path : paths) {
    Result<DefinitionFile> file = read_definition(path);
    if (!file) return file.error();
    Result<v1::Projection> checked = send_definition(client, *file, true);
    if (!checked) return checked.error();
    file->name = checked->name();
    const auto [named, is_first] = path_of.emplace(file->name, path);
    if (!is_first) {
      return Error{Code::kBadArgument,
                   fmt::format("{} and {} both define '{}'", named->second, path, file->name)};
    }
    files.push_back(*std::move(file));
  }
  return files;
}

// Says what new versions would lack; an error, unless that was agreed to.
Status check_losses(Client& client, const std::vector<DefinitionFile>& files, bool yes) {
  auto floor = floor_of_log(client);
  if (!floor) return floor.error();
  for (const DefinitionFile& file : files) {
    auto projection = get_projection(client, file.name);
    // It is new, or not to be seen: applying it says so.
    if (!projection) continue;
    const v1::ProjectionVersion* newest = newest_version(*projection);
    if (newest != nullptr && newest->definition() == file.text) continue;
    const std::string loss = loss_text(*projection, *floor);
    if (loss.empty()) continue;
    if (!yes) return Error{Code::kBadArgument, fmt::format("{}: {}: say --yes", file.path, loss)};
    say(loss);
  }
  return {};
}

std::string listed_paths(const std::vector<DefinitionFile>& files, std::size_t begin,
                         std::size_t end) {
  std::string text;
  for (std::size_t i = begin; i < end; ++i) text += (i == begin ? "" : ", ") + files[i].path;
  return text.empty() ? "none" : text;
}

Result<std::vector<v1::Projection>> apply_files(Client& client,
                                                const std::vector<DefinitionFile>& files) {
  std::vector<v1::Projection> applied;
  for (const DefinitionFile& file : files) {
    Result<v1::Projection> projection = send_definition(client, file, false);
    if (!projection) {
      if (files.size() > 1) {
        say(fmt::format("applied: {}; not applied: {}", listed_paths(files, 0, applied.size()),
                        listed_paths(files, applied.size(), files.size())));
      }
      return projection.error();
    }
    applied.push_back(*std::move(projection));
  }
  return applied;
}

// Waits for all of them, whatever becomes of one; each is as it is then.
Result<int> wait_for_all(Context& context, Client& client, std::vector<v1::Projection>& applied) {
  int exit_code = kExitOk;
  std::optional<Error> error;
  for (v1::Projection& projection : applied) {
    const v1::ProjectionVersion* newest = newest_version(projection);
    if (newest == nullptr) continue;
    Result<int> arrived =
        wait_for_arrival(context, client, projection.name(), newest->number(), projection.head());
    if (arrived && *arrived == kExitInterrupted) return arrived;
    if (!arrived) {
      if (error) say(error->message);
      error = arrived.error();
      continue;
    }
    if (*arrived != kExitOk) exit_code = *arrived;
    auto now = get_projection(client, projection.name());
    if (!now) return now.error();
    projection = *std::move(now);
  }
  if (error) return *std::move(error);
  return exit_code;
}

Result<int> apply_definitions(Context& context, const ApplyOptions& options) {
  auto client = Client::make(context);
  if (!client) return client.error();
  auto files = checked_files(**client, options.files);
  Status ready = files ? check_losses(**client, *files, options.yes) : Status(files.error());
  if (!ready) {
    if (options.files.size() > 1) say("nothing was applied");
    return ready.error();
  }
  auto applied = apply_files(**client, *files);
  if (!applied) return applied.error();
  Result<int> waited = options.waits ? wait_for_all(context, **client, *applied) : kExitOk;
  if (!waited || *waited == kExitInterrupted) return waited;
  std::vector<Row> rows;
  for (const v1::Projection& projection : *applied) rows.push_back(projection_row(projection));
  Result<int> printed = context.output.print(projection_header(), rows);
  return printed && *waited != kExitOk ? waited : printed;
}

}  // namespace

Result<v1::Projection> send_definition(Client& client, const DefinitionFile& file, bool validates) {
  v1::ApplyProjectionRequest request;
  request.set_definition(file.text);
  request.set_validate_only(validates);
  auto response = call(client, &v1::ProjectionService::Stub::ApplyProjection, request);
  if (!response) return in_file(file, response.error());
  return std::move(*response->mutable_projection());
}

void add_projection_apply(CLI::App& noun, Context& context) {
  auto options = std::make_shared<ApplyOptions>();
  CLI::App* apply =
      add_verb(noun, context, options, "apply",
               "Make projections, or begin new versions of those whose definition changed",
               apply_definitions);
  apply->add_option("FILE", options->files, kDefinitionFileHelp)->required();
  apply->add_flag("--wait", options->waits,
                  "Until they are live and have folded what the log holds by now");
  apply->add_flag("--yes", options->yes,
                  "Even though rows from events that are trimmed will not come back");
  apply->footer(
      "All files are checked before the first is applied. `tidegate projection test FILE` shows "
      "what a\ndefinition makes of the log. A new definition meets events again that were "
      "skipped.\n\nExample:\n  tidegate projection apply departures.toml board.toml --wait");
}

}  // namespace tidegate
