#include <memory>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "eventstore/base/clock.h"
#include "tools/tidegate/backoff.h"
#include "tools/tidegate/client.h"
#include "tools/tidegate/command.h"
#include "tools/tidegate/event_printer.h"
#include "tools/tidegate/follow_call.h"
#include "tools/tidegate/interrupt.h"
#include "tools/tidegate/selection.h"

namespace tidegate {
namespace {

constexpr std::uint64_t kLastMax = 10'000;
constexpr const char* kSubscription = "follow";

struct FollowOptions {
  Selection selection;
  std::uint64_t last = 0;
  std::string cursor;
  std::string on_gap = "fail";
};

Sequence sequence_of(const std::string& position) {
  const Result<Position> parsed = Position::parse(position);
  return parsed ? parsed->sequence : 0;
}

// A subscription that outlives its connections: after each loss it goes on from the last position.
// Thread: caller serialises.
class Follow {
 public:
  Follow(Context& context, Client& client, std::uint64_t limit, v1::SubscribeOp subscribe)
      : context_(context),
        client_(client),
        limit_(limit),
        subscribe_(std::move(subscribe)),
        printer_(context.output) {}

  Result<int> run() {
    while (true) {
      FollowCall call(client_, context_.interrupt, is_reconnecting_);
      const Result<int> ended = follow(call);
      if (ended) return ended;
      if (context_.interrupt.happened()) return kExitInterrupted;
      if (is_limit_reached()) {
        say("the last acknowledgement was not confirmed: some events may come again");
        return kExitIncomplete;
      }
      if (!was_connected_ || !is_retryable(ended.error())) return ended;
      if (Status waited = wait_to_reconnect(ended.error()); !waited) return kExitInterrupted;
    }
  }

 private:
  bool is_limit_reached() const { return limit_ > 0 && printed_ >= limit_; }
  bool is_ending() const { return is_limit_reached() || context_.interrupt.happened(); }

  Status wait_to_reconnect(const Error& error) {
    if (!is_reconnecting_) say(fmt::format("connection lost: {}; reconnecting", error.message));
    is_reconnecting_ = true;
    const std::uint32_t wait_ms = std::max(error.retry_after_ms, std::exchange(retry_after_ms_, 0));
    if (!context_.interrupt.sleep(backoff_.next(wait_ms)))
      return Error{Code::kUnavailable, "interrupted"};
    return {};
  }

  // One connection. Its value is the exit code, its error why it was lost.
  Result<int> follow(FollowCall& call) {
    owed_ = 0;
    v1::ClientMessage first;
    *first.mutable_subscribe() = subscribe_;
    call.send(first);
    for (v1::ServerMessage message; call.receive(message);) {
      if (Status handled = handle(call, message); !handled) return handled.error();
      if (is_output_closed_) return context_.output.stopped();
      if (is_ending() && owed_ == 0)
        return context_.interrupt.happened() ? kExitInterrupted : kExitOk;
    }
    return call.why();
  }

  Status handle(FollowCall& call, const v1::ServerMessage& message) {
    switch (message.op_case()) {
      case v1::ServerMessage::kSubscribed:
        begin(message.subscribed());
        return {};
      case v1::ServerMessage::kEvents:
        print(call, message.events());
        return {};
      case v1::ServerMessage::kPosition:
        resume_after(message.position().position());
        return {};
      case v1::ServerMessage::kAcked:
        take_acked(call, message.acked().position());
        return {};
      case v1::ServerMessage::kPing: {
        v1::ClientMessage pong;
        pong.mutable_pong();
        call.send(pong);
        return {};
      }
      case v1::ServerMessage::kGap:
        return gap(message.gap());
      case v1::ServerMessage::kReset:
        return reset(message.reset());
      case v1::ServerMessage::kUnsubscribed:
        return Error{Code::kCheckFailed, fmt::format("the gateway ended the subscription: {}",
                                                     message.unsubscribed().reason())};
      case v1::ServerMessage::kError:
        return Error{code_from_name(message.error().code()),
                     message.error().message(),
                     {},
                     message.error().retry_after_ms()};
      case v1::ServerMessage::kClosing:
        retry_after_ms_ = message.closing().reconnect_after_ms();
        return {};
      default:
        return {};
    }
  }

  void begin(const v1::Subscribed& subscribed) {
    const Sequence after = sequence_of(subscribed.position());
    if (is_reconnecting_) {
      say(fmt::format("reconnected; going on after sequence {}", after));
    } else if (isatty(STDERR_FILENO) == 1) {
      say(fmt::format("following after sequence {}, {} behind the head; Ctrl-C ends", after,
                      subscribed.behind()));
    }
    is_reconnecting_ = false;
    was_connected_ = true;
    backoff_.succeeded();
    resume_after(subscribed.position());
  }

  void print(FollowCall& call, const v1::Events& events) {
    int count = 0;
    while (count < events.events_size() && !is_ending()) {
      printer_.print(events.events(count++));
      ++printed_;
    }
    if (count == 0) return;
    if (!context_.output.flush()) {
      is_output_closed_ = true;
      return;
    }
    const bool all = count == events.events_size();
    if (all) resume_after(events.position());
    if (!subscribe_.cursor().empty())
      acknowledge(call, events.events(count - 1).sequence(), all ? events.position() : "");
  }

  // What was printed is done. A batch that the limit cut short has no position of its own.
  void acknowledge(FollowCall& call, Sequence sequence, const std::string& position) {
    v1::ClientMessage message;
    message.mutable_ack()->set_id(kSubscription);
    if (position.empty()) {
      message.mutable_ack()->set_sequence(sequence);
    } else {
      message.mutable_ack()->set_position(position);
    }
    owed_ = sequence;
    call.set_owing(true);
    call.send(message);
    if (is_ending()) call.end_soon();
  }

  void take_acked(FollowCall& call, const std::string& position) {
    if (sequence_of(position) < owed_) return;
    owed_ = 0;
    call.set_owing(false);
  }

  void resume_after(const std::string& position) {
    subscribe_.mutable_start()->set_after(position);
  }

  Status gap(const v1::Gap& gap) {
    const char* reason = gap.reason() == v1::GAP_REASON_DATA_LOSS ? "are lost" : "were trimmed";
    std::string text =
        fmt::format("gap: events after {} and below {} {}", gap.requested(), gap.floor(), reason);
    if (subscribe_.on_gap() == v1::ON_GAP_FLOOR) {
      say(text + "; going on from there");
      return {};
    }
    return Error{Code::kTrimmed, text + "; --on-gap floor goes on from there"};
  }

  Status reset(const v1::Reset& reset) {
    const char* reason =
        reset.reason() == v1::RESET_REASON_REWOUND ? "the log lost events that were seen"
        : reset.reason() == v1::RESET_REASON_AHEAD ? "the place is above the log's head"
                                                   : "the log is another one";
    return Error{
        Code::kHistoryMismatch,
        fmt::format(
            "reset: {} (log {}, floor {}, head {}); begin again with --from start or --from head",
            reason, reset.log(), reset.floor(), reset.head())};
  }

  Context& context_;
  Client& client_;
  std::uint64_t limit_;
  v1::SubscribeOp subscribe_;
  EventPrinter printer_;
  Backoff backoff_;
  std::uint64_t printed_ = 0;
  Sequence owed_ = 0;  // the last acknowledgement that is not confirmed; 0: none
  std::uint32_t retry_after_ms_ = 0;
  bool was_connected_ = false;
  bool is_reconnecting_ = false;
  bool is_output_closed_ = false;
};

Result<v1::SubscribeOp> subscribe_of(const FollowOptions& options) {
  const Selection& selection = options.selection;
  Result<v1::Filter> filter = selection.filter();
  if (!filter) return filter.error();
  Result<Range> range = parse_range(selection.from, selection.after, "", SystemClock().wall_us());
  if (!range) return range.error();
  v1::SubscribeOp subscribe;
  subscribe.set_id(kSubscription);
  *subscribe.mutable_streams() = filter->streams();
  *subscribe.mutable_types() = filter->types();
  const bool begins = set_start(*range, *subscribe.mutable_start());
  if (begins && options.last > 0) {
    return Error{Code::kBadArgument,
                 "--last and --from or --after both say where to begin: give one of them"};
  }
  if (options.last > 0)
    subscribe.mutable_start()->set_last(static_cast<std::uint32_t>(options.last));
  if (!begins && options.last == 0) subscribe.mutable_start()->set_edge(v1::EDGE_HEAD);
  subscribe.set_cursor(options.cursor);
  subscribe.set_on_gap(options.on_gap == "floor" ? v1::ON_GAP_FLOOR : v1::ON_GAP_FAIL);
  return subscribe;
}

Result<int> follow(Context& context, const FollowOptions& options) {
  if (context.output.chosen() == Format::kJson) {
    return Error{Code::kBadArgument, "a stream without an end is no JSON document: use -o jsonl"};
  }
  Result<v1::SubscribeOp> subscribe = subscribe_of(options);
  if (!subscribe) return subscribe.error();
  auto client = Client::make(context);
  if (!client) return client.error();
  return Follow(context, **client, options.selection.limit, *std::move(subscribe)).run();
}

}  // namespace

void register_follow(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("follow", "Print events as they are appended");
  auto options = std::make_shared<FollowOptions>();
  options->selection.add_filter_options(*command);
  options->selection.add_begin_options(*command);
  add_number(*command, "--last", options->last, "Begin with the last N matching events", 1,
             kLastMax);
  add_number(*command, "--limit", options->selection.limit, "End after this many events");
  command
      ->add_option(
          "--cursor", options->cursor,
          "A durable name: what was printed is acknowledged, and the next run goes on after it")
      ->type_name("NAME");
  add_choice(*command, "--on-gap", options->on_gap, "When the place to begin was trimmed away",
             {"fail", "floor"})
      ->capture_default_str();
  command->footer(std::string(kPlaceHelp) +
                  "\n\nIt begins at the head and reconnects by itself; nothing is lost or printed "
                  "twice on the way.\n"
                  "With --cursor the options that say where to begin count only until the cursor "
                  "has a position.\n\n"
                  "Examples:\n"
                  "  tidegate follow 'flights.ATL.>'\n"
                  "  tidegate follow 'orders.>' --last 10 --type order.paid\n"
                  "  tidegate follow 'orders.>' --cursor billing --from start | ./bill");
  command->callback([&context, options] {
    context.run = [&context, options] { return follow(context, *options); };
  });
}

}  // namespace tidegate
