#pragma once

#include <functional>
#include <thread>

#include <grpcpp/support/server_callback.h>

#include "eventstore/base/guarded.h"
#include "eventstore/event_store.h"
#include "tidegate/v1/admin_service.pb.h"

namespace tidegate {

// Runs at most one verification at a time, on a thread of its own: it reads the whole log, which
// would keep the read threads from everybody else. Thread: any (internally synchronised).
class VerifyThread {
 public:
  VerifyThread() = default;
  // Waits for the work under way.
  ~VerifyThread();
  VerifyThread(const VerifyThread&) = delete;
  VerifyThread& operator=(const VerifyThread&) = delete;

  // False, and nothing happens, while earlier work is under way.
  bool try_start(std::function<void()> work);

 private:
  struct State {
    bool is_busy = false;
    std::thread thread;
  };
  Guarded<State> state_;
};

// Serves AdminService.VerifyLog: progress about every 250 ms, then what was found. `overloaded`
// while another one runs. The reactor deletes itself.
grpc::ServerWriteReactor<v1::VerifyLogResponse>* start_verify_call(const EventStore& store,
                                                                   VerifyThread& thread);

}  // namespace tidegate
