#include "projections/loading.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "eventstore/base/log.h"
#include "projections/changes.h"
#include "projections/definition.h"

namespace tidegate {
namespace {

using DefinitionRecord = Registry::Record;
using VersionState = VersionInfo::State;

// Loads one projection.
// Thread: caller serialises.
class ProjectionLoader {
 public:
  ProjectionLoader(EventStore& store, Registry& registry, const EngineOptions& options,
                   const DefinitionRecord& record)
      : store_(store),
        registry_(registry),
        options_(options),
        record_(record),
        projection_(std::make_shared<Projection>(record.name())) {}

  // Null when nothing is left of it.
  Result<std::shared_ptr<Projection>> load();

 private:
  std::shared_ptr<FoldedVersion> make(const VersionIdentity& identity,
                                      const std::string& text) const;
  Status load_version(const DefinitionRecord::Version& row);
  // What is to become of a version.
  struct TakenUp {
    bool goes_on = true;  // from its rows
    // Sequences up to here are of the history in which events were skipped.
    Sequence skipped_max = 0;
  };
  Result<TakenUp> take_up(FoldedVersion& version) const;
  Result<TakenUp> begin_again(FoldedVersion& version) const;
  Status begin_anew(const DefinitionRecord::Version& row, Sequence skipped_max);
  void add(std::shared_ptr<FoldedVersion> version, const DefinitionRecord::Version& row,
           Sequence skipped_max);
  void make_one_live();

  EventStore& store_;
  Registry& registry_;
  const EngineOptions& options_;
  const DefinitionRecord& record_;
  const std::shared_ptr<Projection> projection_;
  Projection::State state_;
  bool is_changed_ = false;
};

VersionState version_state_of(DefinitionRecord::State state) {
  switch (state) {
    case DefinitionRecord::STATE_LIVE:
      return VersionState::kLive;
    case DefinitionRecord::STATE_RETIRED:
      return VersionState::kRetired;
    default:
      return VersionState::kBuilding;
  }
}

Result<std::shared_ptr<Projection>> ProjectionLoader::load() {
  state_.is_paused = record_.paused();
  state_.next_number = record_.next_version_number();
  for (const DefinitionRecord::Version& row : record_.versions())
    state_.next_number = std::max(state_.next_number, row.number() + 1);
  for (const DefinitionRecord::Version& row : record_.versions()) {
    auto loaded = load_version(row);
    if (!loaded) return std::move(loaded).error();
  }
  make_one_live();
  if (state_.versions.empty()) return std::shared_ptr<Projection>();
  if (is_changed_) {
    auto put = registry_.put(*projection_, state_);
    if (!put) return std::move(put).error();
  }
  projection_->become(std::move(state_));
  return projection_;
}

std::shared_ptr<FoldedVersion> ProjectionLoader::make(const VersionIdentity& identity,
                                                      const std::string& text) const {
  auto definition = Definition::parse(text);
  std::string unreadable;
  if (!definition) {
    unreadable =
        "this version of the program cannot read the definition: " + definition.error().message +
        "; apply another one";
    Definition empty;
    empty.name = record_.name();
    empty.text = text;
    definition = std::move(empty);
  }
  return std::make_shared<FoldedVersion>(store_.derived_rows(), identity, *std::move(definition),
                                         std::move(unreadable), version_limits(options_));
}

void ProjectionLoader::add(std::shared_ptr<FoldedVersion> version,
                           const DefinitionRecord::Version& row, Sequence skipped_max) {
  // An event of another history that has the sequence of one that was skipped must not go missing.
  std::vector<Sequence> skipped;
  std::copy_if(row.skipped().begin(), row.skipped().end(), std::back_inserter(skipped),
               [&](Sequence sequence) { return sequence <= skipped_max; });
  if (skipped.size() != static_cast<std::size_t>(row.skipped_size())) is_changed_ = true;
  state_.versions.push_back(
      {std::move(version), version_state_of(row.state()), std::move(skipped)});
}

Status ProjectionLoader::load_version(const DefinitionRecord::Version& row) {
  const VersionIdentity identity{row.number(), row.fold_number(), row.created_us(),
                                 row.began_after()};
  auto version = make(identity, row.definition());
  auto taken_up = take_up(*version);
  if (!taken_up) return std::move(taken_up).error();
  if (!taken_up->goes_on) return begin_anew(row, taken_up->skipped_max);
  add(std::move(version), row, taken_up->skipped_max);
  return {};
}

// Whether the rows are of this log, and the version goes on from them.
Result<ProjectionLoader::TakenUp> ProjectionLoader::take_up(FoldedVersion& version) const {
  const Sequence head = store_.tail().head();
  auto stored = version.rows().checkpoint();
  if (!stored) {
    log(LogLevel::kWarn, "rows of a projection are damaged and folded anew",
        {{"projection", record_.name()}, {"error", stored.error().message}});
    return TakenUp{false, head};
  }
  if (!*stored) return begin_again(version);
  Checkpoint checkpoint = **stored;
  auto resolved = store_.reader().resolve(AfterPosition{checkpoint.position}, Filter::everything());
  if (!resolved) {
    // The log itself is damaged there: that keeps nobody from reading rows.
    version.take_up(checkpoint);
    version.fail({0, "", "", resolved.error().message});
    return TakenUp{true, head};
  }
  // What comes after a trimmed place is gone: the fold says so when it goes on.
  if (resolved->outcome == ResolvedStart::Outcome::kTrimmed) {
    version.take_up(checkpoint);
    return TakenUp{true, head};
  }
  if (resolved->outcome != ResolvedStart::Outcome::kOk) {
    log(LogLevel::kWarn, "rows of a projection are of another history of the log: folded anew",
        {{"projection", record_.name()}, {"position", checkpoint.position.text()}});
    return TakenUp{false, 0};
  }
  if (checkpoint.position == resolved->position) {
    version.take_up(checkpoint);
    return TakenUp{true, head};
  }
  // The log has got a new id since: pages and watches tell positions of the present one. Of what
  // comes after the checkpoint nobody knows which history it was skipped in.
  auto renamed = version.rows().commit({}, resolved->position, 0);
  if (!renamed) return std::move(renamed).error();
  version.take_up(*renamed);
  return TakenUp{true, resolved->position.sequence};
}

// A crash has taken all of its rows, and no trim has taken the events.
Result<ProjectionLoader::TakenUp> ProjectionLoader::begin_again(FoldedVersion& version) const {
  const Sequence head = store_.tail().head();
  auto position = store_.reader().position_at(version.identity().began_after);
  if (!position) return TakenUp{false, head};
  auto begun = version.begin(*position);
  if (!begun) return std::move(begun).error();
  return TakenUp{true, head};
}

Status ProjectionLoader::begin_anew(const DefinitionRecord::Version& row, Sequence skipped_max) {
  is_changed_ = true;
  if (row.state() == DefinitionRecord::STATE_RETIRED) return {};
  auto position = store_.reader().position_at(store_.floor() - 1);
  if (!position) return std::move(position).error();
  auto fold_number = registry_.allot_fold_number();
  if (!fold_number) return std::move(fold_number).error();
  const VersionIdentity identity{state_.next_number++, *fold_number, options_.clock->wall_us(),
                                 position->sequence};
  auto version = make(identity, row.definition());
  auto begun = version->begin(*position);
  if (!begun) return begun;
  add(std::move(version), row, skipped_max);
  return {};
}

// By number, and with one that answers.
void ProjectionLoader::make_one_live() {
  std::sort(state_.versions.begin(), state_.versions.end(),
            [](const Projection::Version& one, const Projection::Version& other) {
              return one.folded->number() < other.folded->number();
            });
  if (state_.versions.empty() || state_.in_state(VersionState::kLive) != nullptr) return;
  state_.versions.back().state = VersionState::kLive;
  is_changed_ = true;
}

}  // namespace

Status load_projections(EventStore& store, Registry& registry, Projections& projections,
                        const EngineOptions& options) {
  auto records = registry.load();
  if (!records) return std::move(records).error();
  std::set<std::uint64_t> named;
  for (const DefinitionRecord& record : *records) {
    auto projection = ProjectionLoader(store, registry, options, record).load();
    if (!projection) return std::move(projection).error();
    if (!*projection) continue;
    for (const Projection::Version& version : (*projection)->state().versions)
      named.insert(version.folded->identity().fold_number);
    projections.add(*std::move(projection));
  }
  return registry.erase_orphans(named);
}

}  // namespace tidegate
