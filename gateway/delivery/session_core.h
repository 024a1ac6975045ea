#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eventstore/append.h"
#include "gateway/delivery/codec.h"
#include "gateway/delivery/log_access.h"
#include "gateway/delivery/loop_core.h"
#include "gateway/delivery/outbox.h"
#include "gateway/delivery/principal.h"
#include "gateway/delivery/projection_access.h"
#include "gateway/delivery/requests.h"
#include "gateway/delivery/row_watch.h"
#include "gateway/delivery/subscription.h"
#include "gateway/delivery/token_bucket.h"
#include "gateway/delivery/transport.h"

namespace tidegate {

// The log or the projections have no room for it, or cannot do it, at the moment.
inline bool is_worth_a_retry(const Error& error) {
  return error.code == Code::kOverloaded || error.code == Code::kUnavailable;
}

// The inside of a Session: one connection's subscriptions, answers and its one write in flight.
//
// Answers wait in the outbox. When the socket is free, the next answer goes, or else the next
// events of the subscriptions in turn. An `events` message is made only when it is sent at once, so
// an answer that is made later goes later. Rows of watches take turns with events in the same way:
// the next step is taken when the socket is free and goes through the empty outbox.
//
//   session.cc            messages in and out, turns, time
//   session_ops.cc        what each operation of the peer does
//   session_log.cc        what the log answers: places found, gaps, reads, cursors
//   session_rows.cc       watches of projections, and snapshots of subscriptions after a gap
//   session_query.cc      queries of projections
//   session_publish.cc    publishing
//   session_token.cc      the end of the peer's token, and a new one
//
// Thread: I/O loop only. Callbacks of the log hold it weakly and find subscriptions by number.
class SessionCore : public std::enable_shared_from_this<SessionCore>, public TimerPlace {
 public:
  SessionCore(LoopCore& loop, Transport& transport, WireForm form, PrincipalRef principal,
              std::string connection);
  ~SessionCore();
  SessionCore(const SessionCore&) = delete;
  SessionCore& operator=(const SessionCore&) = delete;

  // Sends the first message.
  void begin();
  // Ends the subscriptions and leaves the loop. Nothing is sent any more.
  void end();
  void on_message(std::string_view bytes);
  void on_written();

  // --- for the loop ---
  // Puts the next message into the transport, if the socket is free and there is one; `pump`
  // follows, with nothing in between. At most `records` events of the log are examined (it counts
  // down).
  void prepare(std::size_t& records);
  // Sends what there is to send, if the socket is free; true when it stopped for want of `records`.
  bool pump(std::size_t& records);
  // What passing time asks for. When it is to be called again at the latest.
  std::int64_t tick(std::int64_t now_ms);
  void drain_at(std::int64_t when_ms);
  void fall_behind();
  // Rows, versions or projections have changed.
  void rows_changed();
  // Somebody was revoked.
  void check_revoked();
  std::size_t loop_slot = 0;
  std::optional<std::size_t> resting_slot = {};
  std::size_t resting_list = 0;
  bool is_ready = false;

  // --- for subscriptions ---
  LoopCore& loop() const { return loop_; }
  WireForm form() const { return form_; }
  bool is_writing() const { return writing_.has_value(); }
  void tell_caught_up(Subscription& subscription);
  void tell_fell_behind(Subscription& subscription);
  void begin_read(Subscription& subscription, std::uint64_t read, Sequence after,
                  std::size_t look_ups);

 private:
  struct Write {
    std::int64_t began_ms = 0;
    std::size_t bytes = 0;
    bool holds_pins = false;
  };
  struct Finish {
    CloseCode code;
    std::string reason;
  };
  // A publish request of the peer; its answer waits until those before it are sent.
  struct Publish {
    std::uint64_t number = 0;
    std::string request;
    std::optional<Result<AppendResult>> answer;
  };
  // When the peer's token ends. By the steady clock: a jump of the wall clock neither ends nor
  // prolongs it.
  struct TokenEnd {
    std::int64_t tell_ms = 0;
    std::int64_t ends_ms = 0;
    bool is_told = false;
  };
  enum class Served : std::uint8_t { kPut, kTold, kNothing, kOutOfRecords };

  // session.cc
  void handle(const v1::ClientMessage& message);
  void refuse(const Error& error, const ReplyTo& reply_to);
  void reply_error(const Error& error, std::string_view id, std::string_view request = {});
  void reply(const v1::ServerMessage& message);
  bool is_exempt(const v1::ClientMessage& message) const;
  bool take_token(std::size_t bytes);
  void finish(CloseCode code, std::string_view reason);
  void close_now(CloseCode code, std::string_view reason);
  void send_closing();
  void run();
  bool send_all(std::size_t& records);
  Served put_next(std::size_t& records);
  Served serve_next(std::size_t& records);
  Served serve(Subscription& subscription, std::size_t& records);
  void put(OutgoingMessage&& message, std::size_t events);
  void put_events(Subscription& subscription, EventsMessage& message);
  void write();
  void update_reading();
  void tick_write(std::int64_t now_ms);
  void tick_quiet(std::int64_t now_ms);
  std::int64_t next_tick_ms(std::int64_t now_ms) const;
  v1::ServerMessage welcome() const;

  // session_ops.cc
  void on_subscribe(const v1::SubscribeOp& op);
  void on_ack(const v1::AckOp& op);
  void on_update(const v1::UpdateOp& op);
  void on_unsubscribe(const v1::UnsubscribeOp& op);
  void answer_updates(Subscription& subscription);
  // Whether one more subscription or watch can be made, with this id.
  Status check_room(std::string_view id);
  Subscription* find(std::string_view id);
  Subscription* find(std::uint64_t number);
  Subscription* find_or_refuse(std::string_view id);
  // Takes it out of everything and releases its cursor.
  void remove(Subscription& subscription);
  void remove_all();
  // Whoever keeps presence; the peer is told by its answer.
  void note_subscribed(const Subscription& subscription);
  void tell_unsubscribed(std::string_view id, std::string_view reason);
  // Notes that the peer is told this place; the text of its position as LoopCore::position_text.
  const std::string& told(Subscription& subscription, const Place& place);

  // session_log.cc
  // The first time it opens the cursor as well, and a failure refuses the subscription; later it
  // ends it, or is tried again.
  void open_at(Subscription& subscription, StartPlace place, bool is_first);
  void on_opened(std::uint64_t number, const StartPlace& asked, bool is_first,
                 Result<OpenedSubscription> opened);
  void fail_opening(Subscription& subscription, const StartPlace& asked, bool is_first,
                    const Error& error);
  void tick_openings();
  void on_found(Subscription& subscription, const StartPlace& asked,
                const OpenedSubscription& opened);
  void begin_delivery(Subscription& subscription, const ResolvedStart& start);
  void go_on_from(Subscription& subscription, Sequence floor);
  void on_taken_over(std::uint64_t number);
  void on_read(std::uint64_t number, std::uint64_t read, Result<ReadChunk> chunk);
  void on_acknowledged(std::uint64_t number, Result<Position> position);
  void send_acknowledgement(Subscription& subscription, Subscription::Claim claim);
  // Tells it. False when the subscription ended.
  bool gap(Subscription& subscription, std::string requested, Sequence floor, v1::GapReason reason);
  void reset(Subscription& subscription, const ResolvedStart& start);

  // session_rows.cc
  void on_watch(const v1::WatchOp& op);
  void on_unwatch(const v1::UnwatchOp& op);
  RowWatch* find_watch(std::string_view id);
  RowWatch* find_watch(std::uint64_t number);
  // Whether the peer may read the projection, and name so many keys.
  Status check_source(const std::string& projection, const RowSelection& selection) const;
  void begin_watch(const std::string& id, std::uint64_t subscription, WatchRequest request);
  void open_watch(RowWatch& watch, WatchRequest request);
  void on_watch_opened(std::uint64_t number, Result<std::shared_ptr<RowCursor>> cursor);
  void fail(RowWatch& watch, const Error& error);
  void remove(RowWatch& watch);
  void end_forbidden_watches();
  Served serve(RowWatch& watch, std::size_t& records);
  void read_rows(RowWatch& watch);
  void on_rows_read(std::uint64_t number, Result<WatchStep> step);
  bool tell(RowWatch& watch, WatchStep step);
  void tell_place(RowWatch& watch);
  bool tell_snapshot_end(RowWatch& watch);
  void tell_unwatched(std::string_view id, std::string_view reason);
  void begin_snapshot(Subscription& subscription);
  void end_snapshot(RowWatch& watch, const Position& position);
  void tick_watches();
  void let_go_of_rows();
  void tell_progress(std::int64_t now_ms);
  std::int64_t next_watch_tick_ms(std::int64_t now_ms) const;

  // session_query.cc
  void on_query(const v1::QueryOp& op);
  void on_queried(const std::string& request, const std::string& projection, Result<RowPage> page);

  // session_publish.cc
  void on_publish(const v1::PublishOp& op);
  void on_published(std::uint64_t number, Result<AppendResult> answer);
  void answer_publishes();
  void answer(const Publish& publish);

  // session_token.cc
  void on_refresh(const v1::RefreshOp& op);
  void note_expiry();
  // True when the token has ended, and the session with it.
  bool tick_token(std::int64_t now_ms);

  // What every delivery looks at comes first, in as few lines of the processor's cache as it can.
  LoopCore& loop_;
  Transport& transport_;
  const WireForm form_;
  bool closed_ = false;
  bool reading_ = true;
  std::vector<std::unique_ptr<Subscription>> subscriptions_;
  std::vector<std::unique_ptr<RowWatch>> watches_;
  std::size_t next_ = 0;  // whose turn it is: subscriptions come before watches
  // The watch that has a step from disk under way, or one that is not told yet; 0: none.
  std::uint64_t row_reader_ = 0;
  Outbox outbox_;
  std::list<Publish> publishes_;
  std::optional<Write> put_;  // into the transport, which is to be told to write it
  std::optional<Write> writing_;
  std::int64_t sent_ms_ = 0;
  // Set once: what is in the outbox still goes, then the connection is closed.
  std::optional<Finish> finish_;

  PrincipalRef principal_;
  const std::string connection_;
  const LogId log_id_;
  bool has_ended_ = false;     // for good: nothing begins any more
  std::uint32_t queries_ = 0;  // that wait for their answer
  std::optional<std::int64_t> drain_at_ms_;
  std::optional<TokenEnd> token_;
  TokenBucket tokens_;  // of messages
  TokenBucket token_bytes_;
  std::uint32_t bad_messages_ = 0;
};

}  // namespace tidegate
