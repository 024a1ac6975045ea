#include "gateway/api/pipeline_call.h"

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <variant>

#include <google/protobuf/arena.h>

#include "gateway/api/access.h"
#include "gateway/api/error_details.h"
#include "gateway/api/message_buffer.h"
#include "gateway/api/publish_request.h"
#include "tidegate/v1/event_service.pb.h"

namespace tidegate {
namespace {

// Two flows meet here.
//  - Admission: read a batch, check it, hand it to the store, read the next one. One step at a
//  time: the next read begins
//    only after the batch was taken, so `request_` and `waiting_` have one user and need no lock.
//    When the ingest queue is full the batch waits in `waiting_` and nothing is read.
//  - Answers: the appender fills the slots of the batches, and they are written from the front.
// Both change the state under the lock and then `pump`, where one thread at a time issues what gRPC
// has to do, so that operations never race with Finish and no lock is held while calling out.
class PipelineCall final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                           public Drainable,
                           public std::enable_shared_from_this<PipelineCall> {
 public:
  explicit PipelineCall(ApiState& state) : state_(state) {}

  void start(const grpc::CallbackServerContext& context) {
    self_ = shared_from_this();
    auto principal = admit_long(state_.authority, context, Access::kPublish, "PublishPipeline");
    if (!principal) {
      end(principal.error());
    } else if (!state_.drain.watch(self_)) {
      end(draining_error());
    } else {
      principal_ = *std::move(principal);
    }
    pump();
  }

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;
  void on_drain() override {
    end(draining_error());
    pump();
  }

 private:
  using Answer = std::variant<AppendResult, Error>;
  struct Slot {
    std::uint64_t batch = 0;
    std::size_t bytes = 0;
    std::optional<Answer> answer;
  };
  enum class Action { kNone, kRead, kWrite, kFinish };

  bool take_batch();
  bool submit();
  void admitted();
  void on_room();
  void on_answered(std::uint64_t slot, Answer answer);
  std::uint64_t open_slot(std::uint64_t batch, std::size_t bytes);
  void end(const Error& error);
  void refuse_last(const Error& error);

  void pump();
  Action next_action();
  Action finish();
  void take_answer();

  ApiState& state_;
  std::shared_ptr<PipelineCall> self_;  // until OnDone

  PrincipalRef principal_;  // null when the call was refused

  // Admission only.
  grpc::ByteBuffer request_;
  AppendRequest waiting_;
  std::uint64_t waiting_slot_ = 0;

  grpc::ByteBuffer response_;  // of the write in flight

  std::mutex mutex_;  // all below
  bool is_pumping_ = false;
  bool is_reading_ = false;
  bool is_admitting_ = false;  // a batch was read and is not yet taken by the store
  bool is_writing_ = false;
  bool is_read_closed_ = false;
  bool is_cancelled_ = false;
  bool is_finished_ = false;
  bool is_dropping_ =
      false;  // a batch was refused for want of capacity: later answers are not told
  std::optional<grpc::Status> ending_;  // told once the slots are answered
  std::deque<Slot> slots_;              // batches without a written answer, oldest first
  std::uint64_t first_slot_ = 0;        // number of slots_.front()
  std::size_t slot_bytes_ = 0;
};

void PipelineCall::OnReadDone(bool ok) {
  bool is_over = false;
  {
    const std::lock_guard lock(mutex_);
    is_reading_ = false;
    is_read_closed_ = !ok;
    // A batch that comes while the call ends is dropped: it was not appended and gets no answer.
    is_over = !ok || ending_ || is_cancelled_ || is_finished_;
    is_admitting_ = !is_over;
  }
  if (!is_over && take_batch()) admitted();
  pump();
}

// True when the batch is dealt with and the next one may be read; false when it waits for room.
bool PipelineCall::take_batch() {
  // A batch has thousands of small parts, which all go at once.
  google::protobuf::Arena arena;
  auto& request = *google::protobuf::Arena::CreateMessage<v1::PublishPipelineRequest>(&arena);
  const std::size_t bytes = request_.Length();
  if (const Status parsed = parse_message(request_, request); !parsed) {
    end(parsed.error());
    return true;
  }
  if (state_.drain.is_set()) {
    end(draining_error());
    return true;
  }
  if (const Status good = check_still_good(state_.authority, *principal_); !good) {
    end(good.error());
    return true;
  }
  const std::uint64_t slot = open_slot(request.batch(), bytes);
  auto append = to_append_request(request.request(), bytes);
  if (!append) {
    on_answered(slot, std::move(append).error());
    return true;
  }
  if (const Status granted =
          note_denied(state_.authority, *principal_, principal_->take_publish(*append));
      !granted) {
    on_answered(slot, granted.error());
    return true;
  }
  waiting_ = std::move(append).value();
  waiting_.done = [self = shared_from_this(), slot](Result<AppendResult> result) {
    self->on_answered(
        slot, result ? Answer(std::move(result).value()) : Answer(std::move(result).error()));
    self->pump();
  };
  return submit();
}

bool PipelineCall::submit() {
  const Status taken = state_.store.append(waiting_);
  if (taken) return true;
  if (taken.error().code == Code::kOverloaded) {
    state_.store.when_room([self = shared_from_this()] { self->on_room(); });
    return false;
  }
  refuse_last(taken.error());
  waiting_ = {};
  return true;
}

void PipelineCall::admitted() {
  const std::lock_guard lock(mutex_);
  is_admitting_ = false;
}

void PipelineCall::on_room() {
  bool is_over = false;
  {
    const std::lock_guard lock(mutex_);
    is_over = is_cancelled_ || is_finished_;
  }
  if (is_over) waiting_ = {};
  if (is_over || submit()) admitted();
  pump();
}

std::uint64_t PipelineCall::open_slot(std::uint64_t batch, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  slots_.push_back({batch, bytes, std::nullopt});
  slot_bytes_ += bytes;
  return first_slot_ + slots_.size() - 1;
}

void PipelineCall::on_answered(std::uint64_t slot, Answer answer) {
  const std::lock_guard lock(mutex_);
  if (is_finished_ || is_dropping_) return;
  slots_[slot - first_slot_].answer = std::move(answer);
}

void PipelineCall::end(const Error& error) {
  const std::lock_guard lock(mutex_);
  if (!ending_) ending_ = to_grpc_status(error);
}

// The newest batch was not taken: it gets no answer but the end of the call.
void PipelineCall::refuse_last(const Error& error) {
  end(error);
  const std::lock_guard lock(mutex_);
  if (is_finished_ || is_dropping_) return;
  slot_bytes_ -= slots_.back().bytes;
  slots_.pop_back();
}

void PipelineCall::OnWriteDone(bool ok) {
  {
    const std::lock_guard lock(mutex_);
    is_writing_ = false;
    if (!ok) is_cancelled_ = true;
  }
  pump();
}

void PipelineCall::OnCancel() {
  {
    const std::lock_guard lock(mutex_);
    is_cancelled_ = true;
  }
  pump();
}

void PipelineCall::OnDone() {
  state_.drain.unwatch(this);
  // Appends under way keep the object for their callbacks.
  const auto last = std::move(self_);
}

void PipelineCall::pump() {
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
      if (action == Action::kFinish) {
        status = is_cancelled_ ? grpc::Status::CANCELLED : ending_.value_or(grpc::Status::OK);
      }
    }
    if (action == Action::kRead) StartRead(&request_);
    // Without buffer_hint: the next write waits for this one, which gRPC would hold back for the
    // next one.
    if (action == Action::kWrite) StartWrite(&response_);
    if (action == Action::kFinish) Finish(status);
  }
}

PipelineCall::Action PipelineCall::next_action() {
  if (is_finished_) return Action::kNone;
  if (is_cancelled_) return is_writing_ ? Action::kNone : finish();
  if (!is_writing_ && !slots_.empty() && slots_.front().answer) {
    take_answer();
    if (is_writing_) return Action::kWrite;
  }
  if (ending_ || is_read_closed_) {
    // A batch that is being admitted has no slot yet, but its answer must come first.
    return slots_.empty() && !is_writing_ && !is_admitting_ ? finish() : Action::kNone;
  }
  const bool has_room = slots_.size() < kPipelineBatchesMax && slot_bytes_ < kPipelineBytesMax;
  if (is_reading_ || is_admitting_ || !has_room) return Action::kNone;
  is_reading_ = true;
  return Action::kRead;
}

PipelineCall::Action PipelineCall::finish() {
  is_finished_ = true;
  slots_.clear();
  return Action::kFinish;
}

// Makes the message of the oldest slot; a capacity refusal ends the call there instead, and what
// comes after it is dropped.
void PipelineCall::take_answer() {
  const Slot slot = std::move(slots_.front());
  slots_.pop_front();
  ++first_slot_;
  slot_bytes_ -= slot.bytes;
  const Error* error = std::get_if<Error>(&*slot.answer);
  if (error != nullptr && is_capacity_refusal(error->code)) {
    ending_ = to_grpc_status(*error);
    is_dropping_ = true;
    slots_.clear();
    return;
  }
  google::protobuf::Arena arena;
  auto& message = *google::protobuf::Arena::CreateMessage<v1::PublishPipelineResponse>(&arena);
  message.set_batch(slot.batch);
  if (error != nullptr) {
    set_publish_error(*message.mutable_error(), *error);
  } else {
    set_publish_response(*message.mutable_response(), std::get<AppendResult>(*slot.answer));
  }
  response_ = serialise_message(message);
  is_writing_ = true;
}

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* start_pipeline_call(
    ApiState& state, const grpc::CallbackServerContext& context) {
  const auto call = std::make_shared<PipelineCall>(state);
  call->start(context);
  return call.get();
}

}  // namespace tidegate
