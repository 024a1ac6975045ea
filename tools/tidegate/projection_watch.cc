// Rows of a projection as they change: `projection watch`.

#include <memory>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "tools/tidegate/backoff.h"
#include "tools/tidegate/interrupt.h"
#include "tools/tidegate/output.h"
#include "tools/tidegate/projection.h"
#include "tools/tidegate/projection_live.h"
#include "tools/tidegate/projection_rows.h"
#include "tools/tidegate/projection_trouble.h"
#include "tools/tidegate/services.h"

namespace tidegate {
namespace {

constexpr std::size_t kKeyColumns = 24;
constexpr std::size_t kRowSequenceColumns = 9;

struct RowWatchOptions {
  std::string name;
  RowChoice choice;
  RowView view;
  bool live = false;
};

// Prints what a watch tells: JSON Lines, or a line of text per change on a terminal.
// Thread: caller serialises.
class ChangePrinter {
 public:
  explicit ChangePrinter(Output& output)
      : output_(output),
        is_text_(output.chosen() == Format::kTable ||
                 (output.chosen() == Format::kAuto && output.is_terminal())) {}

  void print(const v1::WatchProjectionResponse& told) {
    if (told.reset()) begin();
    for (const v1::ProjectionRow& row : told.rows()) {
      if (is_text_) {
        print_text(row);
      } else {
        print_line(row_json(row));
      }
    }
    if (!told.has_place()) return;
    if (!is_text_) {
      print_line(fmt::format(R"({{"position":"{}","version":{}{}}})", told.place().position(),
                             told.place().version(),
                             told.snapshot_end() ? ",\"snapshot_end\":true" : ""));
    } else if (told.snapshot_end()) {
      say(fmt::format("that was the snapshot, as of {}; what follows are changes",
                      told.place().position()));
    }
  }

 private:
  void begin() {
    if (!is_text_) {
      print_line(R"({"reset":true})");
    } else if (has_begun_) {
      say("the rows begin anew: forget those above");
    }
    has_begun_ = true;
  }

  void print_line(const std::string& json) {
    if (output_.is_terminal()) {
      append_json_for_terminal(output_.buffer(), json);
    } else {
      output_.write(json);
    }
    output_.write("\n");
  }

  void print_text(const v1::ProjectionRow& row) {
    std::string key;
    append_for_terminal(key, row.key());
    std::string line =
        fmt::format("{:<{}}  {:<{}}  ", row.sequence(), kRowSequenceColumns, key, kKeyColumns);
    append_for_terminal(line, row.document().empty() ? "removed" : row.document());
    output_.write(cut_to_columns(line, output_.columns()));
    output_.write("\n");
  }

  Output& output_;
  const bool is_text_;
  bool has_begun_ = false;
};

// A watch that outlives its connections: after each loss it goes on from the last place.
// Thread: caller serialises.
class RowWatch {
 public:
  RowWatch(Context& context, Client& client, const RowWatchOptions& options)
      : context_(context), client_(client), printer_(context.output) {
    request_.set_name(options.name);
    *request_.mutable_selection() = options.choice.selection();
    if (options.live)
      table_ = std::make_unique<LiveTable>(context.output, options.name, options.view);
    trouble_ = std::make_unique<TroubleWatch>(
        client, options.name, [this](const std::string& text) { tell_trouble(text); });
  }

  Result<int> run() {
    while (true) {
      const Result<int> ended = watch();
      if (context_.interrupt.happened()) return kExitInterrupted;
      if (ended) return ended;
      if (!was_connected_ || !is_retryable(ended.error())) return ended;
      tell("connection lost: " + ended.error().message + "; reconnecting");
      is_reconnecting_ = true;
      if (!context_.interrupt.sleep(backoff_.next(ended.error().retry_after_ms)))
        return kExitInterrupted;
    }
  }

 private:
  // One connection. Its value is the exit code, its error why it was lost.
  Result<int> watch() {
    grpc::ClientContext call;
    call.set_wait_for_ready(is_reconnecting_);
    const Interrupt::Guard guard(context_.interrupt, [&call] { call.TryCancel(); });
    const auto stream = client_.services().projections->WatchProjection(&call, request_);
    for (v1::WatchProjectionResponse told; stream->Read(&told);) {
      connected();
      if (told.reset()) request_.clear_after();
      if (told.has_place()) *request_.mutable_after() = told.place();
      if (table_ != nullptr) {
        table_->update(told);
        continue;
      }
      printer_.print(told);
      if (context_.output.flush()) continue;
      call.TryCancel();
      static_cast<void>(stream->Finish());
      return context_.output.stopped();
    }
    return client_.error_of_end(stream->Finish());
  }

  void connected() {
    if (is_reconnecting_) tell("reconnected");
    is_reconnecting_ = false;
    was_connected_ = true;
    backoff_.succeeded();
  }

  void tell(const std::string& text) {
    if (table_ != nullptr) {
      table_->note(text);
    } else {
      say(text);
    }
  }

  // On the thread of `trouble_`.
  void tell_trouble(const std::string& text) {
    if (table_ != nullptr) {
      table_->set_trouble(text);
    } else {
      say(text.empty() ? "projection '" + request_.name() + "' folds again" : text);
    }
  }

  Context& context_;
  Client& client_;
  v1::WatchProjectionRequest request_;
  ChangePrinter printer_;
  std::unique_ptr<LiveTable> table_;  // null: every change is printed
  // Goes before what it tells.
  std::unique_ptr<TroubleWatch> trouble_;
  Backoff backoff_;
  bool was_connected_ = false;
  bool is_reconnecting_ = false;
};

Result<int> watch_rows(Context& context, const RowWatchOptions& options) {
  if (context.output.chosen() == Format::kJson) {
    return Error{Code::kBadArgument,
                 "a watch has no end, so that -o json would never be whole: say -o jsonl"};
  }
  if (options.live && !context.output.is_terminal()) {
    return Error{Code::kBadArgument,
                 "--live draws on a terminal, and standard output is none: leave it out for JSON "
                 "Lines, or see `tidegate projection query`"};
  }
  auto client = Client::make(context);
  if (!client) return client.error();
  return RowWatch(context, **client, options).run();
}

}  // namespace

void add_projection_watch(CLI::App& noun, Context& context) {
  auto options = std::make_shared<RowWatchOptions>();
  CLI::App* watch =
      noun.add_subcommand("watch", "Show rows of a projection, then their changes, until Ctrl-C");
  watch->add_option("NAME", options->name, "The projection's name")->required();
  options->choice.add_options(*watch);
  watch->add_flag("--live", options->live, "A table that is drawn again as its rows change");
  options->view.add_options(*watch);
  watch->footer(
      "In a pipe each line is {\"key\",\"value\",\"sequence\"}, "
      "{\"key\",\"removed\",\"sequence\"}, "
      "{\"reset\"} (forget\nall rows: a snapshot follows) or {\"position\",\"version\"}: the rows "
      "so "
      "far are those at this place. That the projection has failed or is paused is said on "
      "stderr;\n`tidegate projection info NAME` tells why.\n\n"
      "Examples:\n  tidegate projection watch departures --live --sort departures\n"
      "  tidegate projection watch departures ATL | ./notify");
  watch->callback([&context, options] {
    context.run = [&context, options] { return watch_rows(context, *options); };
  });
}

}  // namespace tidegate
