#include "gateway/delivery/session.h"

#include <utility>

#include <fmt/format.h>

#include "eventstore/base/log.h"
#include "gateway/delivery/session_core.h"

namespace tidegate {

namespace {

// A write that is older than this holds no memory of the log any more.
constexpr std::int64_t kPinnedAtMostMs = 1000;

}  // namespace

Session::Session(std::shared_ptr<SessionCore> core) : core_(std::move(core)) {}
Session::~Session() {
  core_->end();
}
void Session::on_message(std::string_view bytes) {
  core_->on_message(bytes);
}
void Session::on_written() {
  core_->on_written();
}

SessionCore::SessionCore(LoopCore& loop, Transport& transport, WireForm form,
                         PrincipalRef principal, std::string connection)
    : loop_(loop),
      transport_(transport),
      form_(form),
      sent_ms_(loop.now_ms()),
      principal_(std::move(principal)),
      connection_(std::move(connection)),
      log_id_(loop.log.log_id()),
      tokens_(loop.limits.messages_per_second, loop.limits.messages_burst, loop.now_ms()),
      token_bytes_(loop.limits.message_bytes_per_second, loop.limits.message_bytes_burst,
                   loop.now_ms()) {
  note_expiry();
}

SessionCore::~SessionCore() = default;

void SessionCore::begin() {
  loop_.add(*this);
  if (loop_.presence != nullptr) {
    loop_.presence->connected(connection_, principal_->subject, transport_.surface());
  }
  if (loop_.is_draining()) {
    send_closing();
  } else {
    reply(welcome());
  }
  // On the way here from gRPC's thread: nobody would ask again.
  check_revoked();
  run();
}

void SessionCore::end() {
  closed_ = true;
  remove_all();
  loop_.remove(*this);
}

v1::ServerMessage SessionCore::welcome() const {
  const SessionLimits& limits = loop_.limits;
  v1::ServerMessage message;
  v1::Welcome& welcome = *message.mutable_welcome();
  welcome.set_connection(connection_);
  welcome.set_log(std::string(log_id_.text()));
  welcome.set_head(loop_.log.head());
  welcome.set_floor(loop_.log.floor());
  welcome.set_heartbeat_ms(static_cast<std::uint32_t>(limits.heartbeat_ms));
  welcome.set_server(loop_.server);
  v1::Limits& shown = *welcome.mutable_limits();
  shown.set_event_bytes(limits.event_bytes);
  shown.set_message_bytes(limits.message_bytes_of(principal_->may_publish()));
  shown.set_subscriptions(limits.subscriptions);
  shown.set_patterns(limits.patterns);
  shown.set_types(limits.types);
  shown.set_window(limits.window_max);
  shown.set_messages_per_second(limits.messages_per_second);
  return message;
}

// --------------------------------------------------------------------------------- messages coming

void SessionCore::on_message(std::string_view bytes) {
  if (closed_ || finish_) return;
  loop_.probe.message_received(bytes.size());
  ReplyTo reply_to;
  auto message = decode_client_message(form_, bytes, reply_to);
  const bool may_go_on = (message && is_exempt(*message)) || take_token(bytes.size());
  if (may_go_on && message) handle(*message);
  if (may_go_on && !message) refuse(message.error(), reply_to);
  run();
}

bool SessionCore::is_exempt(const v1::ClientMessage& message) const {
  switch (message.op_case()) {
    case v1::ClientMessage::kAck:
    case v1::ClientMessage::kPong:
      return true;
    case v1::ClientMessage::kPublish:
      return principal_->may_publish();
    default:
      return false;
  }
}

bool SessionCore::take_token(std::size_t bytes) {
  const std::int64_t now_ms = loop_.now_ms();
  const bool has_tokens = tokens_.take(now_ms);
  if (has_tokens && token_bytes_.take(now_ms, static_cast<double>(bytes))) return true;
  reply_error(
      {Code::kRateLimited, has_tokens ? fmt::format("more than {} bytes of messages a second",
                                                    loop_.limits.message_bytes_per_second)
                                      : fmt::format("more than {} messages a second",
                                                    loop_.limits.messages_per_second)},
      {});
  finish(CloseCode::kRateLimited, "rate limited");
  return false;
}

void SessionCore::handle(const v1::ClientMessage& message) {
  switch (message.op_case()) {
    case v1::ClientMessage::kSubscribe:
      return on_subscribe(message.subscribe());
    case v1::ClientMessage::kAck:
      return on_ack(message.ack());
    case v1::ClientMessage::kUpdate:
      return on_update(message.update());
    case v1::ClientMessage::kUnsubscribe:
      return on_unsubscribe(message.unsubscribe());
    case v1::ClientMessage::kPublish:
      return on_publish(message.publish());
    case v1::ClientMessage::kRefresh:
      return on_refresh(message.refresh());
    case v1::ClientMessage::kQuery:
      return on_query(message.query());
    case v1::ClientMessage::kWatch:
      return on_watch(message.watch());
    case v1::ClientMessage::kUnwatch:
      return on_unwatch(message.unwatch());
    case v1::ClientMessage::kPing: {
      v1::ServerMessage pong;
      pong.mutable_pong();
      return reply(pong);
    }
    case v1::ClientMessage::kPong:
      return;
    case v1::ClientMessage::OP_NOT_SET:
      return refuse({Code::kUnknownOp, "the message has no operation that is known"}, {});
  }
}

void SessionCore::refuse(const Error& error, const ReplyTo& reply_to) {
  const bool is_publish =
      !reply_to.request.empty() && !reply_to.is_query && principal_->may_publish();
  if (is_publish && error.code != Code::kBadMessage) {
    publishes_.push_back({loop_.next_number(), reply_to.request, Result<AppendResult>(error)});
    answer_publishes();
    return;
  }
  reply_error(error, reply_to.id, reply_to.request);
  if (error.code != Code::kBadMessage) return;
  if (++bad_messages_ >= loop_.limits.bad_messages) {
    finish(CloseCode::kBadMessage, "too many bad messages");
  }
}

// ---------------------------------------------------------------------------------- messages going

void SessionCore::reply(const v1::ServerMessage& message) {
  if (!closed_) outbox_.push(encode_server_message(form_, message));
}

void SessionCore::reply_error(const Error& error, std::string_view id, std::string_view request) {
  const CodeInfo& info = code_info(error.code);
  v1::ServerMessage message;
  v1::ErrorReply& reply_to = *message.mutable_error();
  reply_to.set_id(std::string(id));
  reply_to.set_request(std::string(request));
  reply_to.set_code(std::string(info.name));
  std::string text = error.message;
  for (const ErrorDetail& detail : error.details) {
    const std::string more = fmt::format("{}: {}", detail.subject, detail.description);
    // The message about one field is its detail.
    if (text.find(more) == std::string::npos) text += "; " + more;
  }
  reply_to.set_message(std::move(text));
  reply_to.set_retryable(info.retryable);
  reply_to.set_retry_after_ms(error.retry_after_ms);
  loop_.probe.error_sent(error.code);
  if (log_enabled(LogLevel::kDebug)) {
    log(LogLevel::kDebug, "an error was told",
        {{"connection", connection_}, {"code", info.name}, {"reason", error.message}});
  }
  if (error.code == Code::kForbidden)
    loop_.authority.audit().note({"denied", connection_, principal_->subject, error.message});
  reply(message);
}

void SessionCore::on_written() {
  writing_.reset();
  run();
}

void SessionCore::run() {
  std::size_t records = LoopCore::kRecordsPerTurn;
  if (pump(records)) loop_.wake(*this);
}

bool SessionCore::pump(std::size_t& records) {
  const bool has_more = send_all(records);
  update_reading();
  return has_more;
}

void SessionCore::prepare(std::size_t& records) {
  if (!closed_ && !writing_) put_next(records);
}

bool SessionCore::send_all(std::size_t& records) {
  while (!closed_ && !writing_) {
    const Served served = put_next(records);
    if (served == Served::kOutOfRecords) return true;
    if (served == Served::kNothing) break;
    write();
  }
  // The transport closes once the write in flight, the last one, is done.
  if (finish_ && outbox_.empty()) close_now(finish_->code, finish_->reason);
  return false;
}

SessionCore::Served SessionCore::put_next(std::size_t& records) {
  while (!put_) {
    if (!outbox_.empty()) {
      OutgoingMessage message = OutgoingMessage::of(outbox_.pop());
      message.is_followed = !outbox_.empty();
      put(std::move(message), 0);
      break;
    }
    if (finish_) return Served::kNothing;
    const Served served = serve_next(records);
    // What was told is in the outbox.
    if (served != Served::kTold) return served;
  }
  return Served::kPut;
}

// Gives turns until one has something to send.
SessionCore::Served SessionCore::serve_next(std::size_t& records) {
  const std::size_t events_end = subscriptions_.size();
  const std::size_t count = events_end + watches_.size();
  for (std::size_t tried = 0; tried < count;) {
    const std::size_t at = (next_ + tried) % count;
    const bool is_watch = at >= events_end;
    const bool had_reader = row_reader_ != 0;
    const Served served =
        is_watch ? serve(*watches_[at - events_end], records) : serve(*subscriptions_[at], records);
    if (served == Served::kNothing && had_reader && row_reader_ == 0) {
      // Others were refused the disk in this pass and nothing else wakes them: one more pass, which
      // the one that had it ends. The next step from disk comes later, so this happens once.
      next_ = at + 1;
      tried = 0;
      continue;
    }
    ++tried;
    if (served == Served::kNothing) continue;
    // What a subscription tells comes between its events: it goes on then.
    if (is_watch || served != Served::kTold) next_ = at + 1;
    return served;
  }
  return Served::kNothing;
}

SessionCore::Served SessionCore::serve(Subscription& subscription, std::size_t& records) {
  if (!subscription.wants_turn()) return Served::kNothing;
  EventsMessage message(form_, subscription.id());
  subscription.fill(message, records);
  if (message.events() > 0) {
    put_events(subscription, message);
    return Served::kPut;
  }
  if (!outbox_.empty()) return Served::kTold;
  return records == 0 ? Served::kOutOfRecords : Served::kNothing;
}

void SessionCore::put_events(Subscription& subscription, EventsMessage& message) {
  const std::size_t events = message.events();
  put(std::move(message).finish(told(subscription, subscription.last_filled())), events);
}

void SessionCore::put(OutgoingMessage&& message, std::size_t events) {
  sent_ms_ = loop_.now_ms();
  put_ = Write{sent_ms_, message.bytes, !message.pins.empty()};
  loop_.probe.message_sent(message.bytes, events);
  transport_.put(std::move(message));
}

void SessionCore::write() {
  const Write write = *std::exchange(put_, std::nullopt);
  if (transport_.write() == Transport::Sent::kDone) return;
  writing_ = write;
  loop_.tick_no_later(*this, write.began_ms);
}

// Reading stops at the limit and goes on at half of it, so that it does not flap with every answer.
void SessionCore::update_reading() {
  if (closed_ || finish_) return;
  const SessionLimits& limits = loop_.limits;
  const std::size_t bytes_max = reading_ ? limits.outbox_bytes : limits.outbox_bytes / 2;
  const bool want = outbox_.bytes() <= bytes_max && publishes_.size() < limits.publishes_in_flight;
  if (want == reading_) return;
  reading_ = want;
  transport_.set_reading(want);
}

// -------------------------------------------------------------------------------------------- end

void SessionCore::finish(CloseCode code, std::string_view reason) {
  if (finish_) return;
  finish_ = Finish{code, std::string(reason)};
  remove_all();
}

void SessionCore::close_now(CloseCode code, std::string_view reason) {
  if (closed_) return;
  closed_ = true;
  remove_all();
  transport_.close(code, reason);
}

void SessionCore::send_closing() {
  v1::ServerMessage message;
  message.mutable_closing()->set_reason("draining");
  message.mutable_closing()->set_reconnect_after_ms(loop_.reconnect_after_ms());
  reply(message);
  finish(CloseCode::kDrain, "draining");
}

void SessionCore::drain_at(std::int64_t when_ms) {
  drain_at_ms_ = when_ms;
  loop_.tick_no_later(*this, when_ms);
}

// ------------------------------------------------------------------------------------------- time

void SessionCore::fall_behind() {
  for (const auto& subscription : subscriptions_) subscription->fall_behind();
}

std::int64_t SessionCore::tick(std::int64_t now_ms) {
  if (closed_) return now_ms + loop_.limits.heartbeat_ms;
  if (tick_token(now_ms)) return now_ms + loop_.limits.heartbeat_ms;
  if (writing_) tick_write(now_ms);
  for (const auto& subscription : subscriptions_) subscription->tick(now_ms);
  tick_openings();
  tick_watches();
  if (drain_at_ms_ && now_ms >= *drain_at_ms_ && !finish_) send_closing();
  if (!writing_ && outbox_.empty() && !finish_) tick_quiet(now_ms);
  run();
  for (const auto& subscription : subscriptions_) {
    if (subscription->next_tick_ms(now_ms) != Subscription::kWhenTheLoopMoves) continue;
    loop_.rest(*this);
    break;
  }
  return next_tick_ms(now_ms);
}

std::int64_t SessionCore::next_tick_ms(std::int64_t now_ms) const {
  std::int64_t next_ms = sent_ms_ + loop_.limits.heartbeat_ms;
  if (writing_) next_ms = now_ms;
  if (drain_at_ms_ && !finish_) next_ms = std::min(next_ms, *drain_at_ms_);
  if (token_) next_ms = std::min(next_ms, token_->is_told ? token_->ends_ms : token_->tell_ms);
  for (const auto& subscription : subscriptions_)
    next_ms = std::min(next_ms, subscription->next_tick_ms(now_ms));
  return watches_.empty() ? next_ms : std::min(next_ms, next_watch_tick_ms(now_ms));
}

void SessionCore::tick_write(std::int64_t now_ms) {
  const SessionLimits& limits = loop_.limits;
  const std::int64_t waited_ms = now_ms - writing_->began_ms;
  // A large event over a slow line makes progress that is not seen here: each batch's worth of
  // bytes has the time.
  const auto batches = static_cast<std::int64_t>(1 + writing_->bytes / limits.batch_bytes);
  if (waited_ms >= limits.no_progress_ms * batches) {
    close_now(CloseCode::kNoProgress, "no progress");
    return;
  }
  if (waited_ms < kPinnedAtMostMs) return;
  if (std::exchange(writing_->holds_pins, false)) transport_.release_pins();
  for (const auto& subscription : subscriptions_) subscription->let_go();
  let_go_of_rows();
}

void SessionCore::tick_quiet(std::int64_t now_ms) {
  for (const auto& subscription : subscriptions_) {
    if (!subscription->is_position_due(now_ms)) continue;
    v1::ServerMessage message;
    message.mutable_position()->set_id(subscription->id());
    message.mutable_position()->set_position(told(*subscription, subscription->reached()));
    reply(message);
  }
  tell_progress(now_ms);
  if (!outbox_.empty() || now_ms - sent_ms_ < loop_.limits.heartbeat_ms) return;
  v1::ServerMessage ping;
  ping.mutable_ping();
  reply(ping);
}

}  // namespace tidegate
