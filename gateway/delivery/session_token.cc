#include <algorithm>
#include <utility>
#include <vector>

#include "gateway/delivery/session_core.h"

namespace tidegate {

namespace {

// How long before its end the peer is told: time to get a new token and refresh.
constexpr std::int64_t kTellMs = 30'000;
constexpr std::int64_t kMsPerS = 1000;

}  // namespace

void SessionCore::on_refresh(const v1::RefreshOp& op) {
  auto renewed = loop_.authority.authenticate(op.token());
  if (!renewed) {
    loop_.authority.audit().note(
        {"refused", connection_, principal_->subject, renewed.error().message});
    return reply_error(renewed.error(), {});
  }
  // What was delivered and acknowledged belongs to the one who connected.
  if ((*renewed)->owner != principal_->owner) {
    reply_error({Code::kForbidden, "the token is of another subject than the connection's"}, {});
    return finish(CloseCode::kForbidden, "refreshed for another subject");
  }
  principal_ = *std::move(renewed);
  note_expiry();
  v1::ServerMessage message;
  v1::Refreshed& refreshed = *message.mutable_refreshed();
  if (principal_->expires_s != 0) refreshed.mutable_expires()->set_seconds(principal_->expires_s);
  reply(message);

  std::vector<Subscription*> lost;
  for (const auto& subscription : subscriptions_) {
    const SnapshotSource* source = subscription->snapshot();
    const bool is_granted = principal_->check_subscribe(subscription->filter()) &&
                            (source == nullptr || principal_->check_projection(source->projection));
    if (!is_granted) lost.push_back(subscription.get());
  }
  for (Subscription* subscription : lost) {
    const std::string id = subscription->id();
    remove(*subscription);
    tell_unsubscribed(id, "forbidden");
  }
  end_forbidden_watches();
}

void SessionCore::note_expiry() {
  token_.reset();
  if (principal_->expires_s == 0) return;
  const std::int64_t now_ms = loop_.now_ms();
  const std::int64_t left_ms =
      std::max<std::int64_t>(0, principal_->expires_s * kMsPerS - loop_.wall_ms());
  token_ = TokenEnd{now_ms + std::max<std::int64_t>(0, left_ms - kTellMs), now_ms + left_ms, false};
  loop_.tick_no_later(*this, token_->tell_ms);
}

bool SessionCore::tick_token(std::int64_t now_ms) {
  if (!token_) return false;
  if (now_ms >= token_->ends_ms) {
    close_now(CloseCode::kUnauthenticated, "the token expired");
    return true;
  }
  if (now_ms >= token_->tell_ms && !std::exchange(token_->is_told, true)) {
    v1::ServerMessage message;
    message.mutable_token_expiring()->mutable_expires()->set_seconds(principal_->expires_s);
    reply(message);
  }
  return false;
}

void SessionCore::check_revoked() {
  if (!closed_ && loop_.authority.is_revoked(*principal_)) {
    close_now(CloseCode::kForbidden, "the token was revoked");
  }
}

}  // namespace tidegate
