#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "eventstore/base/guarded.h"
#include "eventstore/base/result.h"
#include "projections/engine.h"
#include "projections/projection.h"

namespace tidegate {

// A query on its way: it is answered once, by `done`.
struct PendingQuery {
  std::shared_ptr<Projection> projection;
  RowQuery query;
  std::int64_t deadline_ms = 0;  // of Clock::steady_ms
  std::function<void(Result<RowPage>)> done;
};

// The queries that wait until their projection has reached a sequence. It answers none itself.
// Thread: any (internally synchronised).
class WaitingQueries {
 public:
  static constexpr std::size_t kQueriesMax = 10'000;

  enum class Added : std::uint8_t { kYes, kFull, kEnded };
  // Moves from `query` when it is added.
  Added add(PendingQuery& query);

  // Whether one waits for what this projection can reach, the head: it is then folded without
  // delay. Who waits for more does not hurry it.
  bool has_any_of(const Projection& projection, Sequence head) const;
  // The lowest sequence above the head that one of this projection waits for; null: none.
  std::optional<Sequence> next_above(const Projection& projection, Sequence head) const;
  // Those whose projection has reached their sequence, or was removed.
  std::vector<PendingQuery> take_ready();
  std::vector<PendingQuery> take_expired(std::int64_t now_ms);
  // Not later than the nearest deadline.
  std::optional<std::int64_t> look_again_ms() const;
  // All; none is added afterwards.
  std::vector<PendingQuery> end();

 private:
  // By projection, then by the sequence that is waited for.
  using Key = std::pair<const Projection*, Sequence>;
  struct State {
    std::multimap<Key, PendingQuery> queries;
    std::int64_t look_again_ms = 0;
    bool has_ended = false;
  };
  Guarded<State> state_;
  // Copy of the number of queries: what is asked often, and answered by "none" nearly always, needs
  // no lock. Sequentially consistent beside FoldingThread::wake.
  std::atomic<std::size_t> count_{0};
};

}  // namespace tidegate
