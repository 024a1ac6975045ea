#include <memory>

#include <CLI/CLI.hpp>

#include "tools/tidegate/command.h"
#include "tools/tidegate/output.h"
#include "tools/tidegate/services.h"

namespace tidegate {
namespace {

Row row_of(const v1::Stream& stream) {
  const std::int64_t time_us =
      stream.last_time().seconds() * 1'000'000 + stream.last_time().nanos() / 1000;
  return {Field::string("name", stream.name()),
          Field::number("first_revision", stream.first_revision()),
          Field::number("last_revision", stream.last_revision()),
          Field::number("last_sequence", stream.last_sequence()),
          Field::time("last_time", time_us, stream.has_last_time())};
}

Result<int> list(Context& context, const std::string& prefix) {
  auto client = Client::make(context);
  if (!client) return client.error();
  std::vector<Row> rows;
  v1::ListStreamsRequest request;
  request.set_prefix(prefix);
  request.set_page_size(1000);
  do {
    auto page = call(**client, &v1::StreamService::Stub::ListStreams, request);
    if (!page) return page.error();
    for (const v1::Stream& stream : page->streams()) rows.push_back(row_of(stream));
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  return context.output.print(
      {"name", "first_revision", "last_revision", "last_sequence", "last_time"}, rows);
}

Result<int> info(Context& context, const std::string& name) {
  auto client = Client::make(context);
  if (!client) return client.error();
  v1::GetStreamRequest request;
  request.set_name(name);
  auto response = call(**client, &v1::StreamService::Stub::GetStream, request);
  if (!response) return response.error();
  return context.output.print(row_of(response->stream()));
}

}  // namespace

void register_stream(CLI::App& app, Context& context) {
  CLI::App* noun = app.add_subcommand("stream", "What streams there are");
  noun->require_subcommand(1);

  auto prefix = std::make_shared<std::string>();
  CLI::App* ls = noun->add_subcommand("ls", "List streams in the order of their names");
  ls->add_option("PREFIX", *prefix, "Only names that begin with this");
  ls->footer("Examples:\n  tidegate stream ls\n  tidegate stream ls flights.ATL. -o json");
  ls->callback(
      [&context, prefix] { context.run = [&context, prefix] { return list(context, *prefix); }; });

  auto name = std::make_shared<std::string>();
  CLI::App* get = noun->add_subcommand("info", "Show one stream");
  get->add_option("STREAM", *name, "Its name")->required();
  get->footer("Example:\n  tidegate stream info flights.ATL.LAX");
  get->callback(
      [&context, name] { context.run = [&context, name] { return info(context, *name); }; });
}

}  // namespace tidegate
