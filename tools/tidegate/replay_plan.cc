#include "tools/tidegate/replay_plan.h"

#include <fmt/format.h>

#include "gateway/cloudevents/cloud_event.h"

namespace tidegate {
namespace {

bool is_time(const std::optional<Place>& place) {
  return place && place->kind == Place::Kind::kTime;
}

std::string arguments_of(const ReplayOptions& options) {
  std::string text;
  const auto add = [&text](std::string_view name, const std::string& value) {
    if (!value.empty())
      fmt::format_to(std::back_inserter(text), "{}{} {}", text.empty() ? "" : " ", name, value);
  };
  for (const std::string& pattern : options.selection.patterns)
    text += (text.empty() ? "" : " ") + pattern;
  for (const std::string& type : options.selection.types) add("--type", type);
  add("--from", options.selection.from);
  add("--after", options.selection.after);
  add("--until", options.selection.until);
  if (options.selection.limit > 0) add("--limit", std::to_string(options.selection.limit));
  add("--clock", options.clock);
  add("--to", options.to);
  add("--to-file", options.to_file);
  for (const std::string& rule : options.map) add("--map", rule);
  return text;
}

Status check_targets(const ReplayOptions& options) {
  if (!options.to.empty() && !options.to_file.empty()) {
    return Error{Code::kBadArgument, "--to and --to-file are two targets: give one of them"};
  }
  if (!options.map.empty() && options.to.empty() && options.to_file.empty()) {
    return Error{Code::kBadArgument, "--map renames streams on their way to --to or --to-file"};
  }
  if (!options.to.empty() && !options.yes && !options.dry_run) {
    return Error{
        Code::kBadArgument,
        fmt::format("a replay to {} publishes there for good: look with --dry-run, then say --yes",
                    options.to)};
  }
  return {};
}

}  // namespace

Result<ReplayPlan> ReplayPlan::make(const ReplayOptions& options, std::int64_t now_us) {
  ReplayPlan plan;
  if (Status targets = check_targets(options); !targets) return targets.error();
  Result<v1::Filter> filter = options.selection.filter();
  if (!filter) return filter.error();
  *plan.request.mutable_filter() = *std::move(filter);
  plan.event_clock_ = options.clock == "event";
  plan.limit = options.selection.limit;
  if (Status ends = plan.set_ends(options, now_us); !ends) return ends.error();
  if (Status pace = plan.set_pace(options); !pace) return pace.error();
  Result<StreamMap> map = StreamMap::parse(options.map);
  if (!map) return map.error();
  plan.map = *std::move(map);
  plan.arguments = arguments_of(options);
  return plan;
}

Status ReplayPlan::set_ends(const ReplayOptions& options, std::int64_t now_us) {
  const Selection& selection = options.selection;
  Result<Range> range = parse_range(selection.from, selection.after, selection.until, now_us);
  if (!range) return range.error();
  if (event_clock_) {
    if (is_time(range->from)) from_us = range->from->time_us;
    if (is_time(range->after)) from_us = range->after->time_us + 1;
    if (is_time(range->until)) until_us = range->until->time_us;
    if (is_time(range->from)) range->from.reset();
    if (is_time(range->after)) range->after.reset();
    if (is_time(range->until)) range->until.reset();
  }
  if (!set_start(*range, *request.mutable_start()))
    request.mutable_start()->set_edge(v1::EDGE_START);
  if (range->until) set_read_end(*range->until, request);
  return {};
}

Status ReplayPlan::set_pace(const ReplayOptions& options) {
  Result<double> speed = parse_speed(options.speed);
  if (!speed) return speed.error();
  pace.speed = *speed;
  pace.rate = options.rate;
  if (options.max_gap.empty()) return {};
  Result<std::int64_t> gap = parse_duration(options.max_gap);
  if (!gap) return gap.error();
  pace.max_gap_us = *gap;
  return {};
}

std::int64_t ReplayPlan::time_us(const v1::RecordedEvent& record) const {
  if (event_clock_) {
    if (const auto time = cloud_event_time_us(record.event())) return *time;
  }
  return record.time().seconds() * 1'000'000 + record.time().nanos() / 1000;
}

}  // namespace tidegate
