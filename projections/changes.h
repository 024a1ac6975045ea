#pragma once

#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "eventstore/base/result.h"
#include "eventstore/event_store.h"
#include "projections/definition.h"
#include "projections/engine.h"
#include "projections/folding_thread.h"
#include "projections/projection.h"
#include "projections/registry.h"

namespace tidegate {

// What operators do to projections, and the take-over. One change at a time; each is on disk before
// anybody sees it, so that a crash leaves the state before it or after it.
//
//   first version ──────────────────────────▶ LIVE ◀──┐
//                                              │      │ take-over
//                 take-over of another version │      │
//                                              ▼      │
//   erased ◀── take-over of the next ───── RETIRED    │
//                                              │      │
//                                     rollback └─▶ BUILDING ◀── apply, rebuild
//
// A version that is dropped goes from the record first, then from sight, then from the disk.
// Thread: any (internally synchronised).
class Changes {
 public:
  Changes(EventStore& store, Registry& registry, Projections& projections, FoldingThread& folding,
          const EngineOptions& options);
  Changes(const Changes&) = delete;
  Changes& operator=(const Changes&) = delete;

  // As in Engine.
  Result<ProjectionInfo> apply(std::string_view toml);
  Result<ProjectionInfo> pause(std::string_view name, bool is_paused);
  Result<ProjectionInfo> rebuild(std::string_view name);
  Result<ProjectionInfo> rollback(std::string_view name);
  Result<ProjectionInfo> retry(std::string_view name);
  Result<ProjectionInfo> skip(std::string_view name, Sequence sequence);
  Status remove(std::string_view name);

  // Applies the built-in projections, and removes those that this program does not have, or all.
  Status follow_built_ins();
  // The building version becomes live, if it is still the building one. Thread: folding.
  void take_over(Projection& projection, FoldedVersion& version);

 private:
  using Dropped = std::vector<std::shared_ptr<FoldedVersion>>;

  Result<ProjectionInfo> apply_definition(Definition definition);
  Result<ProjectionInfo> create(Definition definition);
  Result<ProjectionInfo> build(Projection& projection, Projection::State state,
                               const Definition& definition, std::vector<Sequence> skipped);
  Result<ProjectionInfo> make_visible(Projection& projection, Projection::State state,
                                      Dropped dropped);
  Status remove_now(Projection& projection);
  Result<std::shared_ptr<Projection>> find(std::string_view name) const;
  Result<Position> place_to_begin() const;
  Result<std::shared_ptr<FoldedVersion>> make_version(std::uint32_t number, Definition definition);

  EventStore& store_;
  Registry& registry_;
  Projections& projections_;
  FoldingThread& folding_;
  const EngineOptions& options_;
  std::mutex one_at_a_time_;
};

// The limits of a version, by the engine's options.
FoldedVersion::Limits version_limits(const EngineOptions& options);

}  // namespace tidegate
