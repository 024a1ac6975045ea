#include "eventstore/history.h"

#include <algorithm>
#include <limits>

#include "eventstore/keys.h"
#include "eventstore/record.h"
#include "eventstore/storage.h"
#include "tidegate/storage/v1/record.pb.h"

namespace tidegate {

History::History(std::vector<Branch> lineage, Floor floor)
    : lineage_(std::move(lineage)), floor_(floor) {
  TG_CHECK(!lineage_.empty());
}

History::History(History&& other) noexcept
    : lineage_(std::move(other.lineage_)), floor_(other.floor()) {}

History History::create(const LogId& log, std::int64_t time_us) {
  return {{{log, 0, time_us, "created"}}, {1, chain_of(log), 0}};
}

Result<History> History::read(const Storage& storage) {
  auto lineage_value = storage.get(Family::kMeta, kLineageKey);
  if (!lineage_value) return std::move(lineage_value).error();
  auto floor_value = storage.get(Family::kMeta, kFloorKey);
  if (!floor_value) return std::move(floor_value).error();
  storage::v1::Lineage lineage;
  storage::v1::Floor floor;
  if (!lineage_value->has_value() || !floor_value->has_value() ||
      !lineage.ParseFromString(**lineage_value) || !floor.ParseFromString(**floor_value) ||
      lineage.branches().empty()) {
    return Error{Code::kDataLoss, "the log's meta data is missing or damaged"};
  }
  std::vector<Branch> branches;
  for (const auto& branch : lineage.branches()) {
    auto log = LogId::parse(branch.log_id());
    if (!log) return Error{Code::kDataLoss, "the log's lineage is damaged"};
    branches.push_back({*log, branch.fork_sequence(), branch.time_us(), branch.reason()});
  }
  return History(std::move(branches),
                 {floor.sequence(), floor.chain_before(), floor.time_before_us()});
}

Chain History::root_chain() const {
  return chain_of(lineage_.front().log);
}

Floor History::floor() const {
  return floor_.with([](const Floor& floor) { return floor; });
}

void History::set_floor(const Floor& floor) {
  floor_.with([&](Floor& current) { current = floor; });
}

std::optional<Sequence> History::shared_until(const LogId& log) const {
  // A history ends where the oldest of its descendants' forks is: a second loss may fork below the
  // first one.
  Sequence until = std::numeric_limits<Sequence>::max();
  for (auto branch = lineage_.rbegin(); branch != lineage_.rend(); ++branch) {
    if (branch->log == log) return until;
    until = std::min(until, branch->fork);
  }
  return std::nullopt;
}

void History::put_lineage(StorageBatch& batch) const {
  storage::v1::Lineage lineage;
  for (const Branch& branch : lineage_) {
    auto& row = *lineage.add_branches();
    row.set_log_id(std::string(branch.log.text()));
    row.set_fork_sequence(branch.fork);
    row.set_time_us(branch.time_us);
    row.set_reason(branch.reason);
  }
  batch.put(Family::kMeta, kLineageKey, lineage.SerializeAsString());
}

void History::put_floor(StorageBatch& batch, const Floor& floor) {
  storage::v1::Floor row;
  row.set_sequence(floor.sequence);
  row.set_chain_before(floor.chain_before);
  row.set_time_before_us(floor.time_before_us);
  batch.put(Family::kMeta, kFloorKey, row.SerializeAsString());
}

}  // namespace tidegate
