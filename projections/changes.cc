#include "projections/changes.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "eventstore/base/log.h"
#include "eventstore/base/text.h"
#include "projections/built_in.h"
#include "projections/fold.h"

namespace tidegate {
namespace {

using VersionState = VersionInfo::State;

Error built_in_is_fixed(std::string_view name) {
  return {Code::kForbidden,
          fmt::format("'{}' is a built-in projection: choose a name that does not begin with '_'; "
                      "projections.built_in and projections.presence switch them on and off",
                      printable(name))};
}

// Takes the version in this state out, if there is one.
void drop_version(Projection::State& state, VersionState which,
                  std::vector<std::shared_ptr<FoldedVersion>>& dropped) {
  std::erase_if(state.versions, [&](const Projection::Version& version) {
    if (version.state != which) return false;
    dropped.push_back(version.folded);
    return true;
  });
}

std::vector<Projection::Version*> failed_versions(Projection::State& state) {
  std::vector<Projection::Version*> failed;
  for (Projection::Version& version : state.versions) {
    if (version.state != VersionState::kRetired && version.folded->has_failed())
      failed.push_back(&version);
  }
  return failed;
}

// While it exists no trim passes the log's floor: a version may be begun there, or found to be
// above it, and be made visible. Trims that have asked before what is needed are waited for.
// Thread: caller serialises.
class LogHold {
 public:
  LogHold(EventStore& store, Projections& projections) : projections_(projections) {
    projections_.hold(store.floor());
    // Trims nothing, but takes its turn after one that is under way.
    static_cast<void>(store.trim(0));
  }
  ~LogHold() { projections_.hold(std::nullopt); }
  LogHold(const LogHold&) = delete;
  LogHold& operator=(const LogHold&) = delete;

 private:
  Projections& projections_;
};

Error nothing_failed(const Projection& projection) {
  return {Code::kCheckFailed,
          fmt::format("projection '{}' has not failed: there is nothing to retry or to skip",
                      projection.name())};
}

}  // namespace

FoldedVersion::Limits version_limits(const EngineOptions& options) {
  return {options.recent_commits_bytes_max, options.removals_max};
}

Changes::Changes(EventStore& store, Registry& registry, Projections& projections,
                 FoldingThread& folding, const EngineOptions& options)
    : store_(store),
      registry_(registry),
      projections_(projections),
      folding_(folding),
      options_(options) {}

// Making versions
// -----------------------------------------------------------------------------------

// Where a fold of the whole log begins: before the first event that is held.
Result<Position> Changes::place_to_begin() const {
  while (true) {
    auto position = store_.reader().position_at(store_.floor() - 1);
    // A trim came in between.
    if (!position && position.error().code == Code::kTrimmed) continue;
    return position;
  }
}

Result<std::shared_ptr<FoldedVersion>> Changes::make_version(std::uint32_t number,
                                                             Definition definition) {
  auto position = place_to_begin();
  if (!position) return std::move(position).error();
  auto fold_number = registry_.allot_fold_number();
  if (!fold_number) return std::move(fold_number).error();
  const VersionIdentity identity{number, *fold_number, options_.clock->wall_us(),
                                 position->sequence};
  auto version =
      std::make_shared<FoldedVersion>(store_.derived_rows(), identity, std::move(definition),
                                      std::string(), version_limits(options_));
  auto begun = version->begin(*position);
  if (!begun) return std::move(begun).error();
  return version;
}

Result<ProjectionInfo> Changes::make_visible(Projection& projection, Projection::State state,
                                             Dropped dropped) {
  auto put = registry_.put(projection, state);
  if (!put) return std::move(put).error();
  projection.become(std::move(state));
  folding_.follow(std::move(dropped));
  return projection.info(store_.tail().head());
}

Result<ProjectionInfo> Changes::build(Projection& projection, Projection::State state,
                                      const Definition& definition, std::vector<Sequence> skipped) {
  const LogHold hold(store_, projections_);
  auto version = make_version(state.next_number++, definition);
  if (!version) return std::move(version).error();
  Dropped dropped;
  drop_version(state, VersionState::kBuilding, dropped);
  state.versions.push_back({*std::move(version), VersionState::kBuilding, std::move(skipped)});
  return make_visible(projection, std::move(state), std::move(dropped));
}

// What operators do
// -----------------------------------------------------------------------------------

Result<std::shared_ptr<Projection>> Changes::find(std::string_view name) const {
  auto projection = projections_.find(name);
  if (projection) return projection;
  return Error{Code::kNotFound, fmt::format("there is no projection '{}'", printable(name))};
}

Result<ProjectionInfo> Changes::apply(std::string_view toml) {
  auto definition = Definition::parse(toml);
  if (!definition) return std::move(definition).error();
  if (definition->name.starts_with('_')) return built_in_is_fixed(definition->name);
  return apply_definition(*std::move(definition));
}

Result<ProjectionInfo> Changes::apply_definition(Definition definition) {
  // Before anything is written: a script that cannot be loaded.
  auto fold = make_fold(definition);
  if (!fold) return std::move(fold).error();
  const std::lock_guard lock(one_at_a_time_);
  const auto projection = projections_.find(definition.name);
  if (!projection) return create(std::move(definition));
  Projection::State state = projection->state();
  const Projection::Version* newest = state.in_state(VersionState::kBuilding);
  if (newest == nullptr) newest = state.in_state(VersionState::kLive);
  if (newest != nullptr && newest->folded->definition().text == definition.text)
    return projection->info(store_.tail().head());
  return build(*projection, std::move(state), definition, {});
}

Result<ProjectionInfo> Changes::create(Definition definition) {
  if (projections_.count() >= options_.projections_max) {
    return Error{Code::kLimit, fmt::format("there are {} projections already, and no more are "
                                           "allowed: remove one first",
                                           options_.projections_max)};
  }
  const LogHold hold(store_, projections_);
  auto projection = std::make_shared<Projection>(definition.name);
  Projection::State state;
  state.next_number = registry_.first_number();
  auto version = make_version(state.next_number++, std::move(definition));
  if (!version) return std::move(version).error();
  state.versions.push_back({*std::move(version), VersionState::kLive, {}});
  auto put = registry_.put(*projection, state);
  if (!put) return std::move(put).error();
  projection->become(std::move(state));
  projections_.add(projection);
  folding_.follow({});
  return projection->info(store_.tail().head());
}

Result<ProjectionInfo> Changes::pause(std::string_view name, bool is_paused) {
  const std::lock_guard lock(one_at_a_time_);
  auto projection = find(name);
  if (!projection) return std::move(projection).error();
  Projection::State state = (*projection)->state();
  if (state.is_paused == is_paused) return (*projection)->info(store_.tail().head());
  state.is_paused = is_paused;
  return make_visible(**projection, std::move(state), {});
}

Result<ProjectionInfo> Changes::rebuild(std::string_view name) {
  const std::lock_guard lock(one_at_a_time_);
  auto projection = find(name);
  if (!projection) return std::move(projection).error();
  Projection::State state = (*projection)->state();
  const Projection::Version* const live = state.in_state(VersionState::kLive);
  TG_CHECK(live != nullptr, name);
  if (!live->folded->unreadable().empty())
    return Error{Code::kBadArgument, live->folded->unreadable()};
  const Definition definition = live->folded->definition();
  const std::vector<Sequence> skipped = live->skipped;
  return build(**projection, std::move(state), definition, skipped);
}

Result<ProjectionInfo> Changes::rollback(std::string_view name) {
  const std::lock_guard lock(one_at_a_time_);
  auto projection = find(name);
  if (!projection) return std::move(projection).error();
  Projection::State state = (*projection)->state();
  if (state.in_state(VersionState::kRetired) == nullptr) {
    return Error{Code::kCheckFailed,
                 fmt::format("projection '{}' has no earlier version to go back to", name)};
  }
  Dropped dropped;
  drop_version(state, VersionState::kBuilding, dropped);
  Projection::Version& retired = *state.in_state(VersionState::kRetired);
  const LogHold hold(store_, projections_);
  const Sequence reached = retired.folded->reached();
  if (reached + 1 < store_.floor()) {
    return Error{
        Code::kCheckFailed,
        fmt::format("version {} of projection '{}' had come to event {}, and the log begins "
                    "at {} by now: apply its definition again instead",
                    retired.folded->number(), name, reached, store_.floor())};
  }
  retired.state = VersionState::kBuilding;
  retired.folded->clear_failure();
  return make_visible(**projection, std::move(state), std::move(dropped));
}

Result<ProjectionInfo> Changes::retry(std::string_view name) {
  const std::lock_guard lock(one_at_a_time_);
  auto projection = find(name);
  if (!projection) return std::move(projection).error();
  Projection::State state = (*projection)->state();
  const auto failed = failed_versions(state);
  if (failed.empty()) return nothing_failed(**projection);
  for (const Projection::Version* version : failed) version->folded->clear_failure();
  folding_.wake();
  return (*projection)->info(store_.tail().head());
}

Result<ProjectionInfo> Changes::skip(std::string_view name, Sequence sequence) {
  const std::lock_guard lock(one_at_a_time_);
  auto projection = find(name);
  if (!projection) return std::move(projection).error();
  Projection::State state = (*projection)->state();
  const auto failed = failed_versions(state);
  if (failed.empty()) return nothing_failed(**projection);
  std::vector<std::shared_ptr<FoldedVersion>> skipping;
  for (Projection::Version* version : failed) {
    const auto failure = version->folded->failure();
    if (sequence == 0 || !failure || failure->sequence != sequence) continue;
    auto& skipped = version->skipped;
    skipped.insert(std::lower_bound(skipped.begin(), skipped.end(), sequence), sequence);
    skipping.push_back(version->folded);
  }
  if (skipping.empty()) {
    const auto failure = failed.front()->folded->failure();
    const Sequence at = failure ? failure->sequence : 0;
    return Error{
        Code::kCheckFailed,
        at == 0 ? fmt::format("projection '{}' did not fail at an event: retry or rebuild "
                              "it",
                              name)
                : fmt::format("projection '{}' failed at event {}, not at {}", name, at, sequence)};
  }
  auto put = registry_.put(**projection, state);
  if (!put) return std::move(put).error();
  (*projection)->become(std::move(state));
  // Only now: the fold reads what it is to skip when it begins again.
  for (const auto& version : skipping) version->clear_failure();
  folding_.wake();
  return (*projection)->info(store_.tail().head());
}

Status Changes::remove(std::string_view name) {
  const std::lock_guard lock(one_at_a_time_);
  auto projection = find(name);
  if (!projection) return std::move(projection).error();
  if ((*projection)->is_built_in()) return built_in_is_fixed(name);
  return remove_now(**projection);
}

Status Changes::remove_now(Projection& projection) {
  Projection::State state = projection.state();
  auto removed = registry_.remove(projection, state);
  if (!removed) return removed;
  Dropped dropped;
  for (const Projection::Version& version : state.versions) dropped.push_back(version.folded);
  state.versions.clear();
  state.is_removed = true;
  projections_.remove(projection.name());
  projection.become(std::move(state));
  folding_.follow(std::move(dropped));
  return {};
}

// Built-in projections and the take-over
// -----------------------------------------------------------------------------------

Status Changes::follow_built_ins() {
  const auto known = built_in_projections();
  const auto is_wanted = [this](const BuiltIn& built_in) {
    return built_in.by == BuiltIn::Switch::kPresence ? options_.presence : options_.built_in;
  };
  for (const auto& projection : projections_.all()) {
    if (!projection->is_built_in()) continue;
    const bool stays = std::any_of(known.begin(), known.end(), [&](const BuiltIn& built_in) {
      return built_in.name == projection->name() && is_wanted(built_in);
    });
    if (stays) continue;
    const std::lock_guard lock(one_at_a_time_);
    auto removed = remove_now(*projection);
    if (!removed) return removed;
  }
  for (const BuiltIn& built_in : known) {
    if (!is_wanted(built_in)) continue;
    auto definition = Definition::parse(built_in.text);
    if (!definition) return std::move(definition).error();
    auto applied = apply_definition(*std::move(definition));
    if (!applied) return std::move(applied).error();
  }
  return {};
}

void Changes::take_over(Projection& projection, FoldedVersion& version) {
  const std::lock_guard lock(one_at_a_time_);
  Projection::State state = projection.state();
  const Projection::Version* const building = state.in_state(VersionState::kBuilding);
  if (state.is_removed || state.is_paused || building == nullptr ||
      building->folded.get() != &version) {
    return;
  }
  // The record says "live" only of rows that no crash takes back behind those of the former one.
  Status done = store_.derived_rows().flush();
  Dropped dropped;
  drop_version(state, VersionState::kRetired, dropped);
  for (Projection::Version& held : state.versions) {
    held.state = held.folded.get() == &version ? VersionState::kLive : VersionState::kRetired;
  }
  if (done) {
    auto visible = make_visible(projection, std::move(state), std::move(dropped));
    if (!visible) done = std::move(visible).error();
  }
  if (!done) {
    version.fail({0, "", "", "cannot take over: " + done.error().message});
    return;
  }
  log(LogLevel::kInfo, "projection version took over",
      {{"projection", projection.name()},
       {"version", version.number()},
       {"sequence", version.reached()}});
}

}  // namespace tidegate
