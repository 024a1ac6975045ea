// The command line of Tidegate: each noun is one file, which registers its subcommands here.

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "eventstore/base/text.h"
#include "tools/tidegate/command.h"
#include "tools/tidegate/interrupt.h"
#include "tools/tidegate/output.h"

namespace tidegate {
namespace {

std::string line_of(const ErrorDetail& detail) {
  switch (detail.kind) {
    case ErrorDetail::Kind::kField:
      return detail.subject + ": " + detail.description;
    case ErrorDetail::Kind::kFact:
      return detail.subject + " " + detail.description;
    default:
      return "stream " + detail.subject + ": " + detail.description;
  }
}

int report(const Error& error) {
  std::string text;
  append_for_terminal(text, error.message);
  say(text);
  for (const ErrorDetail& detail : error.details) {
    // A single wrong field is told by the message already.
    if (error.message.find(detail.description) != std::string::npos) continue;
    std::string line;
    append_for_terminal(line, line_of(detail));
    fmt::print(stderr, "  {}\n", line);
  }
  if (error.retry_after_ms > 0) fmt::print(stderr, "  try again in {} ms\n", error.retry_after_ms);
  return code_info(error.code).exit_code;
}

// The subcommand that the arguments got to, for its help.
std::string chosen_command(const CLI::App& app) {
  const auto chosen = app.get_subcommands();
  if (chosen.empty()) return app.get_name();
  return app.get_name() + " " + chosen_command(*chosen.front());
}

// CLI11 only says that a command is missing. Empty when none was mistyped.
std::string unknown_command(const CLI::App& app) {
  const CLI::App* inner = &app;
  while (!inner->get_subcommands().empty()) inner = inner->get_subcommands().front();
  const auto commands = inner->get_subcommands([](const CLI::App*) { return true; });
  const std::vector<std::string> rest = app.remaining(true);
  const auto word = std::find_if(rest.begin(), rest.end(),
                                 [](const std::string& text) { return !text.starts_with('-'); });
  if (commands.empty() || word == rest.end()) return "";
  std::string names;
  for (const CLI::App* command : commands)
    names += (names.empty() ? "" : ", ") + command->get_name();
  return fmt::format("{} has no command '{}': there are {}", chosen_command(app), *word, names);
}

int usage(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) return app.exit(error);
  const std::string unknown = unknown_command(app);
  say(unknown.empty() ? error.what() : unknown);
  fmt::print(stderr, "See `{} --help`.\n", chosen_command(app));
  return kExitUsage;
}

void add_globals(CLI::App& app, Context& context) {
  app.set_version_flag("--version", "tidegate " TIDEGATE_VERSION);
  app.fallthrough();
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  app.add_option("--server", context.server, "The gateway's gRPC address")
      ->type_name("HOST:PORT")
      ->envname("TIDEGATE_SERVER")
      ->capture_default_str();
  app.add_option("--token-file", context.token_file,
                 "File with the token to send (or TIDEGATE_TOKEN with the token itself)")
      ->type_name("FILE")
      ->envname("TIDEGATE_TOKEN_FILE");
  app.add_flag("--tls", context.tls.is_on, "Speak TLS to the gateway")->envname("TIDEGATE_TLS");
  app.add_option("--tls-ca", context.tls.ca_file,
                 "PEM file with who signs the gateway's certificate; else those the system trusts")
      ->type_name("FILE")
      ->envname("TIDEGATE_TLS_CA");
  app.add_option("--tls-cert", context.tls.certificate_file,
                 "PEM file with a certificate to show to the gateway")
      ->type_name("FILE")
      ->envname("TIDEGATE_TLS_CERT");
  app.add_option("--tls-key", context.tls.key_file, "PEM file with its key")
      ->type_name("FILE")
      ->envname("TIDEGATE_TLS_KEY");
  // Not an option: arguments are seen by everybody on the machine.
  if (const char* token = std::getenv("TIDEGATE_TOKEN")) context.token = token;
  app.add_option_function<std::string>(
         "-o,--output",
         [&context](const std::string& name) {
           context.output.choose(name == "json"    ? Format::kJson
                                 : name == "jsonl" ? Format::kJsonl
                                                   : Format::kTable);
         },
         "table, json or jsonl. Events: table on a terminal, jsonl in a pipe; everything else: "
         "table")
      ->type_name("FORMAT")
      ->check([](const std::string& name) {
        const bool known = name == "table" || name == "json" || name == "jsonl";
        return known ? "" : "'" + name + "' is not table, json or jsonl";
      });
  app.footer(
      "Data goes to standard output, everything else to standard error.\n"
      "Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 conflict, 5 denied, 6 unavailable, 7 "
      "incomplete, "
      "130 interrupted.\n"
      "`tidegate COMMAND --help` has examples.");
}

// The options of the program itself are not in the help of its commands.
void mention_globals(CLI::App& command) {
  const auto commands = command.get_subcommands([](const CLI::App*) { return true; });
  for (CLI::App* inner : commands) mention_globals(*inner);
  command.footer(command.get_footer() + (command.get_footer().empty() ? "" : "\n\n") +
                 "Everywhere: -o table|json|jsonl, --server HOST:PORT, --token-file FILE, --tls-ca "
                 "FILE (see `tidegate --help`).");
}

int run(int argc, char** argv) {
  Output output(STDOUT_FILENO);
  Interrupt interrupt;
  Context context{output, interrupt};
  CLI::App app(
      "Publish, read, follow, replay and project the log of a Tidegate gateway, and look after it.",
      "tidegate");
  add_globals(app, context);
  register_publish(app, context);
  register_import(app, context);
  register_read(app, context);
  register_follow(app, context);
  register_replay(app, context);
  register_stream(app, context);
  register_cursor(app, context);
  register_projection(app, context);
  register_log(app, context);
  register_server(app, context);
  register_token(app, context);
  register_bench(app, context);
  for (CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    mention_globals(*command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return usage(app, error);
  }
  const Result<int> result = context.run();
  return result ? *result : report(result.error());
}

}  // namespace
}  // namespace tidegate

int main(int argc, char** argv) {
  // A closed pipe is an error of write(), which Output takes for "the reader has enough".
  std::signal(SIGPIPE, SIG_IGN);
  return tidegate::run(argc, argv);
}
