#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "eventstore/base/clock.h"
#include "tools/tidegate/command.h"
#include "tools/tidegate/event_printer.h"
#include "tools/tidegate/interrupt.h"
#include "tools/tidegate/selection.h"
#include "tools/tidegate/services.h"

namespace tidegate {
namespace {

struct ReadOptions {
  Selection selection;
  bool reverse = false;
};

// Backward the range is the same, walked from its end. The gateway begins with the event at or
// before the place.
void set_backward(const Range& range, v1::ReadRequest& request) {
  request.set_direction(v1::DIRECTION_BACKWARD);
  if (range.until) {
    const bool time = range.until->kind == Place::Kind::kTime;
    *request.mutable_start() = time ? start_from(*range.until) : start_after(*range.until);
  }
  if (range.from && range.from->kind == Place::Kind::kTime) {
    *request.mutable_until_time() = start_from(*range.from).from_time();
  } else if (range.after && range.after->kind == Place::Kind::kTime) {
    *request.mutable_until_time() = start_after(*range.after).from_time();
  } else if (first_sequence(range) > 1) {
    request.set_until_sequence(first_sequence(range));
  }
}

Result<v1::ReadRequest> request_of(const ReadOptions& options) {
  v1::ReadRequest request;
  Result<v1::Filter> filter = options.selection.filter();
  if (!filter) return filter.error();
  *request.mutable_filter() = *std::move(filter);
  const Selection& selection = options.selection;
  Result<Range> range =
      parse_range(selection.from, selection.after, selection.until, SystemClock().wall_us());
  if (!range) return range.error();
  request.set_limit(selection.limit);
  if (options.reverse) {
    set_backward(*range, request);
    return request;
  }
  if (!set_start(*range, *request.mutable_start()))
    request.mutable_start()->set_edge(v1::EDGE_START);
  if (range->until) set_read_end(*range->until, request);
  return request;
}

Result<int> read(Context& context, const ReadOptions& options) {
  Result<v1::ReadRequest> request = request_of(options);
  if (!request) return request.error();
  auto client = Client::make(context);
  if (!client) return client.error();
  grpc::ClientContext call;
  const Interrupt::Guard guard(context.interrupt, [&call] { call.TryCancel(); });
  const auto stream = (*client)->services().events->Read(&call, *request);
  EventPrinter printer(context.output);
  std::string position;
  std::uint64_t count = 0;
  for (v1::ReadResponse response; stream->Read(&response);) {
    for (const v1::RecordedEvent& record : response.events()) printer.print(record);
    if (!context.output.flush()) return context.output.stopped();
    count += static_cast<std::uint64_t>(response.events_size());
    position = response.position();
  }
  const grpc::Status status = stream->Finish();
  if (context.interrupt.happened()) return kExitInterrupted;
  if (!status.ok()) {
    const Error error = (*client)->error_from(status);
    if (count == 0) return error;
    say(fmt::format("incomplete after {} events: {}", count, error.message));
    if (!options.reverse) say("go on with --after " + position);
    return kExitIncomplete;
  }
  printer.finish();
  if (!context.output.flush()) return context.output.stopped();
  return kExitOk;
}

}  // namespace

void register_read(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("read", "Print events of the log, then end");
  auto options = std::make_shared<ReadOptions>();
  options->selection.add_filter_options(*command);
  options->selection.add_begin_options(*command);
  options->selection.add_end_options(*command);
  command->add_flag("--reverse", options->reverse,
                    "Newest first: the same events in the opposite order");
  command->footer(
      std::string(kPlaceHelp) +
      "\n\nExamples:\n"
      "  tidegate read 'flights.ATL.>' --limit 10\n"
      "  tidegate read --reverse --limit 5\n"
      "  tidegate read 'orders.*.42' --type order.paid --from -1d -o jsonl | jq .event.data");
  command->callback([&context, options] {
    context.run = [&context, options] { return read(context, *options); };
  });
}

}  // namespace tidegate
