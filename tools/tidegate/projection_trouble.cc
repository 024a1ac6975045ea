#include "tools/tidegate/projection_trouble.h"

#include <chrono>
#include <utility>

#include "tools/tidegate/projection_state.h"
#include "tools/tidegate/services.h"

namespace tidegate {
namespace {

constexpr std::chrono::seconds kTroubleLook{10};

}  // namespace

TroubleWatch::TroubleWatch(Client& client, std::string name,
                           std::function<void(const std::string&)> tell)
    : client_(client), name_(std::move(name)), tell_(std::move(tell)) {
  thread_ = std::thread([this] { run(); });
}

TroubleWatch::~TroubleWatch() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
    if (call_ != nullptr) call_->TryCancel();
  }
  changed_.notify_all();
  thread_.join();
}

void TroubleWatch::run() {
  std::unique_lock lock(mutex_);
  while (!is_stopping_) {
    lock.unlock();
    look();
    lock.lock();
    changed_.wait_for(lock, kTroubleLook, [this] { return is_stopping_; });
  }
}

void TroubleWatch::look() {
  grpc::ClientContext call;
  call.set_deadline(std::chrono::system_clock::now() + kUnaryTimeout);
  {
    const std::lock_guard lock(mutex_);
    if (is_stopping_) return;
    call_ = &call;
  }
  v1::GetProjectionRequest request;
  request.set_name(name_);
  v1::GetProjectionResponse response;
  const grpc::Status status =
      client_.services().projections->GetProjection(&call, request, &response);
  const std::lock_guard lock(mutex_);
  call_ = nullptr;
  if (!status.ok() || is_stopping_) return;
  std::string trouble = trouble_text(response.projection());
  if (trouble == told_) return;
  told_ = std::move(trouble);
  tell_(told_);
}

}  // namespace tidegate
