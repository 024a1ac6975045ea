#include "tools/tidegate/bench.h"

#include <CLI/CLI.hpp>

#include "tools/tidegate/bench_events.h"
#include "tools/tidegate/command.h"

namespace tidegate {

CLI::Option* add_server_pid(CLI::App& command, std::uint64_t& server_pid) {
  return add_number(
      command, "--server-pid", server_pid,
      "The gateway's process, if it is on this machine: its processor time and memory are "
      "reported");
}

void add_subscriber_options(CLI::App& command, SubscriberOptions& options) {
  command.add_option("--http", options.http, "The gateway's WebSocket address")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  add_choice(command, "--form", options.form, "The subprotocol: json or proto", {"json", "proto"})
      ->capture_default_str();
}

void add_threads(CLI::App& command, SubscriberOptions& options) {
  add_number(command, "--threads", options.threads, "Threads of the subscribers", 1, 64)
      ->capture_default_str();
}

void add_event_size(CLI::App& command, SubscriberOptions& options) {
  add_number(command, "--size", options.size, "Bytes of each event's data",
             BenchEvents::kDataBytesMin, BenchEvents::kDataBytesMax)
      ->capture_default_str();
}

void add_stream(CLI::App& command, std::string& stream) {
  command.add_option("--stream", stream, "The stream, which nobody else may write to")
      ->type_name("STREAM")
      ->capture_default_str();
}

void register_bench(CLI::App& app, Context& context) {
  CLI::App* noun = app.add_subcommand("bench", "Measure a gateway: how fast, and is it right?");
  noun->require_subcommand(1);
  register_bench_ingest(*noun, context);
  register_bench_fanout(*noun, context);
  register_bench_catchup(*noun, context);
  register_bench_storm(*noun, context);
  register_bench_idle(*noun, context);
  register_bench_sparse(*noun, context);
  register_bench_match(*noun, context);
  register_bench_growth(*noun, context);
  noun->footer(
      "The events are written to the gateway's log for good: measure a gateway that has a data "
      "directory to throw away.\n"
      "Give the gateway and this client cores of their own (`taskset -c 0 tidegated ..`, `taskset "
      "-c 1 tidegate bench ..`)\n"
      "and compare by server_cpu_us_per_.. where the machine is not quiet.");
}

}  // namespace tidegate
