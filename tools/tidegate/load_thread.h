#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <sys/epoll.h>
#include <thread>

#include "tools/tidegate/load_socket.h"
#include "tools/tidegate/load_websocket.h"

namespace tidegate {

// One epoll thread of a LoadClient with its share of the subscribers.
// Thread: any (internally synchronised).
class LoadThread {
 public:
  // `address` outlives it; `options.subscribers` is the share of this thread, whose first one is
  // the `first_number`-th of all. Begins to connect at once.
  LoadThread(const LoadOptions& options, const LoadAddress& address, std::uint64_t first_number,
             std::function<void()> progress);
  // Ends the thread.
  ~LoadThread();

  // False when `timeout` passed before all subscribers got there.
  Result<bool> wait(LoadStage stage, std::chrono::milliseconds timeout);

  void begin() { begin_requested_.store(true, std::memory_order_release); }
  void subscribe() { command(kSubscribe); }
  void cut() { command(kCut); }
  // After the cut is done.
  void reconnect();
  std::uint64_t received_by_all() const { return progress_of_all_.received_by_all(); }
  std::uint64_t deliveries() const { return deliveries_.load(std::memory_order_relaxed); }
  // Ends the thread and adds what it measured.
  void add_to(LoadResult& result);

 private:
  enum Command : unsigned { kEnd = 1, kSubscribe = 2, kCut = 4, kReconnect = 8 };
  struct Subscriber {
    Subscriber(const LoadOptions& options, const LoadAddress& address, std::uint64_t number_of_it)
        : socket(address, options.form, options.data_bytes,
                 DeliveryCheck(options.first, options.end)),
          number(number_of_it) {}

    LoadSocket socket;
    std::uint64_t number;
    bool is_caught_up = false;
  };

  void command(Command command);
  void run();
  Status loop();
  int await(std::span<epoll_event> events);
  Status open_some();
  Status open(std::uint64_t index);
  // False: end.
  Result<bool> obey();
  void cut_all();
  Status subscribe(Subscriber& subscriber);
  Status serve(Subscriber& subscriber);
  Status apply(Subscriber& subscriber, const ServerNotice& notice);
  Status take_events(Subscriber& subscriber);
  void count(std::uint64_t& counter, std::uint64_t whole, LoadStage stage);
  void reach(LoadStage stage);
  void end();

  const LoadOptions options_;
  const LoadAddress& address_;
  const std::uint64_t first_number_;
  const std::function<void()> progress_;
  SharedProgress progress_of_all_;
  std::atomic<std::uint64_t> deliveries_ = 0;
  std::atomic<bool> begin_requested_ = false;
  std::atomic<unsigned> commands_ = 0;
  int epoll_fd_ = -1;
  int wake_fd_ = -1;

  // The loop's own.
  std::deque<Subscriber> subscribers_;
  ReceiveBuffer buffer_;
  LoadConnection::Found found_;
  std::uint64_t opened_ = 0;
  std::uint64_t connected_ = 0;
  std::uint64_t subscribed_ = 0;
  std::uint64_t caught_up_ = 0;
  std::uint64_t complete_ = 0;
  bool is_opening_ = true;
  bool is_subscribing_ = false;
  bool has_moved_ = false;
  std::optional<double> cpu_at_begin_;
  std::int64_t begin_us_ = 0;
  LoadResult result_;

  std::mutex mutex_;  // all below
  std::condition_variable changed_;
  std::array<bool, kLoadStages> reached_{};
  std::optional<Error> failed_;

  std::thread thread_;
};

}  // namespace tidegate
