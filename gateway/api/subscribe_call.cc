#include "gateway/api/subscribe_call.h"

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "gateway/api/access.h"
#include "gateway/api/error_details.h"
#include "gateway/api/message_buffer.h"

namespace tidegate {
namespace {

Code code_of(CloseCode close) {
  switch (close) {
    case CloseCode::kDrain:
      return Code::kDraining;
    case CloseCode::kProtocol:
    case CloseCode::kUnsupportedData:
    case CloseCode::kBadText:
    case CloseCode::kBadMessage:
      return Code::kBadMessage;
    case CloseCode::kTooBig:
      return Code::kLimit;
    case CloseCode::kUnauthenticated:
      return Code::kUnauthenticated;
    case CloseCode::kForbidden:
      return Code::kForbidden;
    case CloseCode::kPolicy:
    case CloseCode::kRateLimited:
      return Code::kRateLimited;
    case CloseCode::kNoProgress:
      return Code::kOverloaded;
    case CloseCode::kNormal:
    case CloseCode::kInternal:
      break;
  }
  return Code::kInternal;
}

grpc::Status to_status(CloseCode close, std::string_view reason) {
  if (close == CloseCode::kNormal) return grpc::Status::OK;
  return to_grpc_status({code_of(close), fmt::format("the session was closed: {}", reason)});
}

// The shell between the reactor and the session. Both sides change the state under the lock and
// then `pump`, where one thread at a time issues what gRPC has to do; no lock is held while calling
// out.
//
// The client may finish its side after subscribing: events go on coming until it cancels.
class SubscribeCall final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                            public RemotePeer,
                            public std::enable_shared_from_this<SubscribeCall> {
 public:
  explicit SubscribeCall(ApiState& state) : state_(state) {}

  void start(const grpc::CallbackServerContext& context);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  void send(std::string message) override;
  void close(CloseCode code, std::string_view reason) override;
  void set_reading(bool reading) override;

 private:
  enum class Action { kNone, kRead, kWrite, kFinish };

  void tell_written();
  void end(grpc::Status status);
  void pump();
  Action next_action();

  ApiState& state_;
  std::shared_ptr<SubscribeCall> self_;  // until OnDone

  grpc::ByteBuffer request_;   // of the read under way
  grpc::ByteBuffer response_;  // of the write in flight

  std::mutex mutex_;                        // all below
  std::shared_ptr<RemoteSession> session_;  // null before it is open and after the end
  bool is_pumping_ = false;
  bool is_reading_wanted_ = false;
  bool is_reading_ = false;
  bool is_read_closed_ = false;
  bool is_writing_ = false;
  bool is_written_untold_ = false;  // written before the session's handle was here
  bool is_cancelled_ = false;
  bool is_finished_ = false;
  std::optional<grpc::ByteBuffer> outgoing_;
  std::optional<grpc::Status> ending_;
};

void SubscribeCall::start(const grpc::CallbackServerContext& context) {
  self_ = shared_from_this();
  if (state_.drain.is_set()) {
    end(to_grpc_status(draining_error()));
    return;
  }
  auto principal = admit_long(state_.authority, context, Access::kToken, "Subscribe");
  if (!principal) {
    end(to_grpc_status(principal.error()));
    return;
  }
  auto opened = state_.host.open_remote(self_, *std::move(principal));
  if (!opened) {
    end(to_grpc_status(opened.error()));
    return;
  }
  std::shared_ptr<RemoteSession> session = *std::move(opened);
  bool is_written = false;
  {
    const std::lock_guard lock(mutex_);
    session_ = std::move(session);
    is_reading_wanted_ = true;
    is_written = std::exchange(is_written_untold_, false);
  }
  if (is_written) tell_written();
  pump();
}

void SubscribeCall::OnReadDone(bool ok) {
  std::shared_ptr<RemoteSession> session;
  {
    const std::lock_guard lock(mutex_);
    is_read_closed_ = !ok;
    if (ok && !ending_ && !is_cancelled_) session = session_;
  }
  if (session != nullptr) {
    auto message = unwrap_session_message(request_);
    if (!message) {
      end(to_grpc_status(message.error()));
    } else {
      session->message(std::move(message).value());
    }
  }
  {
    // Only now: another thread's pump would read into `request_` again, and could hand over the
    // next message before this one.
    const std::lock_guard lock(mutex_);
    is_reading_ = false;
  }
  pump();
}

void SubscribeCall::OnWriteDone(bool ok) {
  bool is_told = false;
  {
    const std::lock_guard lock(mutex_);
    is_writing_ = false;
    if (!ok) is_cancelled_ = true;
    is_told = ok && session_ != nullptr;
    is_written_untold_ = ok && session_ == nullptr;
  }
  if (is_told) tell_written();
  pump();
}

void SubscribeCall::tell_written() {
  std::shared_ptr<RemoteSession> session;
  {
    const std::lock_guard lock(mutex_);
    session = session_;
  }
  if (session != nullptr) session->written();
}

void SubscribeCall::OnCancel() {
  {
    const std::lock_guard lock(mutex_);
    is_cancelled_ = true;
  }
  pump();
}

void SubscribeCall::OnDone() {
  std::shared_ptr<RemoteSession> session;
  {
    const std::lock_guard lock(mutex_);
    session = std::move(session_);
  }
  session.reset();
  const auto last = std::move(self_);
}

void SubscribeCall::send(std::string message) {
  {
    const std::lock_guard lock(mutex_);
    if (ending_ || is_finished_) return;
    outgoing_ = wrap_session_message(message);
  }
  pump();
}

void SubscribeCall::close(CloseCode code, std::string_view reason) {
  end(to_status(code, reason));
}

void SubscribeCall::set_reading(bool reading) {
  {
    const std::lock_guard lock(mutex_);
    is_reading_wanted_ = reading;
  }
  pump();
}

void SubscribeCall::end(grpc::Status status) {
  {
    const std::lock_guard lock(mutex_);
    if (!ending_) ending_ = std::move(status);
  }
  pump();
}

void SubscribeCall::pump() {
  const auto self = shared_from_this();
  {
    const std::lock_guard lock(mutex_);
    if (is_pumping_) return;
    is_pumping_ = true;
  }
  grpc::Status status;
  while (true) {
    Action action = Action::kNone;
    {
      const std::lock_guard lock(mutex_);
      action = next_action();
      if (action == Action::kNone) {
        is_pumping_ = false;
        return;
      }
      if (action == Action::kFinish) status = is_cancelled_ ? grpc::Status::CANCELLED : *ending_;
    }
    if (action == Action::kRead) StartRead(&request_);
    if (action == Action::kWrite) StartWrite(&response_);
    if (action == Action::kFinish) Finish(status);
  }
}

SubscribeCall::Action SubscribeCall::next_action() {
  if (is_finished_) return Action::kNone;
  if (!is_writing_ && (is_cancelled_ || (ending_ && !outgoing_))) {
    is_finished_ = true;
    return Action::kFinish;
  }
  if (is_cancelled_) return Action::kNone;
  if (!is_writing_ && outgoing_) {
    response_ = std::move(*outgoing_);
    outgoing_.reset();
    is_writing_ = true;
    return Action::kWrite;
  }
  if (is_reading_wanted_ && !is_reading_ && !is_read_closed_ && !ending_) {
    is_reading_ = true;
    return Action::kRead;
  }
  return Action::kNone;
}

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* start_subscribe_call(
    ApiState& state, const grpc::CallbackServerContext& context) {
  const auto call = std::make_shared<SubscribeCall>(state);
  call->start(context);
  return call.get();
}

}  // namespace tidegate
