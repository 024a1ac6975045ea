#include <algorithm>

#include <CLI/CLI.hpp>

#include "eventstore/base/text.h"
#include "tools/tidegate/command.h"
#include "tools/tidegate/output.h"
#include "tools/tidegate/services.h"

namespace tidegate {
namespace {

Field bytes(std::string name, std::uint64_t value) {
  return {std::move(name), human_bytes(value), std::to_string(value)};
}

Field libraries(const google::protobuf::Map<std::string, std::string>& versions) {
  std::vector<std::pair<std::string, std::string>> sorted(versions.begin(), versions.end());
  std::sort(sorted.begin(), sorted.end());
  Field field{"libraries", "", "{"};
  for (const auto& [name, version] : sorted) {
    if (!field.text.empty()) {
      field.text += ", ";
      field.json += ',';
    }
    field.text += name + " " + version;
    append_json_string(field.json, name);
    field.json += ':';
    append_json_string(field.json, version);
  }
  field.json += '}';
  return field;
}

Result<int> status(Context& context) {
  auto client = Client::make(context);
  if (!client) return client.error();
  auto response = call(**client, &v1::AdminService::Stub::GetStatus, v1::GetStatusRequest());
  if (!response) return response.error();
  const v1::GetStatusResponse& now = *response;
  const std::int64_t started_us =
      now.started().seconds() * 1'000'000 + now.started().nanos() / 1000;
  return context.output.print(
      {Field::string("server", (*client)->server()), Field::string("version", now.version()),
       Field::string("state", now.state()), Field::time("started", started_us, now.has_started()),
       Field::string("position", now.position()), Field::number("connections", now.connections()),
       Field::number("subscriptions", now.subscriptions()), Field::number("behind", now.behind()),
       bytes("ingest_queue_bytes", now.ingest_queue_bytes()), bytes("tail_bytes", now.tail_bytes()),
       bytes("disk_free_bytes", now.disk_free_bytes()), libraries(now.libraries())});
}

}  // namespace

void register_server(CLI::App& app, Context& context) {
  CLI::App* noun = app.add_subcommand("server", "The gateway itself");
  noun->require_subcommand(1);
  CLI::App* verb = noun->add_subcommand("status", "How it is: state, load, disk, versions");
  verb->footer(
      "Examples:\n  tidegate server status\n  tidegate server status --server gateway:7090 -o "
      "json");
  verb->callback([&context] { context.run = [&context] { return status(context); }; });
}

}  // namespace tidegate
