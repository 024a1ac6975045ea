#include "tools/tidegate/selection.h"

#include <CLI/CLI.hpp>

#include "eventstore/filter.h"
#include "tidegate/v1/event_service.pb.h"

namespace tidegate {
namespace {

void set_time(google::protobuf::Timestamp& time, std::int64_t time_us) {
  time.set_seconds(time_us / 1'000'000);
  time.set_nanos(static_cast<std::int32_t>(time_us % 1'000'000) * 1000);
}

}  // namespace

void Selection::add_filter_options(CLI::App& command) {
  command.add_option(
      "PATTERN", patterns,
      "Streams: a name, * for one token, > for the rest; in quotes. Default: every stream");
  command.add_option("--type", types, "Only events of this type; may be given several times")
      ->allow_extra_args(false);
}

void Selection::add_begin_options(CLI::App& command) {
  command.add_option("--from", from, "Begin with this PLACE, inclusive (a position: after it)")
      ->type_name("PLACE");
  command.add_option("--after", after, "Begin after this PLACE")->type_name("PLACE");
}

void Selection::add_end_options(CLI::App& command) {
  command.add_option("--until", until, "End with this PLACE, inclusive")->type_name("PLACE");
  add_number(command, "--limit", limit, "At most this many events");
}

Result<v1::Filter> Selection::filter() const {
  v1::Filter filter;
  for (const std::string& pattern : patterns) filter.add_streams(pattern);
  for (const std::string& type : types) filter.add_types(type);
  if (patterns.empty()) filter.add_streams(">");
  Result<Filter> checked = Filter::make({filter.streams().begin(), filter.streams().end()}, types);
  if (!checked) return checked.error();
  return filter;
}

v1::Start start_from(const Place& from) {
  v1::Start start;
  switch (from.kind) {
    case Place::Kind::kStart:
      start.set_edge(v1::EDGE_START);
      break;
    case Place::Kind::kHead:
      start.set_edge(v1::EDGE_HEAD);
      break;
    case Place::Kind::kSequence:
      start.set_after_sequence(from.sequence == 0 ? 0 : from.sequence - 1);
      break;
    case Place::Kind::kPosition:
      start.set_after(from.position.text());
      break;
    case Place::Kind::kTime:
      set_time(*start.mutable_from_time(), from.time_us);
      break;
  }
  return start;
}

v1::Start start_after(const Place& after) {
  v1::Start start = start_from(after);
  if (after.kind == Place::Kind::kSequence) start.set_after_sequence(after.sequence);
  if (after.kind == Place::Kind::kTime) set_time(*start.mutable_from_time(), after.time_us + 1);
  return start;
}

bool set_start(const Range& range, v1::Start& start) {
  if (range.from) start = start_from(*range.from);
  if (range.after) start = start_after(*range.after);
  return range.from || range.after;
}

void set_read_end(const Place& until, v1::ReadRequest& request) {
  if (until.kind == Place::Kind::kTime) {
    set_time(*request.mutable_until_time(), until.time_us);
  } else if (until.kind != Place::Kind::kHead) {
    request.set_until_sequence(until.sequence);
  }
}

}  // namespace tidegate
