#include "projections/waiting_queries.h"

#include <algorithm>
#include <limits>

namespace tidegate {

WaitingQueries::Added WaitingQueries::add(PendingQuery& query) {
  return state_.with([&](State& state) {
    if (state.has_ended) return Added::kEnded;
    if (state.queries.size() >= kQueriesMax) return Added::kFull;
    state.look_again_ms = state.queries.empty() ? query.deadline_ms
                                                : std::min(state.look_again_ms, query.deadline_ms);
    const Key key{query.projection.get(), query.query.min_sequence};
    state.queries.emplace(key, std::move(query));
    count_ = state.queries.size();
    return Added::kYes;
  });
}

bool WaitingQueries::has_any_of(const Projection& projection, Sequence head) const {
  if (count_ == 0) return false;
  return state_.with([&](const State& state) {
    const auto found = state.queries.lower_bound({&projection, 0});
    return found != state.queries.end() && found->first.first == &projection &&
           found->first.second <= head;
  });
}

std::optional<Sequence> WaitingQueries::next_above(const Projection& projection,
                                                   Sequence head) const {
  if (count_ == 0) return std::nullopt;
  return state_.with([&](const State& state) -> std::optional<Sequence> {
    const auto found = state.queries.upper_bound({&projection, head});
    if (found == state.queries.end() || found->first.first != &projection) return std::nullopt;
    return found->first.second;
  });
}

std::vector<PendingQuery> WaitingQueries::take_ready() {
  std::vector<PendingQuery> ready;
  if (count_ == 0) return ready;
  constexpr Sequence kAll = std::numeric_limits<Sequence>::max();
  state_.with([&](State& state) {
    for (auto next = state.queries.begin(); next != state.queries.end();) {
      const Projection* const projection = next->first.first;
      const auto live = projection->live();
      const auto end = state.queries.upper_bound({projection, live ? live->reached() : kAll});
      for (; next != end; next = state.queries.erase(next))
        ready.push_back(std::move(next->second));
      next = state.queries.upper_bound({projection, kAll});
    }
    count_ = state.queries.size();
  });
  return ready;
}

std::vector<PendingQuery> WaitingQueries::take_expired(std::int64_t now_ms) {
  std::vector<PendingQuery> expired;
  if (count_ == 0) return expired;
  state_.with([&](State& state) {
    if (state.queries.empty() || now_ms < state.look_again_ms) return;
    state.look_again_ms = std::numeric_limits<std::int64_t>::max();
    for (auto next = state.queries.begin(); next != state.queries.end();) {
      if (next->second.deadline_ms <= now_ms) {
        expired.push_back(std::move(next->second));
        next = state.queries.erase(next);
      } else {
        state.look_again_ms = std::min(state.look_again_ms, next->second.deadline_ms);
        ++next;
      }
    }
    count_ = state.queries.size();
  });
  return expired;
}

std::optional<std::int64_t> WaitingQueries::look_again_ms() const {
  if (count_ == 0) return std::nullopt;
  return state_.with([](const State& state) -> std::optional<std::int64_t> {
    if (state.queries.empty()) return std::nullopt;
    return state.look_again_ms;
  });
}

std::vector<PendingQuery> WaitingQueries::end() {
  std::vector<PendingQuery> all;
  state_.with([&](State& state) {
    state.has_ended = true;
    for (auto& [key, query] : state.queries) all.push_back(std::move(query));
    state.queries.clear();
    count_ = 0;
  });
  return all;
}

}  // namespace tidegate
