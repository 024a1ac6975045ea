#include <utility>

#include "gateway/delivery/session_core.h"

namespace tidegate {

void SessionCore::on_publish(const v1::PublishOp& op) {
  if (Status named = check_id(op.request(), "request", loop_.limits); !named) {
    return reply_error(named.error(), {});
  }
  const std::uint64_t number = loop_.next_number();
  publishes_.push_back({number, op.request(), std::nullopt});
  auto request = check_publish(op);
  if (!request) return on_published(number, std::move(request).error());
  if (Status granted = principal_->take_publish(*request); !granted) {
    return on_published(number, granted.error());
  }
  loop_.log.publish(*std::move(request),
                    [weak = weak_from_this(), number](Result<AppendResult> answer) {
                      const auto self = weak.lock();
                      if (!self || self->closed_) return;
                      self->on_published(number, std::move(answer));
                      self->run();
                    });
}

void SessionCore::on_published(std::uint64_t number, Result<AppendResult> answer) {
  for (Publish& publish : publishes_) {
    if (publish.number == number) publish.answer = std::move(answer);
  }
  answer_publishes();
}

void SessionCore::answer_publishes() {
  while (!publishes_.empty() && publishes_.front().answer) {
    answer(publishes_.front());
    publishes_.pop_front();
  }
}

void SessionCore::answer(const Publish& publish) {
  const Result<AppendResult>& result = *publish.answer;
  if (!result) return reply_error(result.error(), {}, publish.request);
  const Appended& appended = result->events.front();
  v1::ServerMessage message;
  v1::Published& published = *message.mutable_published();
  published.set_request(publish.request);
  published.set_position(result->position.text());
  published.set_revision(appended.revision);
  published.set_deduplicated(appended.deduplicated);
  reply(message);
}

}  // namespace tidegate
