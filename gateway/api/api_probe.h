#pragma once

#include <string_view>

namespace tidegate {

// What gRPC tells its observer: verbs without names of metrics.
// Thread: any (internally synchronised by the implementation).
class ApiProbe {
 public:
  virtual ~ApiProbe() = default;
  // A call got its status. `method` is "EventService/Publish" for example, or "other" when it is
  // none of ours: a client chooses that name, and must not make a series of each. `status` is
  // gRPC's name, "OK" or "PERMISSION_DENIED" for example. Both live as long as the process.
  virtual void call_ended(std::string_view method, std::string_view status) = 0;
};

}  // namespace tidegate
