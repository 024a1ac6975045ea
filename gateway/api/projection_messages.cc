#include "gateway/api/projection_messages.h"

#include <string>
#include <utility>

#include <fmt/format.h>

#include "eventstore/base/text.h"
#include "eventstore/filter.h"
#include "gateway/api/start_place.h"
#include "projections/definition.h"

namespace tidegate {
namespace {

// As definition.h says; names of what is built in are reserved, and no shorter.
constexpr std::size_t kProjectionNameBytesMax = 128;

constexpr std::uint32_t kRowsDefault = 1000;
constexpr std::uint32_t kRowsMax = 10'000;
constexpr std::uint32_t kWaitMsMax = 60'000;

// A message of 4 MiB is what clients take unless they are told otherwise.
constexpr std::size_t kTestBytesMax = std::size_t{2} << 20;

// Begins a page token: a row's key alone may be empty, which would say that there is no next page.
constexpr char kTokenMark = '>';

v1::VersionState state_of(VersionInfo::State state) {
  switch (state) {
    case VersionInfo::State::kBuilding:
      return v1::VERSION_STATE_BUILDING;
    case VersionInfo::State::kLive:
      return v1::VERSION_STATE_LIVE;
    case VersionInfo::State::kRetired:
      return v1::VERSION_STATE_RETIRED;
  }
  return v1::VERSION_STATE_UNSPECIFIED;
}

bool may_read(const Principal& reader, const std::string& stream) {
  const auto filter = Filter::make({stream}, {});
  return filter && reader.check_subscribe(*filter).has_value();
}

void set_failure(v1::FoldFailure& out, const FoldFailure& failure) {
  out.set_sequence(failure.sequence);
  out.set_stream(failure.stream);
  out.set_type(failure.type);
  out.set_message(failure.message);
}

bool may_read_all_of(const Principal& reader, const std::string& text) {
  if (reader.is_unrestricted) return true;
  const auto definition = Definition::parse(text);
  return definition && reader.check_subscribe(definition->filter).has_value();
}

// The failure's texts quote the event, or, when it is no event's, rows that may be of any stream.
void set_failure(v1::FoldFailure& out, const VersionInfo& version, const Principal& reader) {
  const FoldFailure& failure = *version.failure;
  const bool is_of_event = failure.sequence != 0;
  const bool is_told =
      is_of_event ? may_read(reader, failure.stream) : may_read_all_of(reader, version.definition);
  if (is_told) return set_failure(out, failure);
  out.set_sequence(failure.sequence);
  out.set_message(is_of_event ? "told to those who may read the event's stream"
                              : "told to those who may read all streams of the projection");
}

void set_version(v1::ProjectionVersion& out, const VersionInfo& version, const Principal& reader,
                 bool with_definition) {
  out.set_number(version.number);
  out.set_state(state_of(version.state));
  if (with_definition) out.set_definition(version.definition);
  set_time(*out.mutable_created(), version.created_us);
  out.set_position(version.checkpoint.position.text());
  out.set_sequence(version.checkpoint.position.sequence);
  out.set_began_after(version.began_after);
  out.set_rows(version.checkpoint.rows);
  out.set_bytes(version.checkpoint.bytes);
  out.set_events(version.checkpoint.events);
  if (version.failure) set_failure(*out.mutable_failure(), version, reader);
  for (const Sequence sequence : version.skipped) out.add_skipped(sequence);
}

void set_row(v1::ProjectionRow& out, Row row) {
  out.set_key(std::move(row.key));
  out.set_document(std::move(row.document));
  out.set_sequence(row.sequence);
}

Result<RowSelection> to_selection(const v1::RowSelection& selection) {
  auto made =
      RowSelection::make({selection.keys().begin(), selection.keys().end()}, selection.prefix());
  if (!made) return field_error("selection", made.error().message, made.error().code);
  return made;
}

}  // namespace

Status check_projection_field(std::string_view name) {
  if (name.size() > kProjectionNameBytesMax) {
    return field_error(
        "name", fmt::format("at most {} bytes, are {}", kProjectionNameBytesMax, name.size()));
  }
  if (const Status valid = check_stream_name(name); valid) return {};
  return field_error("name", fmt::format("'{}' is no name of a projection: tokens of A-Z a-z 0-9 "
                                         "_ -, joined by '.'",
                                         printable(name)));
}

Result<RowQuery> to_row_query(const v1::QueryProjectionRequest& request) {
  auto selection = to_selection(request.selection());
  if (!selection) return selection.error();
  if (request.page_size() > kRowsMax) {
    return field_error("page_size",
                       fmt::format("must be 1-{}, is {}", kRowsMax, request.page_size()));
  }
  if (request.wait_ms() > kWaitMsMax) {
    return field_error("wait_ms",
                       fmt::format("must be at most {}, is {}", kWaitMsMax, request.wait_ms()));
  }
  RowQuery query;
  query.projection = request.name();
  query.selection = std::move(selection).value();
  query.limit = request.page_size() == 0 ? kRowsDefault : request.page_size();
  if (request.min_place_case() == v1::QueryProjectionRequest::kMinSequence)
    query.min_sequence = request.min_sequence();
  query.wait_ms = request.wait_ms();
  const std::string& token = request.page_token();
  if (token.empty()) return query;
  if (token.front() != kTokenMark || token.size() > 1 + kRowKeyBytesMax) {
    return field_error("page_token", "is not the next_page_token of an answer");
  }
  query.after = token.substr(1);
  return query;
}

Result<WatchRequest> to_watch_request(const v1::WatchProjectionRequest& request) {
  auto selection = to_selection(request.selection());
  if (!selection) return selection.error();
  WatchRequest watch;
  watch.projection = request.name();
  watch.selection = std::move(selection).value();
  if (!request.has_after()) return watch;
  const auto position = Position::parse(request.after().position());
  if (!position)
    return field_error("after.position", position.error().message, position.error().code);
  if (request.after().version() == 0) {
    return field_error("after.version",
                       "must be the version that came with the position: other versions fold the "
                       "same events to other rows");
  }
  watch.after = WatchPlace{request.after().version(), *position};
  return watch;
}

void set_projection(v1::Projection& out, const ProjectionInfo& info, const Principal& reader) {
  out.set_name(info.name);
  out.set_description(info.description);
  out.set_paused(info.is_paused);
  out.set_built_in(info.is_built_in);
  // Who changes a projection may not be who may read it.
  const bool with_definitions = reader.check_projection(info.name).has_value();
  for (const VersionInfo& version : info.versions)
    set_version(*out.add_versions(), version, reader, with_definitions);
  out.set_head(info.head);
}

void set_query_response(v1::QueryProjectionResponse& out, RowPage page) {
  for (Row& row : page.rows) set_row(*out.add_rows(), std::move(row));
  out.set_position(page.position.text());
  out.set_sequence(page.position.sequence);
  out.set_version(page.version);
  out.set_head(page.head);
  if (page.next) out.set_next_page_token(kTokenMark + *page.next);
}

void set_watch_response(v1::WatchProjectionResponse& out, WatchStep step) {
  out.set_reset(step.reset);
  for (Row& row : step.rows) set_row(*out.add_rows(), std::move(row));
  if (step.position) {
    out.mutable_place()->set_position(step.position->text());
    out.mutable_place()->set_version(step.version);
  }
  out.set_snapshot_end(step.snapshot_end);
}

void set_test_response(v1::TestProjectionResponse& out, TrialReport report) {
  out.set_examined(report.examined);
  out.set_matched(report.matched);
  out.set_row_count(report.row_count);
  out.set_position(report.position.text());
  if (report.failure) set_failure(*out.mutable_failure(), *report.failure);
  std::size_t bytes = 0;
  for (Row& row : report.rows) {
    bytes += row.key.size() + row.document.size();
    if (bytes > kTestBytesMax) return;
    set_row(*out.add_rows(), std::move(row));
  }
}

std::size_t row_bytes(const std::vector<Row>& rows) {
  std::size_t bytes = 0;
  for (const Row& row : rows) bytes += row.key.size() + row.document.size();
  return bytes;
}

}  // namespace tidegate
