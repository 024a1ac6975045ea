#include "tools/tidegate/load_websocket.h"

#include <algorithm>
#include <netdb.h>
#include <sys/resource.h>
#include <utility>

#include <fmt/format.h>

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

struct LoadClient::Address {
  addrinfo* list = nullptr;
  ~Address() {
    if (list != nullptr) freeaddrinfo(list);
  }
};

LoadClient::LoadClient() : address_(std::make_unique<Address>()) {}

LoadClient::~LoadClient() = default;

Result<std::unique_ptr<LoadClient>> LoadClient::make(const LoadOptions& options,
                                                     Progress progress) {
  if (Status limit = raise_file_limit(options.subscribers); !limit) return limit.error();
  const std::size_t colon = options.http.rfind(':');
  std::string host = options.http.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  std::unique_ptr<LoadClient> client(new LoadClient());
  const int failed = colon == std::string::npos
                         ? EAI_NONAME
                         : getaddrinfo(host.c_str(), options.http.c_str() + colon + 1, &hints,
                                       &client->address_->list);
  if (failed != 0) {
    return Error{Code::kBadArgument, fmt::format("'{}' is not HOST:PORT of a gateway: {}",
                                                 options.http, gai_strerror(failed))};
  }
  client->options_ = options;
  client->progress_ = std::move(progress);
  return client;
}

Status LoadClient::connect() {
  const std::uint64_t threads = std::min(options_.threads, options_.subscribers);
  for (std::uint64_t i = 0; i < threads; ++i) {
    LoadOptions share = options_;
    share.subscribers =
        options_.subscribers / threads + (i < options_.subscribers % threads ? 1 : 0);
    threads_.push_back(std::make_unique<LoadThread>(share, *address_->list, progress_));
  }
  for (const auto& thread : threads_) {
    const Result<bool> ready = thread->wait(false, kConnectTimeout);
    if (!ready) return ready.error();
    if (!*ready) {
      return Error{Code::kUnavailable,
                   fmt::format("{} did not confirm all subscriptions in time", options_.http)};
    }
  }
  return {};
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

Result<bool> LoadClient::wait_until_complete(std::chrono::milliseconds timeout) {
  for (const auto& thread : threads_) {
    Result<bool> complete = thread->wait(true, timeout);
    if (!complete || !*complete) return complete;
  }
  return true;
}

LoadResult LoadClient::finish() {
  LoadResult result;
  for (const auto& thread : threads_) thread->add_to(result);
  return result;
}

}  // namespace tidegate
