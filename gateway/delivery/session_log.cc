#include <utility>

#include <fmt/format.h>

#include "gateway/delivery/session_core.h"

namespace tidegate {

namespace {

// The place as the peer would write it; a place that a cursor had is shown as its sequence.
std::string requested_text(const StartPlace& asked, Sequence after) {
  const auto* position = std::get_if<AfterPosition>(&asked);
  if (position != nullptr && position->position.sequence == after) return position->position.text();
  return fmt::format("{}", after);
}

v1::ResetReason reset_reason(ResolvedStart::Outcome outcome) {
  switch (outcome) {
    case ResolvedStart::Outcome::kAhead:
      return v1::RESET_REASON_AHEAD;
    case ResolvedStart::Outcome::kUnknownLog:
      return v1::RESET_REASON_UNKNOWN_LOG;
    default:
      return v1::RESET_REASON_REWOUND;
  }
}

}  // namespace

// --------------------------------------------------------------------------------- finding a place

void SessionCore::open_at(Subscription& subscription, StartPlace place, bool is_first) {
  const std::uint64_t number = subscription.number();
  OpenSubscription request{subscription.filter(), place, {}, {}, {}};
  if (is_first && !subscription.cursor().name.empty()) {
    request.owner = principal_->owner;
    request.cursor = subscription.cursor().name;
    request.taken_over = [weak = weak_from_this(), number] {
      if (const auto self = weak.lock()) self->on_taken_over(number);
    };
  }
  loop_.log.open(std::move(request), [weak = weak_from_this(), loop = loop_.weak_from_this(),
                                      number, asked = place, is_first, owner = principal_->owner,
                                      cursor = request.cursor](Result<OpenedSubscription> opened) {
    const auto self = weak.lock();
    if (self && self->find(number) != nullptr) {
      self->on_opened(number, asked, is_first, std::move(opened));
      return;
    }
    // Nobody waits for it any more; the cursor is not to stay open.
    const auto alive = loop.lock();
    if (alive && opened && !cursor.empty()) {
      alive->log.close_cursor(owner, cursor, opened->generation);
    }
  });
}

void SessionCore::on_opened(std::uint64_t number, const StartPlace& asked, bool is_first,
                            Result<OpenedSubscription> opened) {
  Subscription& subscription = *find(number);
  if (!opened) {
    fail_opening(subscription, asked, is_first, opened.error());
  } else {
    if (is_first && !subscription.cursor().name.empty()) subscription.hold(opened->generation);
    on_found(subscription, asked, *opened);
  }
  run();
}

void SessionCore::fail_opening(Subscription& subscription, const StartPlace& asked, bool is_first,
                               const Error& error) {
  if (!is_first && is_worth_a_retry(error)) {
    subscription.open_at_tick = asked;
    loop_.tick_no_later(*this, loop_.now_ms());
    return;
  }
  const std::string id = subscription.id();
  reply_error(error, id);
  remove(subscription);
  // The peer has heard of it before: an error alone may as well answer an `ack`.
  if (!is_first) tell_unsubscribed(id, code_info(error.code).name);
}

void SessionCore::tick_openings() {
  for (const auto& subscription : subscriptions_) {
    const auto place = std::exchange(subscription->open_at_tick, std::nullopt);
    if (place) open_at(*subscription, *place, false);
  }
}

void SessionCore::on_found(Subscription& subscription, const StartPlace& asked,
                           const OpenedSubscription& opened) {
  const ResolvedStart& start = opened.start;
  if (opened.lapsed_from != 0) {
    if (!gap(subscription, fmt::format("{}", opened.lapsed_from), start.floor,
             v1::GAP_REASON_DATA_LOSS)) {
      return;
    }
    // What the peer made of the lost events goes with a snapshot, and with nothing else.
    if (subscription.on_gap() == GapAnswer::kSnapshot) return begin_snapshot(subscription);
  }
  switch (start.outcome) {
    case ResolvedStart::Outcome::kOk:
      begin_delivery(subscription, start);
      return;
    case ResolvedStart::Outcome::kTrimmed:
      if (gap(subscription, requested_text(asked, start.after), start.floor,
              v1::GAP_REASON_TRIMMED)) {
        go_on_from(subscription, start.floor);
      }
      return;
    case ResolvedStart::Outcome::kRewound:
    case ResolvedStart::Outcome::kAhead:
    case ResolvedStart::Outcome::kUnknownLog:
      reset(subscription, start);
      return;
  }
}

// From the floor, or by a snapshot. The cursor stays where it is until the peer acknowledges; only
// the position of the floor is asked for.
void SessionCore::go_on_from(Subscription& subscription, Sequence floor) {
  if (subscription.on_gap() == GapAnswer::kSnapshot) return begin_snapshot(subscription);
  subscription.begin_again();
  open_at(subscription, AfterSequence{floor - 1}, false);
}

void SessionCore::begin_delivery(Subscription& subscription, const ResolvedStart& start) {
  const Place place{start.after, start.position.check};
  subscription.begin_at(place);
  // Then `snapshot_end` has said where it goes on.
  const bool comes_from_snapshot =
      std::exchange(subscription.snapshot_at, std::nullopt).has_value() && subscription.is_indexed;
  if (!subscription.is_indexed) {
    subscription.is_indexed = true;
    loop_.index.add(subscription.number(), subscription, subscription.filter());
    loop_.probe.subscriptions_changed(+1);
    note_subscribed(subscription);
    if (start.resumed) {
      const bool is_in_tail = place.sequence + 1 >= loop_.log.tail_first();
      loop_.probe.subscription_resumed(is_in_tail ? ResumeSource::kTail : ResumeSource::kLog);
    }
  }
  const std::string& position = told(subscription, place);
  if (!comes_from_snapshot) {
    v1::ServerMessage message;
    v1::Subscribed& subscribed = *message.mutable_subscribed();
    subscribed.set_id(subscription.id());
    subscribed.set_position(position);
    subscribed.set_head(start.head);
    subscribed.set_behind(start.head > place.sequence ? start.head - place.sequence : 0);
    subscribed.set_resumed(start.resumed);
    reply(message);
  }
  answer_updates(subscription);
}

bool SessionCore::gap(Subscription& subscription, std::string requested, Sequence floor,
                      v1::GapReason reason) {
  v1::ServerMessage message;
  v1::Gap& gap = *message.mutable_gap();
  gap.set_id(subscription.id());
  gap.set_requested(std::move(requested));
  gap.set_floor(floor);
  gap.set_reason(reason);
  reply(message);
  loop_.probe.subscription_resumed(ResumeSource::kGap);
  if (subscription.on_gap() != GapAnswer::kEnd) return true;
  remove(subscription);
  return false;
}

void SessionCore::reset(Subscription& subscription, const ResolvedStart& start) {
  v1::ServerMessage message;
  v1::Reset& reset = *message.mutable_reset();
  reset.set_id(subscription.id());
  reset.set_reason(reset_reason(start.outcome));
  reset.set_log(std::string(log_id_.text()));
  reset.set_floor(start.floor);
  reset.set_head(start.head);
  reply(message);
  loop_.probe.subscription_resumed(ResumeSource::kReset);
  remove(subscription);
}

void SessionCore::on_taken_over(std::uint64_t number) {
  Subscription* subscription = find(number);
  if (subscription == nullptr) return;
  const std::string id = subscription->id();
  remove(*subscription);
  tell_unsubscribed(id, "cursor_taken_over");
  run();
}

// ------------------------------------------------------------------------------------------
// reading

void SessionCore::tell_caught_up(Subscription& subscription) {
  v1::ServerMessage message;
  message.mutable_caught_up()->set_id(subscription.id());
  message.mutable_caught_up()->set_position(told(subscription, subscription.reached()));
  reply(message);
}

void SessionCore::tell_fell_behind(Subscription& subscription) {
  v1::ServerMessage message;
  message.mutable_fell_behind()->set_id(subscription.id());
  message.mutable_fell_behind()->set_position(told(subscription, subscription.reached()));
  reply(message);
}

void SessionCore::begin_read(Subscription& subscription, std::uint64_t read, Sequence after,
                             std::size_t look_ups) {
  loop_.log.read(
      subscription.filter(), after, look_ups,
      [weak = weak_from_this(), number = subscription.number(), read](Result<ReadChunk> chunk) {
        if (const auto self = weak.lock()) self->on_read(number, read, std::move(chunk));
      });
}

void SessionCore::on_read(std::uint64_t number, std::uint64_t read, Result<ReadChunk> chunk) {
  Subscription* subscription = find(number);
  if (subscription == nullptr || !subscription->is_reading(read)) return;
  if (chunk) {
    if (chunk->segment) {
      const std::int64_t wait_ms = principal_->charge_replay(chunk->segment->bytes());
      subscription->read_not_before(loop_.now_ms() + wait_ms);
    }
    subscription->on_read(*std::move(chunk));
    return run();
  }
  const std::string id = subscription->id();
  switch (chunk.error().code) {
    case Code::kOverloaded:
    case Code::kUnavailable:
      subscription->retry_at_tick();
      return;
    case Code::kTrimmed: {
      const Sequence floor = loop_.log.floor();
      if (gap(*subscription, loop_.position_text(subscription->reached()), floor,
              v1::GAP_REASON_TRIMMED)) {
        go_on_from(*subscription, floor);
      }
      return run();
    }
    case Code::kDataLoss:
      // There is no place behind the loss that is known to be good, so it ends whatever `on_gap`
      // says.
      if (gap(*subscription, loop_.position_text(subscription->reached()), loop_.log.floor(),
              v1::GAP_REASON_DATA_LOSS)) {
        remove(*subscription);
        tell_unsubscribed(id, "data_loss");
      }
      return run();
    default:
      reply_error(chunk.error(), id);
      remove(*subscription);
      tell_unsubscribed(id, code_info(chunk.error().code).name);
      return run();
  }
}

// ------------------------------------------------------------------------------------------
// cursors

void SessionCore::send_acknowledgement(Subscription& subscription, Subscription::Claim claim) {
  subscription.is_acknowledging = true;
  CursorAck ack{principal_->owner, subscription.cursor().name, subscription.cursor().generation,
                claim.sequence, claim.position};
  loop_.log.acknowledge(std::move(ack), [weak = weak_from_this(), number = subscription.number()](
                                            Result<Position> position) {
    if (const auto self = weak.lock()) self->on_acknowledged(number, std::move(position));
  });
}

void SessionCore::on_acknowledged(std::uint64_t number, Result<Position> position) {
  Subscription* subscription = find(number);
  if (subscription == nullptr) return;
  subscription->is_acknowledging = false;
  if (position) {
    v1::ServerMessage message;
    message.mutable_acked()->set_id(subscription->id());
    message.mutable_acked()->set_position(position->text());
    reply(message);
  } else {
    reply_error(position.error(), subscription->id());
  }
  if (subscription->next_claim) {
    send_acknowledgement(*subscription, *std::exchange(subscription->next_claim, std::nullopt));
  }
  run();
}

}  // namespace tidegate
