#include "tools/tidegate/projection.h"

#include <algorithm>
#include <memory>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "eventstore/base/text.h"
#include "tools/tidegate/output.h"
#include "tools/tidegate/projection_state.h"
#include "tools/tidegate/projection_wait.h"
#include "tools/tidegate/services.h"
#include "tools/tidegate/verb.h"

namespace tidegate {
namespace {

struct ProjectionOptions {
  std::string name;
  std::uint64_t sequence = 0;
  bool definition = false;
  bool waits = false;
  bool yes = false;
};

Result<int> list_projections(Context& context, const ProjectionOptions&) {
  auto client = Client::make(context);
  if (!client) return client.error();
  auto projections = all_projections(**client);
  if (!projections) return projections.error();
  std::vector<Row> rows;
  for (const v1::Projection& projection : *projections) rows.push_back(projection_row(projection));
  return context.output.print(projection_header(), rows);
}

std::string state_name(v1::VersionState state) {
  switch (state) {
    case v1::VERSION_STATE_BUILDING:
      return "building";
    case v1::VERSION_STATE_LIVE:
      return "live";
    case v1::VERSION_STATE_RETIRED:
      return "retired";
    default:
      return "unknown";
  }
}

std::string skipped_json(const v1::ProjectionVersion& version) {
  return fmt::format("[{}]", fmt::join(version.skipped(), ","));
}

std::string failure_json(const v1::ProjectionVersion& version) {
  if (!version.has_failure()) return "null";
  const v1::FoldFailure& failure = version.failure();
  std::string json = fmt::format("{{\"sequence\":{},\"stream\":", failure.sequence());
  append_json_string(json, failure.stream());
  json += ",\"type\":";
  append_json_string(json, failure.type());
  json += ",\"message\":";
  append_json_string(json, failure.message());
  return json + "}";
}

std::int64_t created_us(const v1::ProjectionVersion& version) {
  return version.created().seconds() * 1'000'000 + version.created().nanos() / 1000;
}

// For a table: what stands behind "version 3".
std::string version_text(const v1::ProjectionVersion& version) {
  std::string text = fmt::format("{}, as of {}, {} in {}, {}", state_name(version.state()),
                                 version.sequence(), counted(version.rows(), "row"),
                                 human_bytes(version.bytes()), counted(version.events(), "event"));
  if (version.began_after() > 0) text += fmt::format("; began after {}", version.began_after());
  if (version.skipped_size() > 0)
    text += fmt::format("; without {}", fmt::join(version.skipped(), ", "));
  if (version.has_failure()) text += "; " + failure_text(version.failure());
  return text;
}

std::string version_json(const v1::ProjectionVersion& version) {
  std::string json =
      fmt::format(R"({{"number":{},"state":"{}","created":"{}","position":)", version.number(),
                  state_name(version.state()), format_time(created_us(version)));
  append_json_string(json, version.position());
  json += fmt::format(
      R"(,"sequence":{},"began_after":{},"rows":{},"bytes":{},"events":{},"failure":{},"skipped":{},"definition":)",
      version.sequence(), version.began_after(), version.rows(), version.bytes(), version.events(),
      failure_json(version), skipped_json(version));
  append_json_string(json, version.definition());
  return json + "}";
}

Result<int> print_projection(Context& context, const v1::Projection& projection) {
  Row row = projection_row(projection);
  row.insert(row.begin() + 1, Field::string("description", projection.description()));
  row.push_back(Field::boolean("paused", projection.paused()));
  row.push_back(Field::boolean("built_in", projection.built_in()));
  row.push_back(Field::number("head", projection.head()));
  const Format format = context.output.chosen();
  if (format != Format::kJson && format != Format::kJsonl) {
    for (const v1::ProjectionVersion& version : projection.versions()) {
      row.push_back(
          Field{fmt::format("version {}", version.number()), version_text(version), "null"});
    }
    return context.output.print(row);
  }
  std::string json = "[";
  for (const v1::ProjectionVersion& version : projection.versions()) {
    if (json.size() > 1) json += ',';
    json += version_json(version);
  }
  row.push_back(Field{"versions", "", json + "]"});
  return context.output.print(row);
}

// So that it can be changed and applied again.
Result<int> print_definition(Context& context, const v1::Projection& projection) {
  const v1::ProjectionVersion* newest = newest_version(projection);
  if (newest == nullptr) return kExitOk;
  std::string text = newest->definition();
  if (context.output.is_terminal()) {
    std::string shown;
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find('\n', begin), text.size());
      append_for_terminal(shown, std::string_view(text).substr(begin, end - begin));
      shown += '\n';
      begin = end + 1;
    }
    text = std::move(shown);
  }
  context.output.write(text);
  if (!text.ends_with('\n')) context.output.write("\n");
  if (!context.output.flush()) return context.output.stopped();
  return kExitOk;
}

Result<int> show_projection(Context& context, const ProjectionOptions& options) {
  auto client = Client::make(context);
  if (!client) return client.error();
  auto projection = get_projection(**client, options.name);
  if (!projection) return projection.error();
  if (options.definition) return print_definition(context, *projection);
  return print_projection(context, *projection);
}

// One of the calls that change a projection and answer with what it is then.
template <typename Request, typename Response>
Result<int> change_projection(Context& context, const ProjectionOptions& options,
                              grpc::Status (v1::ProjectionService::Stub::*method)(
                                  grpc::ClientContext*, const Request&, Response*),
                              Request request = {}) {
  auto client = Client::make(context);
  if (!client) return client.error();
  request.set_name(options.name);
  auto response = call(**client, method, request);
  if (!response) return response.error();
  const v1::Projection& projection = response->projection();
  const v1::ProjectionVersion* changed = version_in(projection, v1::VERSION_STATE_BUILDING);
  if (changed == nullptr) changed = version_in(projection, v1::VERSION_STATE_LIVE);
  if (!options.waits || changed == nullptr) return context.output.print(projection_row(projection));
  Result<int> arrived =
      wait_for_arrival(context, **client, options.name, changed->number(), projection.head());
  if (!arrived || *arrived != kExitOk) return arrived;
  auto now = get_projection(**client, options.name);
  if (!now) return now.error();
  return context.output.print(projection_row(*now));
}

Result<int> pause_projection(Context& context, const ProjectionOptions& options) {
  return change_projection(context, options, &v1::ProjectionService::Stub::PauseProjection);
}

Result<int> resume_projection(Context& context, const ProjectionOptions& options) {
  return change_projection(context, options, &v1::ProjectionService::Stub::ResumeProjection);
}

// Says what the new version would lack; an error, unless that was agreed to.
Status check_loss(Client& client, const ProjectionOptions& options) {
  auto floor = floor_of_log(client);
  if (!floor) return floor.error();
  auto projection = get_projection(client, options.name);
  if (!projection) return projection.error();
  const std::string loss = loss_text(*projection, *floor);
  if (loss.empty()) return {};
  if (!options.yes) return Error{Code::kBadArgument, loss + ": say --yes"};
  say(loss);
  return {};
}

Result<int> rebuild_projection(Context& context, const ProjectionOptions& options) {
  auto client = Client::make(context);
  if (!client) return client.error();
  if (Status agreed = check_loss(**client, options); !agreed) return agreed.error();
  return change_projection(context, options, &v1::ProjectionService::Stub::RebuildProjection);
}

Result<int> rollback_projection(Context& context, const ProjectionOptions& options) {
  return change_projection(context, options, &v1::ProjectionService::Stub::RollbackProjection);
}

Result<int> retry_projection(Context& context, const ProjectionOptions& options) {
  auto client = Client::make(context);
  if (!client) return client.error();
  auto before = get_projection(**client, options.name);
  if (!before) return before.error();
  v1::RetryProjectionRequest request;
  request.set_name(options.name);
  auto response = call(**client, &v1::ProjectionService::Stub::RetryProjection, request);
  if (!response) return response.error();
  Result<int> outcome = wait_for_retry(context, **client, *before);
  if (!outcome) return outcome;
  auto now = get_projection(**client, options.name);
  if (!now) return now.error();
  Result<int> printed = context.output.print(projection_row(*now));
  return printed && *outcome != kExitOk ? outcome : printed;
}

Result<int> skip_event(Context& context, const ProjectionOptions& options) {
  v1::SkipProjectionEventRequest request;
  request.set_sequence(options.sequence);
  return change_projection(context, options, &v1::ProjectionService::Stub::SkipProjectionEvent,
                           std::move(request));
}

Result<int> remove_projection(Context& context, const ProjectionOptions& options) {
  if (!options.yes) {
    return Error{
        Code::kBadArgument,
        "this removes all versions and rows for good, and what was folded from events that "
        "are trimmed cannot be made again: say --yes"};
  }
  auto client = Client::make(context);
  if (!client) return client.error();
  v1::DeleteProjectionRequest request;
  request.set_name(options.name);
  auto response = call(**client, &v1::ProjectionService::Stub::DeleteProjection, request);
  if (!response) return response.error();
  say("removed projection " + options.name);
  return kExitOk;
}

using ProjectionOptionsRef = std::shared_ptr<ProjectionOptions>;

CLI::App* add_named_verb(CLI::App& noun, Context& context, const ProjectionOptionsRef& options,
                         const std::string& name, const std::string& description,
                         Result<int> (*command)(Context&, const ProjectionOptions&)) {
  CLI::App* verb = add_verb(noun, context, options, name, description, command);
  verb->add_option("NAME", options->name, "Its name")->required();
  return verb;
}

void add_wait(CLI::App& verb, const ProjectionOptionsRef& options) {
  verb.add_flag("--wait", options->waits,
                "Until it is live and has folded what the log holds by now");
}

void add_changes(CLI::App& noun, Context& context, const ProjectionOptionsRef& options) {
  add_named_verb(noun, context, options, "pause", "Stop folding; its rows stay as they are",
                 pause_projection)
      ->footer("`tidegate projection resume NAME` goes on.");
  add_named_verb(noun, context, options, "resume", "Go on folding after a pause", resume_projection)
      ->footer("`tidegate projection info NAME` tells how far it is.");
  CLI::App* rebuild = add_named_verb(
      noun, context, options, "rebuild",
      "Fold the log anew beside the live version, which it then replaces", rebuild_projection);
  add_wait(*rebuild, options);
  rebuild->add_flag("--yes", options->yes,
                    "Even though rows from events that are trimmed will not come back");
  rebuild->footer(
      "Skipped events stay left out. `tidegate projection rollback NAME` takes the version before "
      "back.\n\nExample:\n  tidegate projection rebuild departures --wait");
  CLI::App* rollback =
      add_named_verb(noun, context, options, "rollback",
                     "Let the version before catch up and take over again", rollback_projection);
  add_wait(*rollback, options);
  rollback->footer("`tidegate projection info NAME` shows which versions are kept.");
}

void add_operations(CLI::App& noun, Context& context, const ProjectionOptionsRef& options) {
  add_named_verb(noun, context, options, "retry",
                 "Try the event again at which the projection stopped", retry_projection)
      ->footer(
          "Exit 1: it stopped again. `tidegate projection info NAME` shows the event and the "
          "reason, and\n`tidegate projection skip NAME SEQUENCE` leaves the event out.");

  CLI::App* skip =
      add_named_verb(noun, context, options, "skip",
                     "Leave the event out at which the projection stopped, for good", skip_event);
  add_number(*skip, "SEQUENCE", options->sequence, "The event's, as `projection info` shows it")
      ->required();
  skip->footer(
      "`tidegate projection retry NAME` tries the event again instead.\n\nExample:\n  tidegate "
      "projection skip departures 1042");

  CLI::App* rm =
      add_named_verb(noun, context, options, "rm", "Remove a projection with its versions and rows",
                     remove_projection);
  rm->add_flag("--yes", options->yes, "Really remove");
  rm->footer("Example:\n  tidegate projection rm departures --yes");
}

}  // namespace

void register_projection(CLI::App& app, Context& context) {
  CLI::App* noun = app.add_subcommand("projection", "Read models that are folded from the log");
  noun->require_subcommand(1);
  auto options = std::make_shared<ProjectionOptions>();

  CLI::App* ls = add_verb(*noun, context, options, "ls",
                          "List projections and how far behind they are", list_projections);
  ls->footer("Example:\n  tidegate projection ls");

  CLI::App* get = add_named_verb(*noun, context, options, "info",
                                 "Show one projection and its versions", show_projection);
  get->add_flag("--definition", options->definition, "Print its newest definition instead");
  get->footer(
      "Examples:\n  tidegate projection info departures\n"
      "  tidegate projection info departures --definition > departures.toml");

  add_projection_apply(*noun, context);
  add_projection_definition(*noun, context);
  add_projection_query(*noun, context);
  add_projection_watch(*noun, context);
  add_changes(*noun, context, options);
  add_operations(*noun, context, options);
}

}  // namespace tidegate
