#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "gateway/delivery/session_core.h"

namespace tidegate {

Subscription* SessionCore::find(std::string_view id) {
  const auto at = std::find_if(subscriptions_.begin(), subscriptions_.end(),
                               [id](const auto& have) { return have->id() == id; });
  return at == subscriptions_.end() ? nullptr : at->get();
}

Subscription* SessionCore::find(std::uint64_t number) {
  const auto at = std::find_if(subscriptions_.begin(), subscriptions_.end(),
                               [number](const auto& have) { return have->number() == number; });
  return at == subscriptions_.end() ? nullptr : at->get();
}

Subscription* SessionCore::find_or_refuse(std::string_view id) {
  if (Status named = check_id(id, "id", loop_.limits); !named) {
    reply_error(named.error(), {});
    return nullptr;
  }
  Subscription* subscription = find(id);
  if (subscription == nullptr) {
    reply_error({Code::kNotFound, fmt::format("there is no subscription '{}'", id)}, id);
  }
  return subscription;
}

const std::string& SessionCore::told(Subscription& subscription, const Place& place) {
  subscription.note_told(place.sequence, loop_.now_ms());
  return loop_.position_text(place);
}

// ----------------------------------------------------------------------------- begin and end of
// one

void SessionCore::on_subscribe(const v1::SubscribeOp& op) {
  const SessionLimits& limits = loop_.limits;
  if (Status named = check_id(op.id(), "id", limits); !named) {
    return reply_error(named.error(), {});
  }
  if (Status room = check_room(op.id()); !room) return reply_error(room.error(), op.id());
  auto request = check_subscribe(op, limits);
  if (!request) return reply_error(request.error(), op.id());
  if (Status granted = principal_->check_subscribe(request->settings.filter); !granted) {
    return reply_error(granted.error(), op.id());
  }
  if (const SnapshotSource* source = request->settings.snapshot.get(); source != nullptr) {
    Status good = check_source(source->projection, source->selection);
    // A mistake is told now, not when the first trim makes the snapshot necessary.
    if (good) good = loop_.projections.check_exists(source->projection);
    if (!good) return reply_error(good.error(), op.id());
  }
  request->settings.number = loop_.next_number();
  subscriptions_.push_back(std::make_unique<Subscription>(*this, std::move(request->settings)));
  open_at(*subscriptions_.back(), std::move(request->place), true);
}

Status SessionCore::check_room(std::string_view id) {
  if (find(id) != nullptr || find_watch(id) != nullptr) {
    return Error{Code::kBadArgument, fmt::format("id '{}' is in use", id)};
  }
  const auto has_own_id = [](const auto& watch) { return watch->subscription == 0; };
  const auto watches = std::count_if(watches_.begin(), watches_.end(), has_own_id);
  if (subscriptions_.size() + static_cast<std::size_t>(watches) < loop_.limits.subscriptions) {
    return {};
  }
  return Error{Code::kLimit, fmt::format("a connection has at most {} subscriptions and watches",
                                         loop_.limits.subscriptions)};
}

void SessionCore::on_unsubscribe(const v1::UnsubscribeOp& op) {
  Subscription* subscription = find_or_refuse(op.id());
  if (subscription == nullptr) return;
  remove(*subscription);
  tell_unsubscribed(op.id(), "requested");
}

void SessionCore::note_subscribed(const Subscription& subscription) {
  if (loop_.presence == nullptr) return;
  loop_.presence->subscribed(connection_, subscription.id(), subscription.filter());
}

void SessionCore::tell_unsubscribed(std::string_view id, std::string_view reason) {
  v1::ServerMessage message;
  message.mutable_unsubscribed()->set_id(std::string(id));
  message.mutable_unsubscribed()->set_reason(std::string(reason));
  reply(message);
}

void SessionCore::remove(Subscription& subscription) {
  const auto snapshot = std::find_if(watches_.begin(), watches_.end(), [&](const auto& watch) {
    return watch->subscription == subscription.number();
  });
  if (snapshot != watches_.end()) remove(**snapshot);
  const HeldCursor& cursor = subscription.cursor();
  if (cursor.generation != 0) {
    // What the peer has acknowledged is not lost because an earlier acknowledgement is still on its
    // way.
    if (subscription.next_claim) {
      send_acknowledgement(subscription, *std::exchange(subscription.next_claim, std::nullopt));
    }
    loop_.log.close_cursor(principal_->owner, cursor.name, cursor.generation);
  }
  if (subscription.is_indexed) {
    loop_.index.remove(subscription.number(), subscription.filter());
    loop_.probe.subscriptions_changed(-1);
    if (loop_.presence != nullptr && !has_ended_) {
      loop_.presence->unsubscribed(connection_, subscription.id());
    }
  }
  const auto at = std::find_if(subscriptions_.begin(), subscriptions_.end(),
                               [&](const auto& have) { return have.get() == &subscription; });
  if (at - subscriptions_.begin() < static_cast<std::ptrdiff_t>(next_)) --next_;
  subscriptions_.erase(at);
}

void SessionCore::remove_all() {
  if (!std::exchange(has_ended_, true) && loop_.presence != nullptr) {
    loop_.presence->disconnected(connection_);
  }
  while (!watches_.empty()) remove(*watches_.back());
  while (!subscriptions_.empty()) remove(*subscriptions_.back());
}

// ------------------------------------------------------------------------------- acknowledge,
// update

void SessionCore::on_ack(const v1::AckOp& op) {
  // An acknowledgement may cross with the end of its subscription (a cursor that was taken over):
  // not the peer's fault.
  Subscription* subscription = find(op.id());
  if (subscription == nullptr) return;
  auto claim = check_ack(op);
  if (!claim) return reply_error(claim.error(), op.id());
  if (claim->sequence > subscription->told()) {
    return reply_error({Code::kBadPosition, fmt::format("{} is above {}, the last position sent",
                                                        claim->sequence, subscription->told())},
                       op.id());
  }
  const HeldCursor& cursor = subscription->cursor();
  // With a cursor the log compares the histories.
  if (cursor.name.empty() && claim->position && claim->position->log != log_id_) {
    return reply_error({Code::kBadPosition, fmt::format("'{}' is not a position of log {}",
                                                        op.position(), log_id_.text())},
                       op.id());
  }
  subscription->acknowledge(claim->sequence);
  if (cursor.generation == 0) return;
  if (!subscription->is_acknowledging) {
    send_acknowledgement(*subscription, *std::move(claim));
  } else if (!subscription->next_claim || subscription->next_claim->sequence <= claim->sequence) {
    subscription->next_claim = *std::move(claim);
  }
}

void SessionCore::on_update(const v1::UpdateOp& op) {
  Subscription* subscription = find_or_refuse(op.id());
  if (subscription == nullptr) return;
  auto filter = check_update(op);
  if (!filter) return reply_error(filter.error(), op.id());
  if (Status granted = principal_->check_subscribe(*filter); !granted) {
    return reply_error(granted.error(), op.id());
  }
  if (subscription->is_indexed) {
    loop_.index.remove(subscription->number(), subscription->filter());
    loop_.index.add(subscription->number(), *subscription, *filter);
  }
  subscription->change_filter(*std::move(filter));
  if (subscription->is_indexed) note_subscribed(*subscription);
  ++subscription->updates_waiting;
  if (!subscription->is_opening()) answer_updates(*subscription);
}

void SessionCore::answer_updates(Subscription& subscription) {
  for (; subscription.updates_waiting > 0; --subscription.updates_waiting) {
    v1::ServerMessage message;
    message.mutable_updated()->set_id(subscription.id());
    message.mutable_updated()->set_position(told(subscription, subscription.reached()));
    reply(message);
  }
}

}  // namespace tidegate
