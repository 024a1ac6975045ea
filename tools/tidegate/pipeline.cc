#include "tools/tidegate/pipeline.h"

#include <fmt/format.h>

#include "tools/tidegate/command.h"
#include "tools/tidegate/services.h"

namespace tidegate {
namespace {

constexpr std::size_t kBatchEvents = 256;
constexpr std::size_t kBatchBytes = 512 << 10;
// Enough to keep the gateway's appender busy over one round trip.
constexpr std::size_t kWindow = 16;
// Attempts without an answer in between, about half a minute.
constexpr unsigned kAttemptsMax = 8;

Error error_of(const v1::PublishError& refused) {
  Error error{code_from_name(refused.code()), refused.message()};
  for (const std::string& detail : refused.details()) {
    error.details.push_back({ErrorDetail::Kind::kFact, "", detail});
  }
  return error;
}

}  // namespace

void PipelineBatch::add(std::string stream, v1::CloudEvent event, std::uint64_t tag) {
  bytes += event.ByteSizeLong() + stream.size();
  v1::NewEvent& added = *request.add_events();
  added.set_stream(std::move(stream));
  *added.mutable_event() = std::move(event);
  tags.push_back(tag);
}

bool PipelineBatch::is_full() const {
  return tags.size() >= kBatchEvents || bytes >= kBatchBytes;
}

struct Pipeline::Call {
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReaderWriter<v1::PublishPipelineRequest, v1::PublishPipelineResponse>>
      stream;
};

Pipeline::Pipeline(Client& client, Interrupt& interrupt, Answered answered)
    : client_(client),
      interrupt_(interrupt),
      answered_(std::move(answered)),
      guard_(interrupt, [this] {
        cancellable_.with([](Call* call) {
          if (call != nullptr) call->context.TryCancel();
        });
      }) {}

Pipeline::~Pipeline() {
  if (!call_) return;
  if (!unanswered_.empty()) call_->context.TryCancel();
  call_->stream->WritesDone();
  call_->stream->Finish();
  cancellable_.with([](Call*& call) { call = nullptr; });
}

Status Pipeline::send(PipelineBatch batch) {
  unanswered_.push_back(std::move(batch));
  do {
    if (Status stepped = step(); !stepped) return stepped;
  } while (unanswered_.size() >= kWindow || written_ < unanswered_.size());
  return {};
}

Status Pipeline::drain() {
  while (!unanswered_.empty()) {
    if (Status stepped = step(); !stepped) return stepped;
  }
  return {};
}

// Writes the next batch, or reads the next answer when all are written.
Status Pipeline::step() {
  if (interrupt_.happened()) return Error{Code::kUnavailable, "interrupted"};
  if (!call_) {
    call_ = std::make_unique<Call>();
    call_->stream = client_.services().events->PublishPipeline(&call_->context);
    cancellable_.with([this](Call*& call) { call = call_.get(); });
  }
  if (written_ < unanswered_.size()) {
    v1::PublishPipelineRequest message;
    message.set_batch(next_batch_++);
    *message.mutable_request() = unanswered_[written_].request;
    if (!call_->stream->Write(message)) return after_break();
    ++written_;
    return {};
  }
  v1::PublishPipelineResponse response;
  if (!call_->stream->Read(&response)) return after_break();
  read_answer(response);
  return {};
}

void Pipeline::read_answer(v1::PublishPipelineResponse& response) {
  was_answered_ = true;
  backoff_.succeeded();
  const PipelineBatch batch = std::move(unanswered_.front());
  unanswered_.pop_front();
  --written_;
  if (response.has_error()) {
    answered_(batch, error_of(response.error()));
  } else {
    answered_(batch, std::move(*response.mutable_response()));
  }
}

// The call is over: answers that were still under way first, then whether to begin a new one.
Status Pipeline::after_break() {
  for (v1::PublishPipelineResponse response; written_ > 0 && call_->stream->Read(&response);)
    read_answer(response);
  const grpc::Status status = call_->stream->Finish();
  cancellable_.with([](Call*& call) { call = nullptr; });
  call_.reset();
  written_ = 0;
  Error error = status.ok() ? Error{Code::kUnavailable,
                                    client_.server() + " ended the call without an answer"}
                            : client_.error_from(status);
  if (interrupt_.happened() || !is_retryable(error)) return error;
  if (!was_answered_ && error.code == Code::kUnavailable) return error;
  if (backoff_.attempts() >= kAttemptsMax) return error;
  if (backoff_.attempts() == 0) say(fmt::format("{}; trying again", error.message));
  if (!interrupt_.sleep(backoff_.next(error.retry_after_ms))) return error;
  return {};
}

}  // namespace tidegate
