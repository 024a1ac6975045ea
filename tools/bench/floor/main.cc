// What the system alone needs, to be compared with what the gateway needs on it.

#include <CLI/CLI.hpp>

#include "tools/bench/floor/floor.h"

int main(int argc, char** argv) {
  CLI::App app("What the kernel and the disk need for what a gateway asks of them.",
               "tidegate_floor");
  app.require_subcommand(1);
  tidegate::bench::SendsOptions sends;
  CLI::App* send = app.add_subcommand("sends", "A message to each of many sockets, by a schedule");
  const CLI::Range positive(std::uint64_t{1}, std::uint64_t{1'000'000});
  send->add_option("--subscribers", sends.subscribers, "Sockets")->check(positive);
  send->add_option("--rate", sends.rate, "Events a second")->check(positive);
  send->add_option("--events", sends.events, "Events")->check(positive);
  send->add_option("--bytes", sends.bytes, "Of a message")
      ->check(CLI::Range(std::uint64_t{8}, std::uint64_t{65'536}));
  send->add_option("--sync-dir", sends.sync_directory,
                   "Where each event is appended to a file and synced before it is sent")
      ->check(CLI::ExistingDirectory);
  send->add_option("--send-core", sends.send_core, "Core of the sender");
  send->add_option("--read-core", sends.read_core, "Core of the reader");
  tidegate::bench::PingsOptions pings;
  CLI::App* ping = app.add_subcommand("pings", "A ping to each of many idle sockets, and its pong");
  ping->add_option("--connections", pings.connections, "Sockets")->check(positive);
  ping->add_option("--period-ms", pings.period_ms, "In which each is pinged once")->check(positive);
  ping->add_option("--ping-core", pings.ping_core, "Core of who pings");
  ping->add_option("--answer-core", pings.answer_core, "Core of who answers");
  std::string directory = ".";
  std::uint64_t times = 2000;
  CLI::App* sync = app.add_subcommand("fdatasync", "4 KiB appended to a file and synced");
  sync->add_option("--dir", directory, "Where")->check(CLI::ExistingDirectory);
  sync->add_option("--times", times, "How often")->check(positive);
  CLI11_PARSE(app, argc, argv);
  if (ping->parsed()) return tidegate::bench::measure_pings(pings);
  return send->parsed() ? tidegate::bench::measure_sends(sends)
                        : tidegate::bench::measure_fdatasync(directory, times);
}
