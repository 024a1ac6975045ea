#include "tools/tidegate/projection_state.h"

#include <utility>

#include <fmt/format.h>

#include "tools/tidegate/services.h"

namespace tidegate {
namespace {

constexpr std::uint32_t kProjectionsPerPage = 1000;

// Of the version that users see, and of a new one beside it.
std::string state_text(const v1::Projection& projection) {
  const v1::ProjectionVersion* live = version_in(projection, v1::VERSION_STATE_LIVE);
  const v1::ProjectionVersion* building = version_in(projection, v1::VERSION_STATE_BUILDING);
  std::string text;
  if (live != nullptr) text = live->has_failure() ? "failed" : "live";
  if (building != nullptr) {
    if (!text.empty()) text += ", ";
    text +=
        fmt::format("{} {}", building->number(), building->has_failure() ? "failed" : "building");
  }
  if (projection.paused()) text += text.empty() ? "paused" : ", paused";
  return text.empty() ? "new" : text;
}

std::uint64_t behind_of(const v1::Projection& projection, const v1::ProjectionVersion& version) {
  return projection.head() > version.sequence() ? projection.head() - version.sequence() : 0;
}

// Why a version does not fold; empty: it does.
std::string standstill_of(const v1::Projection& projection, const v1::ProjectionVersion& version) {
  if (version.has_failure()) return "has failed";
  return projection.paused() ? "is paused" : "";
}

}  // namespace

const v1::ProjectionVersion* version_in(const v1::Projection& projection, v1::VersionState state) {
  for (const v1::ProjectionVersion& version : projection.versions()) {
    if (version.state() == state) return &version;
  }
  return nullptr;
}

const v1::ProjectionVersion* version_numbered(const v1::Projection& projection,
                                              std::uint32_t number) {
  for (const v1::ProjectionVersion& version : projection.versions()) {
    if (version.number() == number) return &version;
  }
  return nullptr;
}

const v1::ProjectionVersion* newest_version(const v1::Projection& projection) {
  const v1::ProjectionVersion* newest = nullptr;
  for (const v1::ProjectionVersion& version : projection.versions()) {
    if (newest == nullptr || version.number() > newest->number()) newest = &version;
  }
  return newest;
}

std::vector<std::string> projection_header() {
  return {"name", "state", "version", "sequence", "behind", "rows", "bytes", "events"};
}

Row projection_row(const v1::Projection& projection) {
  const v1::ProjectionVersion* shown = version_in(projection, v1::VERSION_STATE_LIVE);
  if (shown == nullptr) shown = newest_version(projection);
  const v1::ProjectionVersion none;
  const v1::ProjectionVersion& version = shown != nullptr ? *shown : none;
  return {Field::string("name", projection.name()),
          Field::string("state", state_text(projection)),
          Field::number("version", version.number()),
          Field::number("sequence", version.sequence()),
          Field::number("behind", behind_of(projection, version)),
          Field::number("rows", version.rows()),
          Field{"bytes", human_bytes(version.bytes()), std::to_string(version.bytes())},
          Field::number("events", version.events())};
}

std::string failure_text(const v1::FoldFailure& failure) {
  if (failure.sequence() == 0) return "stopped: " + failure.message();
  return fmt::format("stopped at event {} ({}, {}): {}", failure.sequence(), failure.stream(),
                     failure.type(), failure.message());
}

std::string counted(std::uint64_t count, const std::string& what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

std::string trouble_text(const v1::Projection& projection) {
  const v1::ProjectionVersion* live = version_in(projection, v1::VERSION_STATE_LIVE);
  const std::string trouble = live == nullptr ? "" : standstill_of(projection, *live);
  if (trouble.empty()) return "";
  return fmt::format("projection '{}' {}: its rows stay as of {}; see tidegate projection info {}",
                     projection.name(), trouble, live->sequence(), projection.name());
}

std::string loss_text(const v1::Projection& projection, std::uint64_t floor) {
  const v1::ProjectionVersion* live = version_in(projection, v1::VERSION_STATE_LIVE);
  if (live == nullptr || live->events() == 0 || live->began_after() + 1 >= floor) return "";
  return fmt::format(
      "the log begins at {0}, and the live version of '{1}' began before: what it folded from "
      "events before {0} will not come back in a new one",
      floor, projection.name());
}

std::vector<std::string> stranded_texts(const std::vector<v1::Projection>& projections,
                                        std::uint64_t floor) {
  std::vector<std::string> texts;
  for (const v1::Projection& projection : projections) {
    for (const v1::ProjectionVersion& version : projection.versions()) {
      const std::string trouble = standstill_of(projection, version);
      const bool is_folding = version.state() != v1::VERSION_STATE_RETIRED;
      if (!is_folding || trouble.empty() || version.sequence() + 1 >= floor) continue;
      texts.push_back(fmt::format(
          "projection '{}' {} at {} (version {}): it cannot go on without the events before {}; "
          "let it catch up first, or tidegate projection rebuild {} afterwards",
          projection.name(), trouble, version.sequence(), version.number(), floor,
          projection.name()));
    }
  }
  return texts;
}

Result<v1::Projection> get_projection(Client& client, const std::string& name) {
  v1::GetProjectionRequest request;
  request.set_name(name);
  auto response = call(client, &v1::ProjectionService::Stub::GetProjection, request);
  if (!response) return response.error();
  return std::move(*response->mutable_projection());
}

Result<std::vector<v1::Projection>> all_projections(Client& client) {
  std::vector<v1::Projection> projections;
  v1::ListProjectionsRequest request;
  request.set_page_size(kProjectionsPerPage);
  do {
    auto page = call(client, &v1::ProjectionService::Stub::ListProjections, request);
    if (!page) return page.error();
    for (v1::Projection& projection : *page->mutable_projections())
      projections.push_back(std::move(projection));
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  return projections;
}

Result<std::uint64_t> floor_of_log(Client& client) {
  auto log = call(client, &v1::AdminService::Stub::GetLog, v1::GetLogRequest());
  if (!log) return log.error();
  return log->floor();
}

}  // namespace tidegate
