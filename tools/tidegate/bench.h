#pragma once

#include <cstdint>
#include <string>

namespace CLI {
class App;
}  // namespace CLI

namespace tidegate {

struct Context;

// The scenarios of `tidegate bench`, one file each (bench_NAME.cc). What they share: generated
// events (bench_events.h), publishers (bench_publisher.h), WebSocket subscribers
// (load_websocket.h), and the figures (bench_report.h). A new scenario is a new file, a line here
// and one in bench.cc.

void register_bench_ingest(CLI::App& noun, Context& context);
void register_bench_fanout(CLI::App& noun, Context& context);

// --server-pid, for every scenario.
void add_server_pid(CLI::App& command, std::uint64_t& server_pid);

}  // namespace tidegate
