#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "eventstore/base/result.h"
#include "tidegate/v1/session.pb.h"
#include "tools/tidegate/interrupt.h"

namespace tidegate {

class Client;

// One EventService.Subscribe call. Ctrl-C cancels it: at once, or, while an acknowledgement is
// under way, after a moment in which it can still become durable. Thread: caller serialises.
class FollowCall {
 public:
  // `wait_for_gateway`: until it can be reached, instead of failing at once when it cannot.
  FollowCall(Client& client, Interrupt& interrupt, bool wait_for_gateway);
  ~FollowCall();

  // A failed send shows in `receive`.
  void send(const v1::ClientMessage& message);
  // Waits for the next message; false at the end of the call.
  bool receive(v1::ServerMessage& message);
  // Why the call ended, after `receive` returned false.
  Error why();

  // An acknowledgement was sent and is not answered yet, or all of them are.
  void set_owing(bool owing) { is_owing_.store(owing, std::memory_order_relaxed); }
  // Ends the call at the latest after a moment; for the last acknowledgement.
  void end_soon();

 private:
  struct Stream;
  void on_interrupt();

  Client& client_;
  std::unique_ptr<Stream> stream_;
  std::atomic<bool> is_owing_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_over_ = false;
  std::thread timer_;
  // Last, so that it is gone first.
  std::unique_ptr<Interrupt::Guard> guard_;
};

}  // namespace tidegate
