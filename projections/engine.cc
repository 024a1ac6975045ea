#include "projections/engine.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>

#include <fmt/format.h>

#include "eventstore/base/text.h"
#include "eventstore/event_store.h"
#include "projections/changes.h"
#include "projections/folding_thread.h"
#include "projections/loading.h"
#include "projections/projection.h"
#include "projections/registry.h"
#include "projections/waiting_queries.h"

namespace tidegate {
namespace {

constexpr std::uint32_t kQueryRowsMax = 10'000;
constexpr std::uint32_t kQueryWaitMsMax = 60'000;

const Clock& engine_clock() {
  static SystemClock clock;
  return clock;
}

ProjectionProbe& silent_projection_probe() {
  static ProjectionProbe probe;
  return probe;
}

EngineOptions completed(EngineOptions options) {
  if (options.clock == nullptr) options.clock = &engine_clock();
  if (options.probe == nullptr) options.probe = &silent_projection_probe();
  return options;
}

// The reads that are posted to the store and have not ended.
// Thread: any (internally synchronised).
class ReadsUnderWay {
 public:
  // False once `finish` was called.
  bool begin() {
    const std::lock_guard lock(mutex_);
    if (is_ending_) return false;
    ++count_;
    return true;
  }
  void end() {
    // Under the lock: who waits in `finish` may destroy this next.
    const std::lock_guard lock(mutex_);
    if (--count_ == 0) none_.notify_all();
  }
  void finish() {
    std::unique_lock lock(mutex_);
    is_ending_ = true;
    none_.wait(lock, [this] { return count_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable none_;
  std::size_t count_ = 0;   // under mutex_
  bool is_ending_ = false;  // under mutex_
};

Error no_projection(std::string_view name) {
  return {Code::kNotFound, fmt::format("there is no projection '{}'", printable(name))};
}

Error engine_ends() {
  return {Code::kDraining, "the server is going down; ask again when it is back"};
}

Status check_query(const RowQuery& query) {
  if (query.limit == 0 || query.limit > kQueryRowsMax) {
    return Error{Code::kBadArgument,
                 fmt::format("a page has 1 to {} rows, not {}", kQueryRowsMax, query.limit)};
  }
  if (query.wait_ms > kQueryWaitMsMax) {
    return Error{Code::kBadArgument, fmt::format("a query waits {} ms at most, not {}",
                                                 kQueryWaitMsMax, query.wait_ms)};
  }
  return {};
}

// Why a position was not reached in time.
Error not_reached(const PendingQuery& pending) {
  const auto live = pending.projection->live();
  if (!live) return no_projection(pending.projection->name());
  std::string_view reason;
  if (pending.projection->is_paused()) reason = ", and is paused";
  if (live->has_failed()) reason = ", and has failed: its description tells why";
  return {Code::kUnavailable, fmt::format("projection '{}' has come to event {}, not to {}{}",
                                          pending.projection->name(), live->reached(),
                                          pending.query.min_sequence, reason)};
}

}  // namespace

// Members are made in this order and end in the reverse one: whoever uses another comes after it.
struct Engine::Parts {
  EventStore& store;
  const EngineOptions options;
  Registry registry;
  Projections projections;
  WaitingQueries waiting;
  ReadsUnderWay reads;
  FoldingThread folding;
  Changes changes;

  Parts(EventStore& event_store, EngineOptions engine_options)
      : store(event_store),
        options(completed(engine_options)),
        registry(store.derived_rows()),
        folding(store, projections, waiting, options,
                {[this](PendingQuery pending) { post_page(std::move(pending)); },
                 [](PendingQuery pending) { pending.done(not_reached(pending)); },
                 [this](Projection& projection, FoldedVersion& version) {
                   changes.take_over(projection, version);
                 }}),
        changes(store, registry, projections, folding, options) {}

  Status open();
  void stop();
  void wait_for_position(PendingQuery pending);
  void post_page(PendingQuery pending);
  void read_page(PendingQuery pending);
};

// Opening and ending
// -----------------------------------------------------------------------------------

Result<std::unique_ptr<Engine>> Engine::open(EventStore& store, EngineOptions options) {
  auto parts = std::make_unique<Parts>(store, options);
  auto opened = parts->open();
  if (!opened) return std::move(opened).error();
  return std::unique_ptr<Engine>(new Engine(std::move(parts)));
}

Engine::Engine(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Engine::~Engine() {
  parts_->stop();
}

Status Engine::Parts::open() {
  auto loaded = load_projections(store, registry, projections, options);
  if (!loaded) return loaded;
  auto followed = changes.follow_built_ins();
  if (!followed) return followed;
  store.derived_rows().hold_trims([this] { return projections.needed(); });
  folding.start();
  return {};
}

void Engine::Parts::stop() {
  for (PendingQuery& pending : waiting.end()) pending.done(engine_ends());
  folding.stop();
  reads.finish();
  store.derived_rows().hold_trims(nullptr);
  // Watches may live on: they must not touch the store.
  for (const auto& projection : projections.all()) {
    for (const Projection::Version& version : projection->state().versions) version.folded->close();
  }
}

// Definitions
// -----------------------------------------------------------------------------------

Result<ProjectionInfo> Engine::apply(std::string_view toml) {
  return parts_->changes.apply(toml);
}
Result<ProjectionInfo> Engine::pause(std::string_view name) {
  return parts_->changes.pause(name, true);
}
Result<ProjectionInfo> Engine::resume(std::string_view name) {
  return parts_->changes.pause(name, false);
}
Result<ProjectionInfo> Engine::rebuild(std::string_view name) {
  return parts_->changes.rebuild(name);
}
Result<ProjectionInfo> Engine::rollback(std::string_view name) {
  return parts_->changes.rollback(name);
}
Result<ProjectionInfo> Engine::retry(std::string_view name) {
  return parts_->changes.retry(name);
}
Result<ProjectionInfo> Engine::skip(std::string_view name, Sequence sequence) {
  return parts_->changes.skip(name, sequence);
}
Status Engine::remove(std::string_view name) {
  return parts_->changes.remove(name);
}

Result<ProjectionInfo> Engine::info(std::string_view name) const {
  const auto projection = parts_->projections.find(name);
  if (!projection) return no_projection(name);
  return projection->info(parts_->store.tail().head());
}

std::vector<ProjectionInfo> Engine::list() const {
  std::vector<ProjectionInfo> list;
  for (const auto& projection : parts_->projections.all())
    list.push_back(projection->info(parts_->store.tail().head()));
  return list;
}

// Queries
// -----------------------------------------------------------------------------------

void Engine::query(RowQuery query, std::function<void(Result<RowPage>)> done) {
  auto checked = check_query(query);
  if (!checked) return done(std::move(checked).error());
  PendingQuery pending;
  pending.projection = parts_->projections.find(query.projection);
  if (!pending.projection) return done(no_projection(query.projection));
  pending.deadline_ms = parts_->options.clock->steady_ms() + query.wait_ms;
  pending.query = std::move(query);
  pending.done = std::move(done);
  const auto live = pending.projection->live();
  if (live && live->reached() < pending.query.min_sequence)
    return parts_->wait_for_position(std::move(pending));
  parts_->post_page(std::move(pending));
}

void Engine::Parts::wait_for_position(PendingQuery pending) {
  if (pending.deadline_ms <= options.clock->steady_ms()) return pending.done(not_reached(pending));
  switch (waiting.add(pending)) {
    case WaitingQueries::Added::kYes:
      // It may have been reached in between; the thread looks.
      return folding.wake();
    case WaitingQueries::Added::kFull:
      return pending.done(
          Error{Code::kOverloaded, fmt::format("{} queries wait for a position already; try again "
                                               "later, or without min_position",
                                               WaitingQueries::kQueriesMax)});
    case WaitingQueries::Added::kEnded:
      return pending.done(engine_ends());
  }
}

void Engine::Parts::post_page(PendingQuery pending) {
  if (!reads.begin()) return pending.done(engine_ends());
  // Shared, because what is posted must be copyable.
  const auto shared = std::make_shared<PendingQuery>(std::move(pending));
  const bool is_posted = store.post_read([this, shared] {
    read_page(std::move(*shared));
    reads.end();
  });
  if (is_posted) return;
  shared->done(Error{Code::kOverloaded, "too many reads wait already; try again later"});
  reads.end();
}

// Reads from the version that is live by now. When it goes away meanwhile, another one is.
void Engine::Parts::read_page(PendingQuery pending) {
  const RowQuery& query = pending.query;
  const RowStore::PageLimits limits{.rows = query.limit, .bytes = query.bytes};
  while (true) {
    const auto live = pending.projection->live();
    if (!live) return pending.done(no_projection(pending.projection->name()));
    auto read = live->read(
        [&](const RowStore& rows) { return rows.page(query.selection, query.after, limits); });
    if (!read) continue;
    if (!*read) return pending.done(std::move(*read).error());
    RowStore::Page& page = read->value();
    // Of the page itself: another version may have become live since the wait ended.
    if (page.checkpoint.position.sequence < query.min_sequence)
      return wait_for_position(std::move(pending));
    RowPage answer;
    answer.rows = std::move(page.rows);
    answer.position = page.checkpoint.position;
    answer.version = live->number();
    answer.head = store.tail().head();
    answer.next = std::move(page.next);
    return pending.done(std::move(answer));
  }
}

// Watches
// -----------------------------------------------------------------------------------

Result<std::unique_ptr<Watch>> Engine::open_watch(WatchRequest request) const {
  auto projection = parts_->projections.find(request.projection);
  const auto live = projection ? projection->live() : nullptr;
  if (!live) return no_projection(request.projection);
  std::unique_ptr<Watch> watch(new Watch(std::move(projection), std::move(request.selection)));
  if (!request.after) return watch;
  const WatchPlace& place = *request.after;
  if (place.version != live->number() || place.position.sequence < live->identity().began_after) {
    watch->begin_with_reset();
    return watch;
  }
  auto resolved =
      parts_->store.reader().resolve(AfterPosition{place.position}, Filter::everything());
  if (!resolved) return std::move(resolved).error();
  switch (resolved->outcome) {
    case ResolvedStart::Outcome::kOk:
      watch->begin_at(live, resolved->position);
      break;
    // What was trimmed is folded in: the rows know what has changed since.
    case ResolvedStart::Outcome::kTrimmed:
      watch->begin_at(live, place.position);
      break;
    case ResolvedStart::Outcome::kRewound:
    case ResolvedStart::Outcome::kAhead:
    case ResolvedStart::Outcome::kUnknownLog:
      watch->begin_with_reset();
      break;
  }
  return watch;
}

std::shared_ptr<void> Engine::on_change(std::function<void()> changed) {
  return parts_->folding.on_change(std::move(changed));
}

}  // namespace tidegate
