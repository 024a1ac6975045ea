#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "tools/bench/load/event_text.h"
#include "tools/bench/load/peer.h"
#include "tools/bench/load/scenarios.h"

// tidegate_load: one light load client for every peer that tools/bench/compare measures, which
// starts the peers and this. Prints one JSON object a run.

namespace {

using tidegate::load::Options;

CLI::App* add_scenario(CLI::App& app, const char* name, const char* purpose, Options& options) {
  CLI::App* command = app.add_subcommand(name, purpose);
  command->add_option("--peer", options.peer, "What to talk to")
      ->check(CLI::IsMember(tidegate::load::peer_names()))
      ->required();
  command
      ->add_option("--server-pids", options.server_pids,
                   "The peer's processes, separated by commas: their processor time is reported")
      ->delimiter(',');
  return command;
}

void add_size(CLI::App& command, Options& options) {
  command.add_option("--size", options.size, "Bytes of an event")
      ->check(CLI::Range(tidegate::load::kEventHeadBytes, std::size_t{60'000}))
      ->capture_default_str();
  command.add_option("--seconds", options.seconds, "How long to publish")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--publish-port", options.publish_port, "Where publishers connect")
      ->required();
}

void add_subscribers(CLI::App& command, Options& options) {
  command.add_option("--subscribers", options.subscribers, "WebSocket connections")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--subscribe-port", options.subscribe_port, "Where subscribers connect")
      ->required();
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Loads a peer of Tidegate on this machine (see tools/bench/compare)");
  app.require_subcommand(1);

  CLI::App* ingest = add_scenario(app, "ingest", "Acknowledged publishes", options);
  add_size(*ingest, options);
  ingest->add_option("--publishers", options.publishers, "Connections")->capture_default_str();
  ingest->add_option("--window", options.window, "Unacknowledged events of a publisher")
      ->capture_default_str();
  ingest->add_option("--events", options.events, "Publish so many events, however long it takes");

  CLI::App* fanout = add_scenario(app, "fanout", "One publisher, many subscribers", options);
  add_size(*fanout, options);
  add_subscribers(*fanout, options);
  fanout->add_option("--window", options.window, "Events that not all have received")
      ->capture_default_str();
  fanout->add_option("--rate", options.rate, "Events per second by a schedule, without a window");

  CLI::App* catchup = add_scenario(app, "catchup", "Subscribers that read stored events", options);
  add_subscribers(*catchup, options);
  catchup->add_option("--events", options.events, "How many are stored")->required();

  CLI::App* idle = add_scenario(app, "idle", "Memory of silent connections", options);
  add_subscribers(*idle, options);

  CLI::App* storm = add_scenario(app, "storm", "Subscribers that are cut and resume", options);
  add_size(*storm, options);
  add_subscribers(*storm, options);
  storm->add_option("--rate", options.rate, "Events per second")->required();
  storm->add_option("--down", options.down_seconds, "Seconds without connections")
      ->capture_default_str();

  CLI11_PARSE(app, argc, argv);
  const auto run = ingest->parsed()    ? tidegate::load::run_ingest
                   : fanout->parsed()  ? tidegate::load::run_fanout
                   : storm->parsed()   ? tidegate::load::run_storm
                   : catchup->parsed() ? tidegate::load::run_catchup
                                       : tidegate::load::run_idle;
  const tidegate::Status done = run(options);
  if (done) return 0;
  fmt::print(stderr, "tidegate_load: {}: {}\n", options.peer, done.error().message);
  return 1;
}
