#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "tools/tidegate/event_scanner.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace tidegate {

struct Context;

// The scenarios of `tidegate bench`, one file each (bench_NAME.cc). What they share: generated
// events (bench_events.h), publishers (bench_publisher.h), WebSocket subscribers, many
// (load_websocket.h) or one (load_probe.h), publishing and receiving together (bench_delivery.h),
// and the figures (bench_report.h). A new scenario is a new file, a line here and one in bench.cc.

void register_bench_ingest(CLI::App& noun, Context& context);
// `fanout` and, with a schedule, `latency`.
void register_bench_fanout(CLI::App& noun, Context& context);
void register_bench_catchup(CLI::App& noun, Context& context);
void register_bench_storm(CLI::App& noun, Context& context);
void register_bench_idle(CLI::App& noun, Context& context);
void register_bench_sparse(CLI::App& noun, Context& context);
void register_bench_match(CLI::App& noun, Context& context);
void register_bench_growth(CLI::App& noun, Context& context);

// --server-pid, for every scenario.
CLI::Option* add_server_pid(CLI::App& command, std::uint64_t& server_pid);

// What all scenarios with WebSocket subscribers let choose.
struct SubscriberOptions {
  std::string http = "127.0.0.1:7080";
  std::string form = "json";
  std::uint64_t size = 128;
  std::uint64_t threads = 1;

  LoadForm load_form() const { return form == "proto" ? LoadForm::kProto : LoadForm::kJson; }
  std::size_t data_bytes() const { return static_cast<std::size_t>(size); }
};
// --http and --form.
void add_subscriber_options(CLI::App& command, SubscriberOptions& options);
void add_threads(CLI::App& command, SubscriberOptions& options);
// --size.
void add_event_size(CLI::App& command, SubscriberOptions& options);
// --stream; several scenarios append to the name.
void add_stream(CLI::App& command, std::string& stream);

}  // namespace tidegate
