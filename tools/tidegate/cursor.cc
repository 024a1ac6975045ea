#include <memory>

#include <fmt/format.h>

#include "eventstore/base/clock.h"
#include "tools/tidegate/command.h"
#include "tools/tidegate/output.h"
#include "tools/tidegate/place.h"
#include "tools/tidegate/selection.h"
#include "tools/tidegate/services.h"
#include "tools/tidegate/verb.h"

namespace tidegate {
namespace {

struct CursorOptions {
  std::string name;
  std::string prefix;
  std::string to;
  bool dry_run = false;
};

Row row_of(const v1::Cursor& cursor) {
  const std::int64_t time_us =
      cursor.acknowledged().seconds() * 1'000'000 + cursor.acknowledged().nanos() / 1000;
  return {Field::string("name", cursor.name()),
          Field::number("sequence", cursor.sequence()),
          Field::number("behind", cursor.behind()),
          Field::time("acknowledged", time_us, cursor.has_acknowledged()),
          Field::number("generation", cursor.generation()),
          Field::boolean("lapsed", cursor.lapsed()),
          Field::string("position", cursor.position())};
}

Result<int> list(Context& context, const CursorOptions& options) {
  auto client = Client::make(context);
  if (!client) return client.error();
  std::vector<Row> rows;
  v1::ListCursorsRequest request;
  request.set_prefix(options.prefix);
  request.set_page_size(1000);
  do {
    auto page = call(**client, &v1::CursorService::Stub::ListCursors, request);
    if (!page) return page.error();
    for (const v1::Cursor& cursor : page->cursors()) rows.push_back(row_of(cursor));
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  return context.output.print(
      {"name", "sequence", "behind", "acknowledged", "generation", "lapsed", "position"}, rows);
}

Result<int> info(Context& context, const CursorOptions& options) {
  auto client = Client::make(context);
  if (!client) return client.error();
  v1::GetCursorRequest request;
  request.set_name(options.name);
  auto response = call(**client, &v1::CursorService::Stub::GetCursor, request);
  if (!response) return response.error();
  return context.output.print(row_of(response->cursor()));
}

Result<int> seek(Context& context, const CursorOptions& options) {
  Result<Place> place = parse_place(options.to, SystemClock().wall_us());
  if (!place) return place.error();
  auto client = Client::make(context);
  if (!client) return client.error();
  v1::SeekCursorRequest request;
  request.set_name(options.name);
  *request.mutable_to() = start_from(*place);
  request.set_dry_run(options.dry_run);
  auto response = call(**client, &v1::CursorService::Stub::SeekCursor, request);
  if (!response) return response.error();
  const std::string& before = response->previous_position();
  say(fmt::format("{} {} {} sequence {}{}", options.name, options.dry_run ? "would move" : "moved",
                  "to", response->cursor().sequence(),
                  before.empty() ? "; it is new" : "; it was at " + before));
  Row row = row_of(response->cursor());
  row.push_back(Field::string("previous_position", before));
  return context.output.print(row);
}

Result<int> remove(Context& context, const CursorOptions& options) {
  auto client = Client::make(context);
  if (!client) return client.error();
  v1::DeleteCursorRequest request;
  request.set_name(options.name);
  auto response = call(**client, &v1::CursorService::Stub::DeleteCursor, request);
  if (!response) return response.error();
  say("removed cursor " + options.name);
  return kExitOk;
}

}  // namespace

void register_cursor(CLI::App& app, Context& context) {
  CLI::App* noun = app.add_subcommand("cursor", "Named durable positions");
  noun->require_subcommand(1);
  auto options = std::make_shared<CursorOptions>();

  CLI::App* ls =
      add_verb(*noun, context, options, "ls", "List cursors and how far behind they are", list);
  ls->add_option("PREFIX", options->prefix, "Only names that begin with this");
  ls->footer("Example:\n  tidegate cursor ls");

  CLI::App* get = add_verb(*noun, context, options, "info", "Show one cursor", info);
  get->add_option("NAME", options->name, "Its name")->required();
  get->footer("Example:\n  tidegate cursor info billing");

  CLI::App* move = add_verb(
      *noun, context, options, "seek",
      "Move a cursor; a subscription that has it open ends. Makes it when it is new", seek);
  move->add_option("NAME", options->name, "Its name")->required();
  move->add_option("--to", options->to, "The next event it gets, or the position that it has then")
      ->type_name("PLACE")
      ->required();
  move->add_flag("--dry-run", options->dry_run, "Only say what would happen");
  move->footer(std::string(kPlaceHelp) +
               "\n\nExamples:\n  tidegate cursor seek billing --to start\n"
               "  tidegate cursor seek billing --to -1h --dry-run");

  CLI::App* rm = add_verb(*noun, context, options, "rm", "Remove a cursor", remove);
  rm->add_option("NAME", options->name, "Its name")->required();
  rm->footer("Example:\n  tidegate cursor rm billing");
}

}  // namespace tidegate
