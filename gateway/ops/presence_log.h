#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "eventstore/append.h"
#include "eventstore/base/clock.h"
#include "eventstore/base/result.h"
#include "gateway/delivery/presence.h"

namespace tidegate {

class Engine;
class EventStore;
class Filter;

// Appends who connects and reads what to the stream `_sys.presence`, which the projection
// `_presence` folds. Connections are named `RUN-NAME`, where RUN is random for each start: the
// loops' own names begin anew.
//
// At most 65,536 changes, or 32 MiB of them, wait for the log; then beginnings are left out,
// counted, and logged once a minute. Ends of what was told are always taken: there are no more of
// them than there are connections, with their subscriptions, and waiting beginnings.
//
// Whoever the projection still holds of a run that did not end by itself is told to be disconnected
// once it has folded what the log held at the start.
// Thread: any (internally synchronised). One thread of its own, named "presence", appends.
class PresenceLog final : public Presence {
 public:
  static constexpr std::size_t kChangesMax = 65'536;
  static constexpr std::size_t kBytesMax = std::size_t{32} << 20;

  // All must outlive it. `engine`: of the projection; null: nobody is left of a former run.
  PresenceLog(EventStore& store, Engine* engine, const Clock& clock);
  // Appends what waits, for five seconds at most, and joins the thread.
  ~PresenceLog() override;

  void connected(std::string_view connection, std::string_view subject,
                 std::string_view surface) override;
  void subscribed(std::string_view connection, std::string_view id, const Filter& filter) override;
  void unsubscribed(std::string_view connection, std::string_view id) override;
  void watching(std::string_view connection, std::string_view id,
                std::string_view projection) override;
  void unwatched(std::string_view connection, std::string_view id) override;
  void disconnected(std::string_view connection) override;

  // Changes that were left out so far.
  std::uint64_t left_out() const;

 private:
  struct Change;
  class Queue;

  // The name in this log of a connection of this run.
  std::string name_of(std::string_view connection) const;
  Change change(std::string_view type, std::string connection) const;
  // With `value`, JSON, for `id` in this member.
  Change reading(std::string_view type, std::string_view connection, std::string_view member,
                 std::string_view id, std::string_view value) const;
  void run();
  Status end_former();
  Result<NewEvent> to_event(const Change& change, std::uint64_t number) const;
  void append_all(const std::vector<Change>& changes);
  // Until the log has it, or refuses it for good. False when it is given up.
  bool append(const AppendRequest& request);
  Status try_append(AppendRequest request);
  void report(std::string_view reason, bool is_last = false);

  EventStore& store_;
  Engine* const engine_;
  const Clock& clock_;
  const std::string run_;
  const Sequence head_at_start_;
  // Of the presence thread.
  std::uint64_t next_id_ = 0;
  bool is_former_ended_;
  std::uint64_t reported_ = 0;  // of those left out
  const std::int64_t started_ms_;
  std::int64_t report_at_ms_;  // not before
  // Shared with what the store calls when it has room.
  const std::shared_ptr<Queue> queue_;
  std::thread thread_;
};

}  // namespace tidegate
