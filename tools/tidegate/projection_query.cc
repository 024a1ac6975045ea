// Rows of a projection as they are: `projection query`.

#include <algorithm>
#include <limits>
#include <memory>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "eventstore/base/clock.h"
#include "tools/tidegate/interrupt.h"
#include "tools/tidegate/output.h"
#include "tools/tidegate/place.h"
#include "tools/tidegate/projection.h"
#include "tools/tidegate/projection_rows.h"
#include "tools/tidegate/projection_state.h"
#include "tools/tidegate/services.h"

namespace tidegate {
namespace {

constexpr std::uint64_t kRowsByDefault = 1000;
constexpr std::uint64_t kPageRowsMax = 10'000;
// Sorting needs all rows at once.
constexpr std::size_t kSortedRowsMax = 100'000;
constexpr std::int64_t kWaitMaxUs = 60'000'000;

struct RowQueryOptions {
  std::string name;
  RowChoice choice;
  RowView view;
  std::uint64_t limit = kRowsByDefault;
  bool all = false;
  std::string min_position;
  std::string wait = "0s";
};

struct FoundRows {
  std::vector<v1::ProjectionRow> rows;
  std::string position;
  std::uint32_t version = 0;
  bool is_of_one_position = true;
  bool has_more = false;
};

Status set_min_position(Client& client, const std::string& text,
                        v1::QueryProjectionRequest& request) {
  if (text.empty()) return {};
  Result<Place> place = parse_place(text, SystemClock().wall_us());
  if (!place) return place.error();
  switch (place->kind) {
    case Place::Kind::kSequence:
      request.set_min_sequence(place->sequence);
      return {};
    case Place::Kind::kPosition:
      request.set_min_position(place->position.text());
      return {};
    case Place::Kind::kHead: {
      Result<Position> head = client.head();
      if (!head) return head.error();
      request.set_min_position(head->text());
      return {};
    }
    default:
      return Error{Code::kBadArgument,
                   fmt::format("--min-position {} is not a sequence, a position or head", text)};
  }
}

Result<std::uint32_t> wait_ms_of(const std::string& text) {
  Result<std::int64_t> wait_us = parse_duration(text);
  if (!wait_us) return wait_us.error();
  if (*wait_us > kWaitMaxUs)
    return Error{Code::kBadArgument, fmt::format("--wait {} is more than 60s", text)};
  return static_cast<std::uint32_t>(*wait_us / 1000);
}

Result<FoundRows> query_pages(Client& client, v1::QueryProjectionRequest request,
                              std::uint64_t limit) {
  const auto timeout = kUnaryTimeout + std::chrono::milliseconds(request.wait_ms());
  FoundRows found;
  bool is_first = true;
  do {
    request.set_page_size(
        static_cast<std::uint32_t>(std::min(limit - found.rows.size(), kPageRowsMax)));
    auto page = call(client, &v1::ProjectionService::Stub::QueryProjection, request, timeout);
    if (!page) return page.error();
    if (!is_first && page->position() != found.position) found.is_of_one_position = false;
    is_first = false;
    found.position = page->position();
    found.version = page->version();
    for (v1::ProjectionRow& row : *page->mutable_rows()) found.rows.push_back(std::move(row));
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty() && found.rows.size() < limit);
  found.has_more = !request.page_token().empty();
  return found;
}

// Everything, as of one position. Ctrl-C ends the process. kLimit when it has more rows.
Result<FoundRows> read_snapshot(Client& client, const v1::QueryProjectionRequest& query,
                                std::size_t rows_max) {
  v1::WatchProjectionRequest request;
  request.set_name(query.name());
  *request.mutable_selection() = query.selection();
  request.set_snapshot_only(true);
  grpc::ClientContext call;
  const auto stream = client.services().projections->WatchProjection(&call, request);
  RowMap rows;
  FoundRows found;
  bool is_whole = false;
  for (v1::WatchProjectionResponse told; stream->Read(&told);) {
    apply_changes(rows, told);
    if (rows.size() > rows_max) {
      call.TryCancel();
      static_cast<void>(stream->Finish());
      return Error{Code::kLimit,
                   fmt::format("these are more than {} rows, which are too many to sort: choose "
                               "some with --prefix, or say --all to have them sorted all the same",
                               rows_max)};
    }
    is_whole = told.snapshot_end();
    found.position = told.place().position();
    found.version = told.place().version();
  }
  if (const grpc::Status status = stream->Finish(); !status.ok()) return client.error_from(status);
  if (!is_whole) return Error{Code::kUnavailable, client.server() + " ended the call too early"};
  found.rows = values_of(rows);
  return found;
}

Result<FoundRows> find_rows(Client& client, const RowQueryOptions& options) {
  Result<std::uint32_t> wait_ms = wait_ms_of(options.wait);
  if (!wait_ms) return wait_ms.error();
  v1::QueryProjectionRequest request;
  request.set_name(options.name);
  *request.mutable_selection() = options.choice.selection();
  request.set_wait_ms(*wait_ms);
  if (Status set = set_min_position(client, options.min_position, request); !set)
    return set.error();
  if (!options.all && options.view.sort.empty())
    return query_pages(client, std::move(request), options.limit);
  if (!options.min_position.empty()) {
    // A snapshot does not wait; whatever is answered after this one reflects the place too.
    Result<FoundRows> waited = query_pages(client, request, 1);
    if (!waited) return waited.error();
  }
  return read_snapshot(client, request,
                       options.all ? std::numeric_limits<std::size_t>::max() : kSortedRowsMax);
}

// Sorts all rows, and only then leaves out what is too much.
RowView sort_found(FoundRows& found, const RowQueryOptions& options) {
  RowView view = options.view;
  if (view.sort.empty() || options.all) {
    sort_rows(found.rows, view);
    return view;
  }
  if (!view.unfold.empty()) {
    view.lines_max = options.limit;
    return view;
  }
  sort_rows(found.rows, view);
  found.has_more = found.rows.size() > options.limit;
  if (found.has_more) found.rows.resize(options.limit);
  return view;
}

Result<int> query_rows(Context& context, const RowQueryOptions& options) {
  auto client = Client::make(context);
  if (!client) return client.error();
  Result<FoundRows> found = find_rows(**client, options);
  if (!found) return found.error();
  if (found->rows.empty() && !options.choice.keys.empty()) {
    return Error{Code::kNotFound, fmt::format("projection '{}' has no row '{}'", options.name,
                                              fmt::join(options.choice.keys, "' or '"))};
  }
  const std::size_t held = found->rows.size();
  const RowView view = sort_found(*found, options);
  Result<int> printed = print_rows(context.output, found->rows, view);
  if (!printed) return printed;
  if (!found->is_of_one_position)
    say("events were folded in between the pages; --all gives rows of one position");
  if (found->has_more) say("there are more rows: --limit N or --all");
  const std::string part =
      found->rows.size() < held ? fmt::format("{} of ", found->rows.size()) : "";
  say(fmt::format("{}{} of version {}, as of {}", part, counted(held, "row"), found->version,
                  found->position));
  // Old rows look like any others.
  auto projection = get_projection(**client, options.name);
  if (const std::string trouble = projection ? trouble_text(*projection) : ""; !trouble.empty())
    say(trouble);
  return printed;
}

}  // namespace

void add_projection_query(CLI::App& noun, Context& context) {
  auto options = std::make_shared<RowQueryOptions>();
  CLI::App* query = noun.add_subcommand("query", "Show rows of a projection");
  query->add_option("NAME", options->name, "The projection's name")->required();
  options->choice.add_options(*query);
  CLI::Option* limit =
      add_number(*query, "--limit", options->limit, "At most this many rows; default 1000");
  query->add_flag("--all", options->all, "All of them, as of one position")->excludes(limit);
  query
      ->add_option("--min-position", options->min_position,
                   "Only an answer that reflects this sequence, position or head")
      ->type_name("PLACE");
  query
      ->add_option("--wait", options->wait,
                   "How long to wait for that, at most 60s; 0s: not at all")
      ->type_name("TIME")
      ->capture_default_str();
  options->view.add_options(*query);
  query->footer(
      "With --sort all rows are read (at most 100,000), then sorted, then cut to --limit.\n"
      "`tidegate projection info NAME` tells why rows are old.\n\n"
      "Examples:\n  tidegate projection query departures ATL ORD\n"
      "  tidegate projection query departures --all --sort departures\n"
      "  tidegate projection query board --unfold last\n"
      "  tidegate projection query departures ATL --min-position head --wait 5s -o json");
  query->callback([&context, options] {
    context.run = [&context, options] { return query_rows(context, *options); };
  });
}

}  // namespace tidegate
