// What definitions would become: `projection validate` and `test`.

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "eventstore/base/clock.h"
#include "eventstore/base/text.h"
#include "tools/tidegate/output.h"
#include "tools/tidegate/place.h"
#include "tools/tidegate/projection.h"
#include "tools/tidegate/projection_file.h"
#include "tools/tidegate/projection_rows.h"
#include "tools/tidegate/projection_state.h"
#include "tools/tidegate/selection.h"
#include "tools/tidegate/services.h"
#include "tools/tidegate/verb.h"

namespace tidegate {
namespace {

// A million events through a script that uses its budget.
constexpr std::chrono::minutes kTrialTimeout{10};
constexpr std::uint64_t kTrialRowsMax = 10'000;

struct DefinitionOptions {
  std::vector<std::string> files;
  std::string from;
  std::string until;
  std::uint64_t limit = 100;
  RowView view;
};

Result<v1::Projection> validate_file(Client& client, const std::string& path) {
  Result<DefinitionFile> file = read_definition(path);
  if (!file) return file.error();
  return send_definition(client, *file, true);
}

// Looks at every file, and ends with what is wrong with the last of the wrong ones.
Result<int> validate_definitions(Context& context, const DefinitionOptions& options) {
  auto client = Client::make(context);
  if (!client) return client.error();
  std::vector<Row> rows;
  std::optional<Error> wrong;
  for (const std::string& file : options.files) {
    Result<v1::Projection> projection = validate_file(**client, file);
    if (projection) {
      rows.push_back({Field::string("file", file), Field::string("name", projection->name()),
                      Field::string("description", projection->description())});
      continue;
    }
    if (wrong) {
      std::string text;
      append_for_terminal(text, wrong->message);
      say(text);
    }
    wrong = projection.error();
  }
  Result<int> printed = context.output.print({"file", "name", "description"}, rows);
  if (!wrong) return printed;
  return *std::move(wrong);
}

Field failure_field(const v1::TestProjectionResponse& report) {
  if (!report.has_failure()) return Field{"failure", "-", "null"};
  std::string message;
  append_json_string(message, report.failure().message());
  return Field{
      "failure", failure_text(report.failure()),
      fmt::format(R"({{"sequence":{},"message":{}}})", report.failure().sequence(), message)};
}

// The rows that are shown: without an order of their own, those that come first by key.
std::vector<v1::ProjectionRow> shown_rows(const v1::TestProjectionResponse& report,
                                          const DefinitionOptions& options) {
  std::vector<v1::ProjectionRow> rows(report.rows().begin(), report.rows().end());
  if (options.view.sort.empty()) return rows;
  if (report.row_count() > rows.size())
    say(fmt::format("of {} only the first {} by key are sorted", counted(report.row_count(), "row"),
                    rows.size()));
  sort_rows(rows, options.view);
  rows.resize(std::min<std::size_t>(rows.size(), options.limit));
  return rows;
}

Result<int> print_report(Context& context, const v1::TestProjectionResponse& report,
                         const DefinitionOptions& options, const DefinitionFile& file) {
  const std::vector<v1::ProjectionRow> rows = shown_rows(report, options);
  if (Status known = check_fields(rows, options.view); !known) return known.error();
  Result<int> printed = kExitOk;
  if (context.output.chosen() == Format::kJson) {
    std::string json = "[";
    for (const v1::ProjectionRow& row : rows) {
      if (json.size() > 1) json += ',';
      json += row_json(row);
    }
    if (context.output.is_terminal()) {
      std::string shown;
      append_json_for_terminal(shown, json);
      json = std::move(shown);
    }
    printed = context.output.print({Field::number("examined", report.examined()),
                                    Field::number("matched", report.matched()),
                                    Field::number("row_count", report.row_count()),
                                    Field::string("position", report.position()),
                                    failure_field(report), Field{"rows", "", json + "]"}});
  } else {
    printed = print_rows(context.output, rows, options.view);
    say(fmt::format(
        "{} examined, {} matched, {}{}", counted(report.examined(), "event"), report.matched(),
        counted(report.row_count(), "row"),
        report.row_count() > rows.size() ? fmt::format("; the first {} shown", rows.size()) : ""));
  }
  if (!printed || !report.has_failure()) return printed;
  std::string text;
  append_for_terminal(text, in_script_file(file, failure_text(report.failure())));
  say(text + "; the rows are as of the event before");
  return kExitFailure;
}

Result<v1::TestProjectionRequest> trial_of(const DefinitionOptions& options,
                                           const DefinitionFile& file) {
  Result<Range> range = parse_range(options.from, "", options.until, SystemClock().wall_us());
  if (!range) return range.error();
  v1::TestProjectionRequest request;
  if (range->until && range->until->kind == Place::Kind::kTime) {
    return Error{
        Code::kBadArgument,
        fmt::format("--until {} is a time: give a sequence or a position", range->until->text)};
  }
  if (range->until) request.set_until_sequence(range->until->sequence);
  set_start(*range, *request.mutable_start());
  if (!range->from) request.clear_start();
  request.set_definition(file.text);
  // Sorting is about all rows, as far as an answer can hold them.
  request.set_limit(
      static_cast<std::uint32_t>(options.view.sort.empty() ? options.limit : kTrialRowsMax));
  return request;
}

// The gateway begins where the log does, and would say "0 events examined" of what is gone.
Status check_until(Client& client, const v1::TestProjectionRequest& request) {
  if (request.until_sequence() == 0) return {};
  auto floor = floor_of_log(client);
  if (!floor) return floor.error();
  if (request.until_sequence() >= *floor) return {};
  return Error{Code::kTrimmed, fmt::format("events up to {} are gone: the log begins at {}",
                                           request.until_sequence(), *floor)};
}

Result<int> test_definition(Context& context, const DefinitionOptions& options) {
  Result<DefinitionFile> file = read_definition(options.files.front());
  if (!file) return file.error();
  Result<v1::TestProjectionRequest> request = trial_of(options, *file);
  if (!request) return request.error();
  auto client = Client::make(context);
  if (!client) return client.error();
  if (Status held = check_until(**client, *request); !held) return held.error();
  auto report =
      call(**client, &v1::ProjectionService::Stub::TestProjection, *request, kTrialTimeout);
  if (!report) return in_file(*file, report.error());
  return print_report(context, *report, options, *file);
}

}  // namespace

void add_projection_definition(CLI::App& noun, Context& context) {
  auto options = std::make_shared<DefinitionOptions>();
  CLI::App* validate = add_verb(noun, context, options, "validate",
                                "Check definitions, scripts included", validate_definitions);
  validate->add_option("FILE", options->files, kDefinitionFileHelp)->required();
  validate->footer(
      "`tidegate projection test FILE` shows what a definition makes of the log.\n\nExample:\n  "
      "tidegate projection validate *.toml");

  CLI::App* test = add_verb(noun, context, options, "test",
                            "Show what a definition makes of a part of the log, and store nothing",
                            test_definition);
  test->add_option("FILE", options->files, "A definition in TOML; - is standard input")
      ->required()
      ->expected(1);
  test->add_option("--from", options->from, "Begin with this PLACE, inclusive; default: start")
      ->type_name("PLACE");
  test->add_option("--until", options->until,
                   "End with this sequence or position, inclusive; at most a million events")
      ->type_name("PLACE");
  add_number(*test, "--limit", options->limit, "At most this many rows; default 100", 1,
             kTrialRowsMax);
  options->view.add_options(*test);
  test->footer(std::string(kPlaceHelp) +
               "\n\nExample:\n  tidegate projection test departures.toml --from -1h");
}

}  // namespace tidegate
