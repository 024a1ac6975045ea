#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace grpc {
class ClientContext;
}

namespace tidegate {

class Client;

// Looks at a projection now and then, and tells when it has failed or is paused, or no longer is:
// its rows do not change then, which a watch alone cannot tell from silence. It looks on a thread
// of its own.
// Thread: caller serialises.
class TroubleWatch {
 public:
  // `tell` gets the trouble, and an empty text when it is over; it is never running once this is
  // gone. What cannot be looked at is no trouble: the watch itself says so.
  TroubleWatch(Client& client, std::string name, std::function<void(const std::string&)> tell);
  ~TroubleWatch();
  TroubleWatch(const TroubleWatch&) = delete;
  TroubleWatch& operator=(const TroubleWatch&) = delete;

 private:
  void run();
  // Nothing new when the gateway does not answer.
  void look();

  Client& client_;
  const std::string name_;
  const std::function<void(const std::string&)> tell_;
  std::string told_;  // on the thread
  std::mutex mutex_;
  std::condition_variable changed_;
  grpc::ClientContext* call_ = nullptr;
  bool is_stopping_ = false;
  std::thread thread_;
};

}  // namespace tidegate
