#include "tools/tidegate/bench.h"

#include <CLI/CLI.hpp>

#include "tools/tidegate/command.h"

namespace tidegate {

void add_server_pid(CLI::App& command, std::uint64_t& server_pid) {
  add_number(command, "--server-pid", server_pid,
             "The gateway's process, if it is on this machine: its processor time and memory are "
             "reported");
}

void register_bench(CLI::App& app, Context& context) {
  CLI::App* noun = app.add_subcommand("bench", "Measure a gateway: how fast, and is it right?");
  noun->require_subcommand(1);
  register_bench_ingest(*noun, context);
  register_bench_fanout(*noun, context);
  noun->footer(
      "The events are written to the gateway's log for good: measure a gateway that has a data "
      "directory to throw away.\n"
      "Give the gateway and this client cores of their own (`taskset -c 0 tidegated ..`, `taskset "
      "-c 1 tidegate bench ..`)\n"
      "and compare by server_cpu_us_per_.. where the machine is not quiet.");
}

}  // namespace tidegate
