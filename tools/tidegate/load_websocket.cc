#include "tools/tidegate/load_websocket.h"

#include <algorithm>
#include <sys/resource.h>
#include <utility>

#include <fmt/format.h>

#include "tools/tidegate/load_socket.h"
#include "tools/tidegate/load_thread.h"

namespace tidegate {
namespace {

// For gRPC, epoll, the standard streams and what else is open.
constexpr std::uint64_t kOtherFiles = 100;
// Opening a connection takes far below a millisecond; a gateway that confirms none for so long is
// stuck.
constexpr std::chrono::seconds kConnectTimeout{60};

Status raise_file_limit(std::uint64_t subscribers) {
  rlimit limit{};
  TG_CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  const std::uint64_t wanted = subscribers + kOtherFiles;
  if (limit.rlim_cur >= wanted) return {};
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, wanted);
  if (setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= wanted) return {};
  return Error{
      Code::kBadArgument,
      fmt::format("{} subscribers need {} open files, and the limit (ulimit -Hn) is {}: at "
                  "most {} subscribers here",
                  subscribers, wanted, limit.rlim_max,
                  limit.rlim_max - std::min<rlim_t>(limit.rlim_max, kOtherFiles))};
}

}  // namespace

LoadClient::LoadClient(const LoadOptions& options, Progress progress, const LoadAddress& address)
    : options_(options),
      progress_(std::move(progress)),
      address_(std::make_unique<LoadAddress>(address)) {}

LoadClient::~LoadClient() = default;

Result<std::unique_ptr<LoadClient>> LoadClient::make(const LoadOptions& options,
                                                     Progress progress) {
  if (Status limit = raise_file_limit(options.subscribers); !limit) return limit.error();
  const Result<LoadAddress> address = LoadAddress::resolve(options.http, options.token);
  if (!address) return address.error();
  return std::unique_ptr<LoadClient>(new LoadClient(options, std::move(progress), *address));
}

Status LoadClient::connect() {
  const std::uint64_t threads = std::min(options_.threads, options_.subscribers);
  std::uint64_t first_number = 0;
  for (std::uint64_t i = 0; i < threads; ++i) {
    LoadOptions share = options_;
    share.subscribers =
        options_.subscribers / threads + (i < options_.subscribers % threads ? 1 : 0);
    threads_.push_back(std::make_unique<LoadThread>(share, *address_, first_number, progress_));
    first_number += share.subscribers;
  }
  return wait_for_all(LoadStage::kConnected, "welcome all connections");
}

Status LoadClient::connect_and_subscribe() {
  if (Status connected = connect(); !connected) return connected;
  subscribe();
  return wait_for_all(LoadStage::kSubscribed, "confirm all subscriptions");
}

void LoadClient::subscribe() {
  for (const auto& thread : threads_) thread->subscribe();
}

Status LoadClient::cut() {
  for (const auto& thread : threads_) thread->cut();
  // Nothing of the gateway's is needed for it.
  const Result<bool> done = wait(LoadStage::kCut, kConnectTimeout);
  if (!done) return done.error();
  TG_CHECK(*done);
  return {};
}

void LoadClient::reconnect() {
  for (const auto& thread : threads_) thread->reconnect();
}

Status LoadClient::wait_for_all(LoadStage stage, const char* what) {
  const Result<bool> done = wait(stage, kConnectTimeout);
  if (!done) return done.error();
  if (*done) return {};
  return Error{Code::kUnavailable, fmt::format("{} did not {} in time", options_.http, what)};
}

void LoadClient::begin() {
  for (const auto& thread : threads_) thread->begin();
}

std::uint64_t LoadClient::received_by_all() const {
  std::uint64_t low = UINT64_MAX;
  for (const auto& thread : threads_) low = std::min(low, thread->received_by_all());
  return low;
}

std::uint64_t LoadClient::deliveries() const {
  std::uint64_t sum = 0;
  for (const auto& thread : threads_) sum += thread->deliveries();
  return sum;
}

Result<bool> LoadClient::wait(LoadStage stage, std::chrono::milliseconds timeout) {
  for (const auto& thread : threads_) {
    Result<bool> reached = thread->wait(stage, timeout);
    if (!reached || !*reached) return reached;
  }
  return true;
}

LoadResult LoadClient::finish() {
  LoadResult result;
  for (const auto& thread : threads_) thread->add_to(result);
  return result;
}

}  // namespace tidegate
