#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "tools/tidegate/command.h"
#include "tools/tidegate/event_lines.h"
#include "tools/tidegate/interrupt.h"
#include "tools/tidegate/line_reader.h"
#include "tools/tidegate/output.h"
#include "tools/tidegate/pipeline.h"
#include "tools/tidegate/progress.h"
#include "tools/tidegate/services.h"

namespace tidegate {
namespace {

// Bad lines are told one by one up to here; the rest is only counted.
constexpr std::uint64_t kToldMax = 20;

// One import: lines in, batches out, and what became of them.
// Thread: caller serialises.
class Import {
 public:
  Import(Context& context, Client& client, LineReader& lines)
      : context_(context),
        client_(client),
        lines_(lines),
        pipeline_(client, context.interrupt,
                  [this](const PipelineBatch& batch, const Result<v1::PublishResponse>& result) {
                    answered(batch, result);
                  }) {}

  Result<int> run() {
    const Status sent = send_all();
    progress_.clear();
    const bool interrupted = context_.interrupt.happened();
    if (!sent && !interrupted) {
      if (stored_ + deduplicated_ == 0) return sent.error();
      say(sent.error().message);
    }
    if (told_ > kToldMax) say(fmt::format("{} more bad lines", told_ - kToldMax));
    auto printed = context_.output.print(
        {Field::number("imported", stored_), Field::number("deduplicated", deduplicated_),
         Field::number("bad_lines", bad_), Field::string("position", position_)});
    if (!printed) return printed;
    if (interrupted) return kExitInterrupted;
    return bad_ > 0 || !sent ? kExitIncomplete : kExitOk;
  }

 private:
  Status send_all() {
    PipelineBatch batch;
    while (true) {
      Result<std::optional<std::string_view>> line = lines_.next();
      if (!line) return line.error();
      if (context_.interrupt.happened()) return Error{Code::kUnavailable, "interrupted"};
      if (!*line) break;
      if ((*line)->find_first_not_of(" \t") == std::string_view::npos) continue;
      Result<EventLine> parsed = parser_.parse(**line);
      if (!parsed) {
        tell(lines_.number(), parsed.error());
        continue;
      }
      batch.add(std::move(parsed->stream), std::move(parsed->event), lines_.number());
      if (!batch.is_full()) continue;
      if (Status sent = pipeline_.send(std::exchange(batch, {})); !sent) return sent;
    }
    if (!batch.tags.empty()) {
      if (Status sent = pipeline_.send(std::move(batch)); !sent) return sent;
    }
    return pipeline_.drain();
  }

  void tell(std::uint64_t line, const Error& error) {
    ++bad_;
    if (++told_ > kToldMax) return;
    progress_.clear();
    std::string text;
    append_for_terminal(text, error.message);
    say(fmt::format("line {}: {}", line, text));
  }

  void answered(const PipelineBatch& batch, const Result<v1::PublishResponse>& result) {
    if (result) {
      count(*result);
    } else if (batch.tags.size() == 1) {
      tell(batch.tags.front(), result.error());
    } else {
      publish_one_by_one(batch);
    }
    const double fraction =
        lines_.bytes_total() == 0
            ? -1
            : static_cast<double>(lines_.bytes_read()) / static_cast<double>(lines_.bytes_total());
    progress_.show(fraction, fmt::format("{} events imported", stored_ + deduplicated_));
  }

  // A batch is refused as a whole; its good events shall not suffer for the bad one. Those of later
  // batches that are under way already may get before them.
  void publish_one_by_one(const PipelineBatch& batch) {
    for (int i = 0; i < batch.request.events_size() && !context_.interrupt.happened(); ++i) {
      v1::PublishRequest request;
      *request.add_events() = batch.request.events(i);
      const auto response = call(client_, &v1::EventService::Stub::Publish, request);
      if (response) {
        count(*response);
      } else {
        tell(batch.tags[static_cast<std::size_t>(i)], response.error());
      }
    }
  }

  void count(const v1::PublishResponse& response) {
    for (const v1::PublishedEvent& event : response.events())
      ++(event.deduplicated() ? deduplicated_ : stored_);
    position_ = response.position();
  }

  Context& context_;
  Client& client_;
  LineReader& lines_;
  EventLineParser parser_;
  Progress progress_;
  std::uint64_t stored_ = 0;
  std::uint64_t deduplicated_ = 0;
  std::uint64_t bad_ = 0;
  std::uint64_t told_ = 0;
  std::string position_;
  Pipeline pipeline_;
};

Result<int> import(Context& context, const std::string& file) {
  auto client = Client::make(context);
  if (!client) return client.error();
  Result<LineReader> lines = LineReader::open(file, context.interrupt);
  if (!lines) return lines.error();
  return Import(context, **client, *lines).run();
}

}  // namespace

void register_import(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("import", "Append the events of a file of JSON Lines");
  auto file = std::make_shared<std::string>();
  command->add_option("FILE", *file, "The file, or - for standard input")->required();
  command->footer(
      "A line is {\"stream\":..,\"event\":{CloudEvent}}, as read and replay print it; "
      "\"sequence\", \"revision\" and\n"
      "\"time\" are ignored. Bad lines are reported with their number and left out (exit 7). It is "
      "safe to run again:\n"
      "events that are in the log already are counted as deduplicated.\n\n"
      "Examples:\n  tidegate import tools/demo/flights.jsonl\n"
      "  tidegate read 'orders.>' -o jsonl | tidegate import - --server other:7090");
  command->callback(
      [&context, file] { context.run = [&context, file] { return import(context, *file); }; });
}

}  // namespace tidegate
