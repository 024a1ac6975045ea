#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "tools/tidegate/bench_events.h"
#include "tools/tidegate/load_socket.h"

namespace tidegate {

// A single subscriber on the caller's thread, for what is measured one subscription at a time: how
// long it is from the request to an answer.
// Thread: caller serialises.
class LoadProbe {
 public:
  // Everything that came with one receive. True: that was all that was waited for.
  using Take = std::function<Result<bool>(LoadConnection::Found&)>;

  // Connected and welcomed. `address` outlives it. kUnavailable.
  static Result<std::unique_ptr<LoadProbe>> connect(const LoadAddress& address, LoadForm form,
                                                    std::size_t data_bytes, LoadClock clock);

  // Subscribes and hands over what comes until `take` has enough. kUnavailable when the gateway
  // refuses, or sends nothing for ten seconds; an error of `take` ends it too.
  Status subscribe(const v1::SubscribeOp& subscription, const Take& take);
  // When `subscribe` sent its request.
  std::int64_t sent_us() const { return sent_us_; }
  // When it had the bytes that were handed over last.
  std::int64_t received_us() const { return received_us_; }

 private:
  LoadProbe(const LoadAddress& address, LoadForm form, std::size_t data_bytes, LoadClock clock);
  Status receive_until(const Take& take);

  LoadClock clock_;
  LoadSocket socket_;
  ReceiveBuffer buffer_;
  std::int64_t sent_us_ = 0;
  std::int64_t received_us_ = 0;
};

}  // namespace tidegate
