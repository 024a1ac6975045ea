#include "projections/projection.h"

#include <algorithm>
#include <limits>
#include <mutex>

namespace tidegate {

FoldedVersion::FoldedVersion(DerivedRows& rows, const VersionIdentity& identity,
                             Definition definition, std::string unreadable, const Limits& limits)
    : identity_(identity),
      definition_(std::move(definition)),
      unreadable_(std::move(unreadable)),
      store_(rows, identity.fold_number, limits.removals_max),
      recent_commits_(limits.recent_commits_bytes_max) {}

Checkpoint FoldedVersion::checkpoint() const {
  return checkpoint_.with([](const Checkpoint& checkpoint) { return checkpoint; });
}

std::optional<FoldFailure> FoldedVersion::failure() const {
  return failure_.with([](const std::optional<FoldFailure>& failure) { return failure; });
}

void FoldedVersion::fail(FoldFailure failure) {
  failure_.with([&](std::optional<FoldFailure>& held) { held = std::move(failure); });
  failed_.store(true, std::memory_order_release);
}

void FoldedVersion::clear_failure() {
  failure_.with([](std::optional<FoldFailure>& held) { held.reset(); });
  failed_.store(false, std::memory_order_release);
}

Status FoldedVersion::begin(const Position& position) {
  auto checkpoint = store_.commit({}, position, 0);
  if (!checkpoint) return std::move(checkpoint).error();
  take_up(*checkpoint);
  return {};
}

void FoldedVersion::take_up(const Checkpoint& checkpoint) {
  checkpoint_.with([&](Checkpoint& held) { held = checkpoint; });
  reached_.store(checkpoint.position.sequence, std::memory_order_release);
}

void FoldedVersion::committed(const Checkpoint& checkpoint, RowCommitRef commit) {
  recent_commits_.push(std::move(commit));
  take_up(checkpoint);
}

void FoldedVersion::end_reading() {
  gone_.store(true, std::memory_order_release);
  const std::unique_lock wait_for_readers(reading_);
}

Status FoldedVersion::erase() {
  end_reading();
  return store_.erase();
}

void FoldedVersion::close() {
  closed_.store(true, std::memory_order_release);
  end_reading();
}

const Projection::Version* Projection::State::in_state(VersionInfo::State state) const {
  const auto found = std::find_if(versions.begin(), versions.end(),
                                  [&](const Version& version) { return version.state == state; });
  return found == versions.end() ? nullptr : &*found;
}

Projection::Version* Projection::State::in_state(VersionInfo::State state) {
  return const_cast<Version*>(std::as_const(*this).in_state(state));
}

Projection::State Projection::state() const {
  return state_.with([](const State& state) { return state; });
}

void Projection::become(State state) {
  const Version* const live = state.in_state(VersionInfo::State::kLive);
  const std::uint32_t live_number =
      live == nullptr || state.is_removed ? 0 : live->folded->number();
  const bool is_paused = state.is_paused;
  // The state first: who sees the new number finds the new version.
  state_.with([&](State& held) { std::swap(held, state); });
  live_number_.store(live_number, std::memory_order_release);
  paused_.store(is_paused, std::memory_order_release);
}

std::shared_ptr<const FoldedVersion> Projection::live() const {
  return state_.with([](const State& state) -> std::shared_ptr<const FoldedVersion> {
    const Version* const live = state.in_state(VersionInfo::State::kLive);
    return live == nullptr || state.is_removed ? nullptr : live->folded;
  });
}

ProjectionInfo Projection::info(Sequence head) const {
  const State state = this->state();
  ProjectionInfo info;
  info.name = name_;
  info.is_paused = state.is_paused;
  info.is_built_in = is_built_in();
  info.head = head;
  for (const Version& version : state.versions) {
    const FoldedVersion& folded = *version.folded;
    VersionInfo told;
    told.number = folded.number();
    told.state = version.state;
    told.definition = folded.definition().text;
    told.created_us = folded.identity().created_us;
    told.checkpoint = folded.checkpoint();
    told.began_after = folded.identity().began_after;
    told.failure = folded.failure();
    told.skipped = version.skipped;
    // The newest that is not retired says what the projection is.
    if (version.state != VersionInfo::State::kRetired)
      info.description = folded.definition().description;
    info.versions.push_back(std::move(told));
  }
  return info;
}

std::shared_ptr<Projection> Projections::find(std::string_view name) const {
  return by_name_.with([&](const auto& by_name) -> std::shared_ptr<Projection> {
    const auto found = by_name.find(name);
    return found == by_name.end() ? nullptr : found->second;
  });
}

std::vector<std::shared_ptr<Projection>> Projections::all() const {
  std::vector<std::shared_ptr<Projection>> all;
  by_name_.with([&](const auto& by_name) {
    all.reserve(by_name.size());
    for (const auto& [name, projection] : by_name) all.push_back(projection);
  });
  return all;
}

std::size_t Projections::count() const {
  return by_name_.with([](const auto& by_name) { return by_name.size(); });
}

void Projections::add(std::shared_ptr<Projection> projection) {
  by_name_.with([&](auto& by_name) { by_name[projection->name()] = projection; });
}

void Projections::remove(std::string_view name) {
  by_name_.with([&](auto& by_name) {
    const auto found = by_name.find(name);
    if (found != by_name.end()) by_name.erase(found);
  });
}

void Projections::hold(std::optional<Sequence> sequence) {
  held_.store(sequence.value_or(std::numeric_limits<Sequence>::max()), std::memory_order_release);
}

Sequence Projections::needed() const {
  Sequence needed = held_.load(std::memory_order_acquire);
  for (const auto& projection : all()) {
    const Projection::State state = projection->state();
    if (state.is_paused || state.is_removed) continue;
    for (const Projection::Version& version : state.versions) {
      if (version.state == VersionInfo::State::kRetired || version.folded->has_failed()) continue;
      needed = std::min(needed, version.folded->reached() + 1);
    }
  }
  return needed;
}

const VersionInfo* ProjectionInfo::live() const {
  const auto found = std::find_if(versions.begin(), versions.end(), [](const VersionInfo& version) {
    return version.state == VersionInfo::State::kLive;
  });
  return found == versions.end() ? nullptr : &*found;
}

const VersionInfo* ProjectionInfo::building() const {
  const auto found = std::find_if(versions.begin(), versions.end(), [](const VersionInfo& version) {
    return version.state == VersionInfo::State::kBuilding;
  });
  return found == versions.end() ? nullptr : &*found;
}

}  // namespace tidegate
