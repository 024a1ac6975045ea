#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "eventstore/base/result.h"
#include "eventstore/event_store.h"
#include "gateway/delivery/pressure.h"
#include "gateway/delivery/projection_access.h"

namespace tidegate {

class Engine;

// ProjectionAccess over the real engine, one per I/O loop.
// Thread: I/O loop only; `post` is called from the engine's and the store's threads.
class EngineAccess final : public ProjectionAccess {
 public:
  // `post` runs a function on the loop; it may drop it when the loop has ended. `engine` is null
  // where projections are switched off. Engine, store and gauge must outlive this object; what
  // waits in the store's queue when it goes does not touch the engine any more.
  EngineAccess(Engine* engine, EventStore& store, const PressureGauge& pressure,
               std::function<void(std::function<void()>)> post);
  // Waits for the reads of the engine that are under way.
  ~EngineAccess() override;
  EngineAccess(const EngineAccess&) = delete;
  EngineAccess& operator=(const EngineAccess&) = delete;

  Status check_exists(std::string_view name) const override;
  void query(QueryRequest request, std::function<void(Result<RowPage>)> done) override;
  void open_watch(WatchRequest request,
                  std::function<void(Result<std::shared_ptr<RowCursor>>)> done) override;
  std::shared_ptr<void> on_change(std::function<void()> changed) override;

 private:
  class Gate;

  EventStore& store_;
  const PressureGauge& pressure_;
  const std::function<void(std::function<void()>)> post_;
  const std::shared_ptr<Gate> gate_;  // null where projections are switched off
};

// (disk) Compares the place that an answer has to reflect at least with the log's history and gives
// its sequence. kHistoryMismatch when it is not this log's. Below the floor there is nothing left
// to compare it with, and every projection has passed it. Thread: any (pure function).
Result<Sequence> check_min_position(const EventStore& store, const Position& position);

}  // namespace tidegate
