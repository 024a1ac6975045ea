#include <chrono>
#include <deque>
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "eventstore/base/clock.h"
#include "tools/tidegate/client.h"
#include "tools/tidegate/command.h"
#include "tools/tidegate/event_source.h"
#include "tools/tidegate/interrupt.h"
#include "tools/tidegate/output.h"
#include "tools/tidegate/progress.h"
#include "tools/tidegate/replay_plan.h"
#include "tools/tidegate/replay_state.h"
#include "tools/tidegate/replay_target.h"

namespace tidegate {
namespace {

using std::chrono::microseconds;
using std::chrono::steady_clock;
constexpr std::int64_t kSaveEveryUs = 200'000;
constexpr std::int64_t kRedrawUs = 100'000;
// Nobody sees that an event comes this much too early, and at a high rate one confirmation serves
// several events.
constexpr std::int64_t kShortWaitUs = 2'000;

// One run of `tidegate replay`: pages of the source, each event when it is due, to the target; the
// state behind it. Thread: caller serialises.
class Replay {
 public:
  Replay(Context& context, const ReplayOptions& options, ReplayPlan plan)
      : context_(context),
        options_(options),
        plan_(std::move(plan)),
        pace_(plan_.pace),
        guard_(context.interrupt, [] {}),
        progress_(is_on_screen()) {}

  Result<int> run() {
    auto client = Client::make(context_);
    if (!client) return client.error();
    Result<Position> head = (*client)->head();
    if (!head) return head.error();
    if (Status state = prepare_state(*head); !state) return state.error();
    if (state_.complete) {
      say(fmt::format("the state says that this replay is complete: {} events", state_.events));
      return kExitOk;
    }
    source_ = std::make_unique<EventSource>(**client, context_.interrupt, plan_.request);
    if (options_.dry_run) return count();
    if (Status target = open_target(); !target) return target.error();
    began_ = steady_clock::now();
    Status replayed = replay_all();
    if (replayed) replayed = target_->finish();
    return end(replayed);
  }

 private:
  bool is_on_screen() const {
    const bool to_output = options_.to.empty() && options_.to_file.empty() && !options_.dry_run;
    return to_output && context_.output.is_terminal();
  }

  // A new state, or the one of the file, if it belongs to this replay.
  Status prepare_state(const Position& head) {
    Result<std::optional<ReplayState>> loaded = std::optional<ReplayState>();
    if (!options_.state.empty()) loaded = load_replay_state(options_.state);
    if (!loaded) return loaded.error();
    if (loaded->has_value()) {
      state_ = **std::move(loaded);
      if (Status same = check_resumable(state_, head.log.text(), plan_.arguments); !same)
        return same;
      if (!state_.position.empty()) plan_.request.mutable_start()->set_after(state_.position);
      resumed_events_ = state_.events;
      resumed_sequence_ = state_.sequence;
    } else {
      const Sequence until = plan_.request.until_sequence();
      state_ = {.log = std::string(head.log.text()),
                .arguments = plan_.arguments,
                .end = until == 0 ? head.sequence : std::min(until, head.sequence),
                .from_us = plan_.from_us,
                .until_us = plan_.until_us};
    }
    resume_places_.push_back(state_.position);
    // An end of 0 would mean none; an empty log is read to its end in no time.
    plan_.request.set_until_sequence(state_.end);
    return {};
  }

  Status open_target() {
    if (!options_.to_file.empty()) {
      auto target = make_file_target(options_.to_file, state_.file_bytes);
      if (!target) return target.error();
      target_ = *std::move(target);
    } else if (!options_.to.empty()) {
      auto token = read_token(options_.to_token_file);
      if (!token) return token.error();
      auto client = Client::make(options_.to, *std::move(token), options_.to_tls);
      if (!client) return client.error();
      target_client_ = *std::move(client);
      target_ = make_gateway_target(*target_client_, context_.interrupt);
    } else {
      target_ = make_output_target(context_.output, options_.clock == "event");
    }
    return {};
  }

  bool is_selected(const v1::RecordedEvent& record) const {
    const std::int64_t time_us = plan_.time_us(record);
    return record.sequence() > resumed_sequence_ && time_us >= state_.from_us &&
           time_us <= state_.until_us;
  }
  bool is_limit_reached() const { return plan_.limit > 0 && resumed_events_ + put_ >= plan_.limit; }

  Status replay_all() {
    while (!is_limit_reached()) {
      Result<EventSource::Page> page = source_->next();
      if (!page) return page.error();
      for (v1::RecordedEvent& record : page->events) {
        if (is_limit_reached()) break;
        if (!is_selected(record)) continue;
        if (Status played = play(std::move(record)); !played) return played;
      }
      if (page->last) return {};
      pass(page->position);
    }
    return {};
  }

  // The source is past a page. When the target owes nothing, the state can follow even where
  // nothing matched.
  void pass(const std::string& position) {
    if (target_->confirmed().events == put_) {
      resume_places_.clear();
      if (const Result<Position> place = Position::parse(position))
        passed_sequence_ = place->sequence;
    }
    resume_places_.push_back(position);
  }

  Status play(v1::RecordedEvent record) {
    if (Status waited = wait_until(pace_.next(plan_.time_us(record), elapsed_us()), record);
        !waited)
      return waited;
    Result<std::string> stream = plan_.map.map(record.stream());
    if (!stream) return stream.error();
    record.set_stream(*std::move(stream));
    ++put_;
    if (Status put = target_->put(std::move(record)); !put) return put;
    return save_if_due();
  }

  Status wait_until(std::int64_t due_us, const v1::RecordedEvent& next) {
    show(next);
    if (context_.interrupt.happened()) return Error{Code::kUnavailable, "interrupted"};
    if (due_us - elapsed_us() < kShortWaitUs) return {};
    // What was due is seen now, not when the next event comes.
    if (Status flushed = target_->flush(); !flushed) return flushed;
    if (Status saved = save_if_due(); !saved) return saved;
    for (std::int64_t left = due_us - elapsed_us(); left > 0; left = due_us - elapsed_us()) {
      const std::int64_t slice = progress_.is_shown() ? std::min(left, kRedrawUs) : left;
      if (!context_.interrupt.sleep(microseconds(slice)))
        return Error{Code::kUnavailable, "interrupted"};
      show(next);
    }
    return {};
  }

  std::int64_t elapsed_us() const {
    return std::chrono::duration_cast<microseconds>(steady_clock::now() - began_).count();
  }

  void show(const v1::RecordedEvent& next) {
    if (!progress_.is_shown()) return;
    if (first_sequence_ == 0) first_sequence_ = next.sequence();
    double fraction =
        static_cast<double>(next.sequence() - first_sequence_) /
        static_cast<double>(std::max(state_.end, next.sequence()) - first_sequence_ + 1);
    if (plan_.limit > 0) {
      fraction = std::max(
          fraction, static_cast<double>(resumed_events_ + put_) / static_cast<double>(plan_.limit));
    }
    progress_.show(fraction, fmt::format("{} events, {}", put_, next.stream()));
  }

  Status save_if_due() {
    const std::int64_t now = elapsed_us();
    if (options_.state.empty() || now - saved_us_ < kSaveEveryUs) return {};
    saved_us_ = now;
    return save(false);
  }

  Status save(bool complete) {
    if (options_.state.empty()) return {};
    const ReplayTarget::Confirmed& confirmed = target_->confirmed();
    state_.sequence = std::max({state_.sequence, confirmed.sequence, passed_sequence_});
    state_.events = resumed_events_ + confirmed.events;
    if (!options_.to_file.empty()) state_.file_bytes = confirmed.file_bytes;
    while (resume_places_.size() > 1 && sequence_of(resume_places_[1]) <= state_.sequence)
      resume_places_.pop_front();
    state_.position = resume_places_.front();
    state_.complete = complete;
    return save_replay_state(options_.state, state_);
  }

  static Sequence sequence_of(const std::string& position) {
    const Result<Position> parsed = Position::parse(position);
    return parsed ? parsed->sequence : 0;
  }

  Result<int> end(const Status& replayed) {
    progress_.clear();
    // What was put before the trouble counts as far as the target can still confirm it.
    if (!replayed) [[maybe_unused]]
      const Status flushed = target_->flush();
    if (Status saved = save(replayed.has_value()); !saved) return saved.error();
    const ReplayTarget::Confirmed& confirmed = target_->confirmed();
    const bool printed = options_.to.empty() && options_.to_file.empty();
    if (!replayed && printed && context_.output.stopped()) return kExitOk;
    if (!replayed && !context_.interrupt.happened()) {
      if (resumed_events_ + confirmed.events == 0) return replayed.error();
      say(replayed.error().message);
    }
    if (!replayed || !printed) {
      const std::string known =
          confirmed.deduplicated == 0
              ? ""
              : fmt::format(", {} of them were there already", confirmed.deduplicated);
      say(fmt::format(
          "{} {} events in {}{}{}", replayed ? "replayed" : "incomplete: replayed",
          confirmed.events, human_duration(elapsed_us()), known,
          replayed || options_.state.empty() ? "" : "; the same command goes on from here"));
    }
    if (context_.interrupt.happened() && !replayed) return kExitInterrupted;
    return replayed ? kExitOk : kExitIncomplete;
  }

  // --dry-run: reads everything, sends nothing.
  Result<int> count() {
    std::uint64_t events = 0;
    std::int64_t first_us = 0;
    std::int64_t last_us = 0;
    Sequence first = 0;
    Sequence last = 0;
    std::int64_t due_us = 0;
    for (bool more = true; more && !is_limit_reached();) {
      Result<EventSource::Page> page = source_->next();
      if (context_.interrupt.happened()) return kExitInterrupted;
      if (!page) return page.error();
      for (const v1::RecordedEvent& record : page->events) {
        if (is_limit_reached()) break;
        if (!is_selected(record)) continue;
        if (Result<std::string> stream = plan_.map.map(record.stream()); !stream)
          return stream.error();
        const std::int64_t time_us = plan_.time_us(record);
        due_us = pace_.next(time_us, due_us);
        first_us = events == 0 ? time_us : std::min(first_us, time_us);
        last_us = events == 0 ? time_us : std::max(last_us, time_us);
        if (events++ == 0) first = record.sequence();
        last = record.sequence();
        ++put_;
      }
      progress_.show(-1, fmt::format("{} events counted", events));
      more = !page->last;
    }
    progress_.clear();
    const double seconds = static_cast<double>(due_us) / 1e6;
    return context_.output.print(
        {Field::number("events", events), Field::time("first_time", first_us, events > 0),
         Field::time("last_time", last_us, events > 0), Field::number("first_sequence", first),
         Field::number("last_sequence", last),
         Field{"duration_seconds", fmt::format("{:.1f} ({})", seconds, human_duration(due_us)),
               fmt::format("{:.3f}", seconds)}});
  }

  Context& context_;
  const ReplayOptions& options_;
  ReplayPlan plan_;
  ReplayPace pace_;
  Interrupt::Guard guard_;
  Progress progress_;
  std::unique_ptr<Client> target_client_;
  std::unique_ptr<EventSource> source_;
  std::unique_ptr<ReplayTarget> target_;
  ReplayState state_;
  std::deque<std::string> resume_places_;  // where pages began that are not confirmed yet
  std::uint64_t resumed_events_ = 0;
  Sequence resumed_sequence_ = 0;
  Sequence passed_sequence_ = 0;
  Sequence first_sequence_ = 0;
  std::uint64_t put_ = 0;
  std::int64_t saved_us_ = 0;
  steady_clock::time_point began_;
};

Result<int> replay(Context& context, const ReplayOptions& options) {
  Result<ReplayPlan> plan = ReplayPlan::make(options, SystemClock().wall_us());
  if (!plan) return plan.error();
  return Replay(context, options, *std::move(plan)).run();
}

void add_options(CLI::App& command, ReplayOptions& options) {
  options.selection.add_filter_options(command);
  options.selection.add_begin_options(command);
  options.selection.add_end_options(command);
  command
      .add_option("--speed", options.speed,
                  "1 is the original timing, 600 an hour in six seconds, or max")
      ->type_name("FACTOR|max")
      ->capture_default_str();
  command
      .add_option("--max-gap", options.max_gap, "No wait between two events is longer than this")
      ->type_name("DURATION");
  add_number(command, "--rate", options.rate, "At most this many events per second");
  add_choice(command, "--clock", options.clock,
             "Whose times count: the events' own, or when they were appended", {"event", "append"})
      ->capture_default_str();
  command
      .add_option("--to-file", options.to_file,
                  "Write JSON Lines to FILE (FILE.partial until it is complete)")
      ->type_name("FILE");
  command.add_option("--to", options.to, "Publish to another gateway, with the events' own ids")
      ->type_name("HOST:PORT");
  command.add_option("--to-token-file", options.to_token_file, "File with the token for --to")
      ->type_name("FILE");
  command.add_flag("--to-tls", options.to_tls.is_on, "Speak TLS to --to");
  command
      .add_option("--to-tls-ca", options.to_tls.ca_file,
                  "PEM file with who signs the certificate of --to")
      ->type_name("FILE");
  command
      .add_option("--map", options.map,
                  "Rename streams: 'old.>=new.>'; the first that matches counts")
      ->type_name("OLD=NEW")
      ->allow_extra_args(false);
  command
      .add_option("--state", options.state,
                  "Remember here how far it came; the same command goes on from there")
      ->type_name("FILE");
  command.add_flag("--yes", options.yes, "Really publish with --to");
  command.add_flag("--dry-run", options.dry_run, "Only count, and say how long it would take");
}

}  // namespace

void register_replay(CLI::App& app, Context& context) {
  CLI::App* command =
      app.add_subcommand("replay", "Play a part of the log again, with its original timing");
  auto options = std::make_shared<ReplayOptions>();
  add_options(*command, *options);
  command->footer(
      std::string(kPlaceHelp) +
      "\n\nThe replay ends at the head that it found. With --clock event (the default) the times "
      "in --from, --after and\n"
      "--until are the events' own `time`; events are not sorted by it, so the log is read from "
      "the start and the others\n"
      "are passed over. An event without a time counts by when it was appended. Ctrl-C keeps the "
      "state and ends with 130;\n"
      "a replay that could not be completed ends with 7.\n\n"
      "Examples:\n"
      "  tidegate replay 'flights.>' --from 2001-01-02T00:00:00Z --until 2001-01-02T01:00:00Z "
      "--speed 600\n"
      "  tidegate replay 'orders.>' --speed max --to-file orders.jsonl --state orders.state\n"
      "  tidegate replay 'orders.>' --to staging:7090 --map 'orders.>=copy.orders.>' --dry-run");
  command->callback([&context, options] {
    context.run = [&context, options] { return replay(context, *options); };
  });
}

}  // namespace tidegate
