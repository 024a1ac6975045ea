#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "eventstore/base/clock.h"
#include "eventstore/base/text.h"
#include "eventstore/event_store.h"
#include "tools/tidegate/command.h"
#include "tools/tidegate/interrupt.h"
#include "tools/tidegate/output.h"
#include "tools/tidegate/place.h"
#include "tools/tidegate/progress.h"
#include "tools/tidegate/projection_state.h"
#include "tools/tidegate/selection.h"
#include "tools/tidegate/services.h"
#include "tools/tidegate/verb.h"

namespace tidegate {
namespace {

struct LogOptions {
  std::string data;
  std::string before;
  bool dry_run = false;
  bool yes = false;
};

StoreOptions offline(const LogOptions& options) {
  StoreOptions store;
  store.dir = options.data;
  return store;
}

std::string text_of(const std::vector<Branch>& lineage) {
  std::string text;
  for (const Branch& branch : lineage) {
    if (!text.empty()) text += " > ";
    text += branch.log.text();
    if (branch.fork > 0) fmt::format_to(std::back_inserter(text), " (after {})", branch.fork);
  }
  return text;
}

std::string json_of(const std::vector<Branch>& lineage) {
  std::string json = "[";
  for (const Branch& branch : lineage) {
    if (json.size() > 1) json += ',';
    fmt::format_to(std::back_inserter(json),
                   R"({{"log_id":"{}","fork_sequence":{},"time":"{}","reason":)", branch.log.text(),
                   branch.fork, format_time(branch.time_us));
    append_json_string(json, branch.reason);
    json += '}';
  }
  return json + "]";
}

Result<int> print(Context& context, const LogInfo& log) {
  const std::string position = log.head.text();
  const Field head{
      "head", fmt::format("{}  {}", log.head.sequence, position),
      fmt::format(R"({{"sequence":{},"position":"{}"}})", log.head.sequence, position)};
  const Field lineage{"lineage", text_of(log.lineage), json_of(log.lineage)};
  const Field bytes{"bytes", human_bytes(log.bytes), std::to_string(log.bytes)};
  return context.output.print({Field::string("log_id", log.log.text()), head,
                               Field::number("floor", log.floor), lineage, bytes});
}

Result<LogInfo> log_info_of(const v1::GetLogResponse& response) {
  Result<LogId> log = LogId::parse(response.log_id());
  if (!log) return log.error();
  Result<Position> head = Position::parse(response.position());
  if (!head) return head.error();
  LogInfo info{*log, *head, response.floor(), {}, response.bytes()};
  for (const v1::Branch& branch : response.lineage()) {
    Result<LogId> id = LogId::parse(branch.log_id());
    if (!id) return id.error();
    const std::int64_t time_us = branch.time().seconds() * 1'000'000 + branch.time().nanos() / 1000;
    info.lineage.push_back({*id, branch.fork_sequence(), time_us, branch.reason()});
  }
  return info;
}

Result<int> info(Context& context, const LogOptions& options) {
  if (!options.data.empty()) {
    auto opened = log_info_offline(offline(options));
    if (auto* error = std::get_if<EventStore::OpenError>(&opened)) return error->error;
    return print(context, std::get<LogInfo>(opened));
  }
  auto client = Client::make(context);
  if (!client) return client.error();
  auto response = call(**client, &v1::AdminService::Stub::GetLog, v1::GetLogRequest());
  if (!response) return response.error();
  Result<LogInfo> log = log_info_of(*response);
  if (!log) return log.error();
  return print(context, *log);
}

void show(Progress& progress, std::uint64_t examined, std::uint64_t total) {
  const double fraction =
      total == 0 ? -1 : static_cast<double>(examined) / static_cast<double>(total);
  progress.show(fraction, fmt::format("{} of {} events verified", examined, total));
}

// Problems go to stdout: they are what the command was asked for.
Result<int> print(Context& context, const VerifyReport& report) {
  std::string text;
  std::string json = "[";
  for (const std::string& problem : report.problems) {
    text += text.empty() ? problem : "; " + problem;
    if (json.size() > 1) json += ',';
    append_json_string(json, problem);
  }
  auto printed = context.output.print(
      {Field::boolean("clean", report.is_clean()), Field::number("examined", report.examined),
       Field{"problems", text.empty() ? "none" : text, json + "]"}});
  if (!printed) return printed;
  return report.is_clean() ? kExitOk : kExitFailure;
}

Result<int> verify_offline(Context& context, const LogOptions& options) {
  const Interrupt::Guard guard(context.interrupt, [] {});
  Progress progress;
  auto report = tidegate::verify_offline(offline(options), [&](const VerifyProgress& now) {
    show(progress, now.examined, now.total);
    return !context.interrupt.happened();
  });
  progress.clear();
  if (context.interrupt.happened()) return kExitInterrupted;
  if (auto* error = std::get_if<EventStore::OpenError>(&report)) return error->error;
  return print(context, std::get<VerifyReport>(report));
}

Result<int> verify(Context& context, const LogOptions& options) {
  if (!options.data.empty()) return verify_offline(context, options);
  auto client = Client::make(context);
  if (!client) return client.error();
  grpc::ClientContext call;
  const Interrupt::Guard guard(context.interrupt, [&call] { call.TryCancel(); });
  const auto stream = (*client)->services().admin->VerifyLog(&call, v1::VerifyLogRequest());
  Progress progress;
  VerifyReport report;
  bool done = false;
  for (v1::VerifyLogResponse response; stream->Read(&response);) {
    show(progress, response.examined(), response.total());
    report.examined = response.examined();
    report.problems.insert(report.problems.end(), response.problems().begin(),
                           response.problems().end());
    done = done || response.done();
  }
  progress.clear();
  const grpc::Status status = stream->Finish();
  if (context.interrupt.happened()) return kExitInterrupted;
  if (!status.ok()) return (*client)->error_from(status);
  if (!done) return kExitIncomplete;
  report.problem_count = report.problems.size();
  return print(context, report);
}

// Which projections would lose events that they have not folded yet: said before it is done.
Status tell_stranded(Client& client, v1::TrimLogRequest request) {
  request.set_dry_run(true);
  auto trimmed = call(client, &v1::AdminService::Stub::TrimLog, request);
  if (!trimmed) return trimmed.error();
  auto projections = all_projections(client);
  if (!projections) {
    say("which projections stand still cannot be told: " + projections.error().message);
    return {};
  }
  for (const std::string& text : stranded_texts(*projections, trimmed->floor())) say(text);
  return {};
}

Result<int> trim(Context& context, const LogOptions& options) {
  Result<Place> before = parse_place(options.before, SystemClock().wall_us());
  if (!before) return before.error();
  if (!options.dry_run && !options.yes) {
    return Error{Code::kBadArgument,
                 "trimming removes events for good: look with --dry-run, then say --yes"};
  }
  auto client = Client::make(context);
  if (!client) return client.error();
  v1::TrimLogRequest request;
  *request.mutable_before() = start_from(*before);
  if (Status told = tell_stranded(**client, request); !told) return told.error();
  request.set_dry_run(options.dry_run);
  auto response = call(**client, &v1::AdminService::Stub::TrimLog, request);
  if (!response) return response.error();
  if (options.dry_run) say("nothing was removed: this is what would be");
  return context.output.print(
      {Field::number("floor", response->floor()), Field::number("removed", response->removed())});
}

Result<int> accept(Context& context, const LogOptions& options) {
  if (!options.yes) {
    return Error{
        Code::kBadArgument,
        "accept-loss gives up the unreadable end of the log for good and makes a new history: "
        "look with `tidegate log info --data DIR`, keep a copy of the directory, then say --yes"};
  }
  auto accepted = accept_loss(offline(options));
  if (auto* error = std::get_if<EventStore::OpenError>(&accepted)) return error->error;
  const auto& loss = std::get<AcceptedLoss>(accepted);
  return context.output.print({Field::string("log_id", loss.log.text()),
                               Field::string("parent", loss.parent.text()),
                               Field::number("fork_sequence", loss.fork),
                               Field::number("acknowledged_head", loss.acknowledged_head),
                               Field::number("cursors_moved", loss.cursors_moved),
                               Field::boolean("cursors_lost", loss.cursors_lost),
                               Field::boolean("streams_lost", loss.streams_lost),
                               Field::boolean("projections_lost", loss.projections_lost)});
}

}  // namespace

void register_log(CLI::App& app, Context& context) {
  CLI::App* noun = app.add_subcommand("log", "The log as a whole");
  noun->require_subcommand(1);
  auto options = std::make_shared<LogOptions>();
  const std::string data_help = "A data directory that no gateway has open, instead of a gateway";

  CLI::App* about =
      add_verb(*noun, context, options, "info", "Head, floor, identity, lineage and size", info);
  about->add_option("--data", options->data, data_help)->type_name("DIR");
  about->footer(
      "Examples:\n  tidegate log info -o json\n  tidegate log info --data /var/lib/tidegate");

  CLI::App* check =
      add_verb(*noun, context, options, "verify",
               "Read everything and compare sequences, revisions, chain and index", verify);
  check->add_option("--data", options->data, data_help)->type_name("DIR");
  check->footer(
      "Exit 0: sound, 1: problems were found.\n\nExample:\n  tidegate log verify --data "
      "/var/lib/tidegate");

  CLI::App* cut =
      add_verb(*noun, context, options, "trim", "Remove the oldest events for good", trim);
  cut->add_option("--before", options->before, "The first event that stays")
      ->type_name("PLACE")
      ->required();
  cut->add_flag("--dry-run", options->dry_run, "Only say what would be removed");
  cut->add_flag("--yes", options->yes, "Really remove");
  cut->footer(std::string(kPlaceHelp) +
              "\n\nExamples:\n  tidegate log trim --before -90d --dry-run\n  tidegate log trim "
              "--before 100000 --yes");

  CLI::App* loss =
      add_verb(*noun, context, options, "accept-loss",
               "Open a damaged log: keep what is readable, under a new log id", accept);
  loss->add_option("--data", options->data, "The data directory")->type_name("DIR")->required();
  loss->add_flag("--yes", options->yes, "Really give up the rest");
  loss->footer("Example:\n  tidegate log accept-loss --data /var/lib/tidegate --yes");
}

}  // namespace tidegate
