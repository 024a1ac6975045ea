#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "eventstore/base/guarded.h"
#include "eventstore/base/result.h"
#include "eventstore/types.h"

namespace tidegate {

class Storage;
class StorageBatch;

// One history that the log descends from.
struct Branch {
  LogId log;
  Sequence fork = 0;  // last sequence shared with the parent; 0 for the first one
  std::int64_t time_us = 0;
  std::string reason;  // "created", "accepted_loss", "restored"
};

// The lowest sequence still held, and what is known of the event before it.
struct Floor {
  Sequence sequence = 1;
  Chain chain_before = 0;
  std::int64_t time_before_us = 0;
};

// What `meta` holds: where this log comes from and where it begins.
// Thread: any (internally synchronised): the lineage is constant while a log is open, the floor
// moves.
class History {
 public:
  History(std::vector<Branch> lineage, Floor floor);
  // A new log.
  static History create(const LogId& log, std::int64_t time_us);
  // kDataLoss when a row is missing or malformed.
  static Result<History> read(const Storage& storage);
  History(History&& other) noexcept;
  History& operator=(const History&) = delete;

  const LogId& log_id() const { return lineage_.back().log; }
  const std::vector<Branch>& lineage() const { return lineage_; }
  // The chain before the first event: that of the oldest history.
  Chain root_chain() const;
  Floor floor() const;
  void set_floor(const Floor& floor);
  void add_branch(Branch branch) { lineage_.push_back(std::move(branch)); }

  // The last sequence that `log` shares with the present history; nothing when the log does not
  // descend from it, and the greatest number for the present one.
  std::optional<Sequence> shared_until(const LogId& log) const;

  void put_lineage(StorageBatch& batch) const;
  static void put_floor(StorageBatch& batch, const Floor& floor);

 private:
  std::vector<Branch> lineage_;
  Guarded<Floor> floor_;
};

}  // namespace tidegate
