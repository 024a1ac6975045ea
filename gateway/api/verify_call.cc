#include "gateway/api/verify_call.h"

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "gateway/api/error_details.h"

namespace tidegate {
namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr auto kProgressInterval = std::chrono::milliseconds(250);

// Every operation of the call but a refusal is begun by the verifying thread, which may wait for a
// write.
class VerifyCall final : public grpc::ServerWriteReactor<v1::VerifyLogResponse> {
 public:
  explicit VerifyCall(const EventStore& store) : store_(store) {}

  void run();
  void refuse(const Error& error) { Finish(to_grpc_status(error)); }

  void OnWriteDone(bool ok) override {
    {
      const std::lock_guard lock(mutex_);
      is_writing_ = false;
      if (!ok) is_cancelled_ = true;
      // Under the lock: the waiting thread finishes the call, and with it this object, once it is
      // released.
      written_.notify_one();
    }
  }
  void OnCancel() override {
    const std::lock_guard lock(mutex_);
    is_cancelled_ = true;
  }
  void OnDone() override { delete this; }

 private:
  bool on_progress(const VerifyProgress& progress);
  // False when the call was cancelled.
  bool wait_for_write();

  const EventStore& store_;
  v1::VerifyLogResponse response_;
  SteadyClock::time_point last_told_ = SteadyClock::now();

  std::mutex mutex_;  // all below
  std::condition_variable written_;
  bool is_writing_ = false;
  bool is_cancelled_ = false;
};

void VerifyCall::run() {
  const auto report =
      store_.verify([this](const VerifyProgress& progress) { return on_progress(progress); });
  if (!wait_for_write()) {
    Finish(grpc::Status::CANCELLED);
    return;
  }
  if (!report) {
    Finish(to_grpc_status(report.error()));
    return;
  }
  response_.Clear();
  response_.set_examined(report->examined);
  response_.set_total(report->examined);
  response_.set_done(true);
  for (const std::string& problem : report->problems) response_.add_problems(problem);
  StartWriteAndFinish(&response_, grpc::WriteOptions(), grpc::Status::OK);
}

bool VerifyCall::on_progress(const VerifyProgress& progress) {
  {
    const std::lock_guard lock(mutex_);
    if (is_cancelled_) return false;
    // A client that does not read gets fewer messages, not a slower verification.
    if (is_writing_ || SteadyClock::now() - last_told_ < kProgressInterval) return true;
    is_writing_ = true;
  }
  last_told_ = SteadyClock::now();
  response_.set_examined(progress.examined);
  response_.set_total(progress.total);
  StartWrite(&response_);
  return true;
}

bool VerifyCall::wait_for_write() {
  std::unique_lock lock(mutex_);
  written_.wait(lock, [this] { return !is_writing_; });
  return !is_cancelled_;
}

}  // namespace

grpc::ServerWriteReactor<v1::VerifyLogResponse>* start_verify_call(const EventStore& store,
                                                                   WorkThread& thread) {
  auto* call = new VerifyCall(store);
  if (!thread.try_start([call] { call->run(); })) {
    call->refuse({Code::kOverloaded, "another verification is under way", {}, 5000});
  }
  return call;
}

}  // namespace tidegate
