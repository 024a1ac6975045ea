#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <netdb.h>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tools/tidegate/load_connection.h"
#include "tools/tidegate/load_websocket.h"

namespace tidegate {

// One epoll thread of a LoadClient with its share of the subscribers.
// Thread: any (internally synchronised).
class LoadThread {
 public:
  // `address` outlives it; `options.subscribers` is the share of this thread.
  LoadThread(const LoadOptions& options, const addrinfo& address, std::function<void()> progress);
  // Ends the thread.
  ~LoadThread();

  // Waits until all are subscribed, or have got everything.
  Result<bool> wait(bool for_complete, std::chrono::milliseconds timeout);

  void begin() { begin_requested_.store(true, std::memory_order_release); }
  std::uint64_t received_by_all() const { return progress_of_all_.received_by_all(); }
  std::uint64_t deliveries() const { return deliveries_.load(std::memory_order_relaxed); }
  // Ends the thread and adds what it measured.
  void add_to(LoadResult& result);

 private:
  struct Socket {
    int fd;
    std::unique_ptr<LoadConnection> connection;
    std::string left;  // bytes that must be read again together with the next ones
  };

  void run();
  Status loop();
  Status open_one();
  Status receive(Socket& socket);
  Status apply(Socket& socket);
  Status send_all(int fd, std::string_view bytes);
  void end();

  const LoadOptions options_;
  const addrinfo& address_;
  const std::function<void()> progress_;
  SharedProgress progress_of_all_;
  std::atomic<std::uint64_t> deliveries_ = 0;
  std::atomic<bool> begin_requested_ = false;
  int epoll_fd_ = -1;
  int wake_fd_ = -1;

  // The loop's own.
  std::vector<Socket> sockets_;
  std::vector<char> buffer_;
  LoadConnection::Found found_;
  std::uint64_t ready_ = 0;  // subscribed
  std::uint64_t complete_ = 0;
  bool has_moved_ = false;
  std::optional<double> cpu_at_begin_;
  std::int64_t begin_us_ = 0;
  LoadResult result_;

  std::mutex mutex_;  // all below
  std::condition_variable changed_;
  bool all_ready_ = false;
  bool all_complete_ = false;
  std::optional<Error> failed_;

  std::thread thread_;
};

}  // namespace tidegate
