#include <array>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <sys/random.h>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "eventstore/base/text.h"
#include "gateway/cloudevents/cloud_event.h"
#include "tools/tidegate/command.h"
#include "tools/tidegate/output.h"
#include "tools/tidegate/services.h"

namespace tidegate {
namespace {

struct PublishOptions {
  std::string stream;
  std::string type;
  std::string source = "/tidegate-cli";
  std::string id;
  std::string subject;
  std::string time;
  std::string content_type;
  std::vector<std::string> attributes;
  std::optional<std::string> data;
  std::optional<std::string> expect_revision;
  bool expect_absent = false;
  bool expect_present = false;
  bool buffered = false;
};

// Version 4: 122 random bits.
std::string random_uuid() {
  std::array<unsigned char, 16> bytes{};
  TG_CHECK(getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0F) | 0x40);
  bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3F) | 0x80);
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    fmt::format_to(std::back_inserter(text), "{:02x}", bytes[i]);
  }
  return text;
}

Result<std::string> contents_of(const std::string& data) {
  const auto read_all = [](std::istream& in) {
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  if (data == "-") return read_all(std::cin);
  if (!data.starts_with('@')) return data;
  std::ifstream file(data.substr(1), std::ios::binary);
  if (!file)
    return Error{Code::kBadArgument,
                 fmt::format("cannot read the file '{}' of --data", data.substr(1))};
  return read_all(file);
}

void set_text(v1::CloudEvent& event, const std::string& name, const std::string& value) {
  if (!value.empty()) (*event.mutable_attributes())[name].set_ce_string(value);
}

Status add_data(const PublishOptions& options, v1::CloudEvent& event) {
  if (!options.data) return {};
  Result<std::string> data = contents_of(*options.data);
  if (!data) return data.error();
  if (options.content_type.empty()) set_text(event, "datacontenttype", "application/json");
  if (is_valid_utf8(*data)) {
    event.set_text_data(*std::move(data));
  } else {
    event.set_binary_data(*std::move(data));
  }
  return {};
}

Result<v1::CloudEvent> event_of(const PublishOptions& options) {
  v1::CloudEvent event;
  event.set_id(options.id.empty() ? random_uuid() : options.id);
  event.set_source(options.source);
  event.set_spec_version("1.0");
  event.set_type(options.type);
  set_text(event, "subject", options.subject);
  set_text(event, "time", options.time);
  set_text(event, "datacontenttype", options.content_type);
  for (const std::string& attribute : options.attributes) {
    const std::size_t equals = attribute.find('=');
    if (equals == std::string::npos || equals == 0) {
      return Error{Code::kBadArgument,
                   fmt::format("'{}' is not NAME=VALUE, as --attribute wants it", attribute)};
    }
    (*event.mutable_attributes())[attribute.substr(0, equals)].set_ce_string(
        attribute.substr(equals + 1));
  }
  if (Status added = add_data(options, event); !added) return added.error();
  // The same checks as the gateway's, without a round trip and before anything is sent.
  Result<NewEvent> checked = make_new_event(options.stream, event);
  if (checked) return event;
  Error error = checked.error();
  if (options.data && options.content_type.empty() &&
      error.message.find("data") != std::string::npos) {
    error.message += "; for other than JSON say --content-type, e.g. text/plain";
  }
  return error;
}

void add_check(const PublishOptions& options, v1::PublishRequest& request) {
  if (!options.expect_revision && !options.expect_absent && !options.expect_present) return;
  v1::Check& check = *request.add_checks();
  check.set_stream(options.stream);
  if (options.expect_revision) check.set_revision(parse_u64(*options.expect_revision).value_or(0));
  if (options.expect_absent) check.set_absent(true);
  if (options.expect_present) check.set_present(true);
}

Result<int> publish(Context& context, const PublishOptions& options) {
  Result<v1::CloudEvent> event = event_of(options);
  if (!event) return event.error();
  auto client = Client::make(context);
  if (!client) return client.error();
  v1::PublishRequest request;
  v1::NewEvent& wanted = *request.add_events();
  wanted.set_stream(options.stream);
  *wanted.mutable_event() = *event;
  add_check(options, request);
  request.set_durability(options.buffered ? v1::DURABILITY_BUFFERED : v1::DURABILITY_SYNCED);
  auto response = call(**client, &v1::EventService::Stub::Publish, request);
  if (!response) {
    Error error = response.error();
    if (error.code == Code::kOutcomeUnknown) {
      error.message += fmt::format(
          "; it may be stored or not: the same command with --id {} is safe", event->id());
    }
    return error;
  }
  if (response->events_size() != 1)
    return Error{Code::kInternal, "the gateway answered for no event"};
  const v1::PublishedEvent& published = response->events(0);
  return context.output.print(
      {Field::string("stream", options.stream), Field::number("sequence", published.sequence()),
       Field::number("revision", published.revision()), Field::string("id", event->id()),
       Field::boolean("deduplicated", published.deduplicated()),
       Field::string("durability",
                     response->durability() == v1::DURABILITY_BUFFERED ? "buffered" : "synced"),
       Field::string("position", response->position())});
}

void add_options(CLI::App& command, PublishOptions& options) {
  command.add_option("STREAM", options.stream, "The stream, e.g. orders.eu.42")->required();
  command.add_option("--type", options.type, "What happened, e.g. order.placed")->required();
  command.add_option("--source", options.source, "URI-reference of the producer")
      ->capture_default_str();
  command.add_option("--id", options.id,
                     "Unique within the source; a random UUID when it is not given");
  command.add_option("--subject", options.subject, "What it happened to");
  command.add_option("--time", options.time, "When it happened, RFC 3339");
  command.add_option("--content-type", options.content_type,
                     "Of the data; application/json when it is not given");
  command
      .add_option("--attribute", options.attributes,
                  "An extension attribute; may be given several times")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
  command
      .add_option("--data", options.data,
                  "The data itself, the file that holds it, or - for standard input")
      ->type_name("JSON|@FILE|-");
  CLI::Option* revision = command
                              .add_option("--expect-revision", options.expect_revision,
                                          "Only if this is the stream's last revision")
                              ->type_name("N")
                              ->check([](const std::string& text) {
                                return parse_u64(text) ? "" : "'" + text + "' is not a revision";
                              });
  CLI::Option* absent = command.add_flag("--expect-absent", options.expect_absent,
                                         "Only if the stream never had an event");
  CLI::Option* present =
      command.add_flag("--expect-present", options.expect_present, "Only if it had one");
  revision->excludes(absent)->excludes(present);
  absent->excludes(present);
  command.add_flag("--buffered", options.buffered,
                   "Do not wait for the disk: a power loss within 20 ms may lose the event");
}

}  // namespace

void register_publish(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("publish", "Append one event");
  auto options = std::make_shared<PublishOptions>();
  add_options(*command, *options);
  command->footer(
      "Examples:\n"
      "  tidegate publish orders.eu.42 --type order.placed --data '{\"total\":12}'\n"
      "  tidegate publish orders.eu.42 --type order.paid --data @paid.json --expect-revision 1\n"
      "  echo hello | tidegate publish notes --type note --content-type text/plain --data -");
  command->callback([&context, options] {
    context.run = [&context, options] { return publish(context, *options); };
  });
}

}  // namespace tidegate
