#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "eventstore/base/clock.h"
#include "gateway/delivery/authority.h"
#include "gateway/delivery/interest_index.h"
#include "gateway/delivery/limits.h"
#include "gateway/delivery/log_access.h"
#include "gateway/delivery/place.h"
#include "gateway/delivery/presence.h"
#include "gateway/delivery/probe.h"
#include "gateway/delivery/projection_access.h"
#include "gateway/delivery/timer_wheel.h"

namespace tidegate {

class SessionCore;

// The inside of a DeliveryLoop: what its sessions and subscriptions share.
// Thread: I/O loop only.
class LoopCore : public std::enable_shared_from_this<LoopCore> {
 public:
  LoopCore(LogAccess& log_access, ProjectionAccess& projection_access, const Clock& clock,
           const SessionLimits& session_limits, DeliveryProbe& observer,
           const Authority& token_authority, Presence* presence_keeper, std::string server_name);
  ~LoopCore();
  LoopCore(const LoopCore&) = delete;
  LoopCore& operator=(const LoopCore&) = delete;

  // --- for DeliveryLoop ---
  // From now on watches hear of changed rows.
  void watch_rows();
  bool dispatch();
  void tick();
  void drain(std::int64_t spread_ms);
  void add(SessionCore& session);
  void remove(SessionCore& session);
  std::size_t sessions() const { return sessions_.size(); }

  // --- for sessions and subscriptions ---
  // In a turn: when it began, or the block of sessions that is served.
  std::int64_t now_ms() const { return turn_ms_ ? *turn_ms_ : clock_.steady_ms(); }
  std::int64_t wall_ms() const { return clock_.wall_us() / 1000; }
  std::uint64_t next_number() { return ++last_number_; }
  bool is_draining() const { return draining_; }
  // What a client should wait before it connects again.
  std::uint32_t reconnect_after_ms();
  // The last event that was dispatched. Its check is known to subscriptions that were live then;
  // others have not got there and use the check of their own place when they do.
  const Place& dispatched() const { return dispatched_; }
  // The event before it: where a subscription stands that the last event is being offered to.
  const Place& before_dispatched() const { return before_; }
  // The position of a place of this log as clients write it; good until the next call.
  const std::string& position_text(const Place& place);
  // The session has something to send: it gets a turn at the end of this one, or soon.
  void wake(SessionCore& session);
  // The session is looked at (SessionCore::tick) then, if not before.
  void tick_no_later(SessionCore& session, std::int64_t due_ms);
  // The session has told everything: it is looked at again soon after the loop has dispatched more.
  void rest(SessionCore& session);
  // The session has watches, or none any more.
  void add_watching(SessionCore& session) { watching_.push_back(&session); }
  void remove_watching(SessionCore& session) { std::erase(watching_, &session); }
  // As soon as the event in hand has been offered to everybody.
  void serve_soon(SessionCore& session) { full_.push_back(&session); }

  LogAccess& log;
  ProjectionAccess& projections;
  const SessionLimits limits;
  DeliveryProbe& probe;
  const Authority& authority;
  Presence* const presence;  // null: nobody keeps it
  const std::string server;
  InterestIndex index;

  // Records that one session may examine before others get their turn, and all of them in one turn
  // of the loop: about 0.1 and 1 ms.
  static constexpr std::size_t kRecordsPerTurn = 4096;
  static constexpr std::size_t kRecordsPerLoopTurn = 32'768;
  static constexpr std::size_t kDispatchedPerTurn = 2048;

 private:
  bool walk();
  void rows_changed();
  void offer(const SegmentRef& segment, std::size_t at);
  void jump_to(Sequence head);
  void wake_resting(std::int64_t now_ms);
  void unrest(SessionCore& session);
  // True when some still wait for a turn.
  bool serve_ready();
  void schedule();

  const Clock& clock_;
  TimerWheel<SessionCore> timers_;
  Place dispatched_;
  Place before_;
  // The last position that was asked for: an event that goes to a thousand is asked for as often.
  Place text_of_;
  std::string text_;
  std::vector<SessionCore*> sessions_;
  // Sessions that wait for a turn, each once, and those whose list filled up during the present
  // event.
  std::vector<SessionCore*> ready_;
  std::vector<SessionCore*> full_;
  std::vector<SessionCore*> watching_;  // those with watches
  // Those that rest, and those that did when `dispatched_` moved and are looked at by and by.
  std::array<std::vector<SessionCore*>, 2> resting_;
  std::size_t rests_into_ = 0;  // the former of the two
  bool has_moved_ = false;      // `dispatched_`, since somebody went to rest
  std::shared_ptr<void> row_changes_;
  std::optional<std::int64_t> turn_ms_;  // while there is a turn
  bool scheduled_ = false;
  bool draining_ = false;
  std::int64_t drain_spread_ms_ = 0;
  std::uint64_t revocations_;  // up to which the sessions were asked about
  std::uint64_t last_number_ = 0;
  // For spreading only: nothing depends on it being unpredictable.
  std::minstd_rand random_;
};

}  // namespace tidegate
