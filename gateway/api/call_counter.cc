#include "gateway/api/call_counter.h"

#include <array>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>
#include <grpcpp/support/status.h>

#include "eventstore/base/string_map.h"
#include "tidegate/v1/admin_service.pb.h"
#include "tidegate/v1/cursor_service.pb.h"
#include "tidegate/v1/event_service.pb.h"
#include "tidegate/v1/projection_service.pb.h"
#include "tidegate/v1/stream_service.pb.h"

namespace tidegate {
namespace {

namespace interception = grpc::experimental;

// By number, from 0.
constexpr std::array<std::string_view, 17> kStatusNames = {
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
};
static_assert(kStatusNames[grpc::StatusCode::UNAUTHENTICATED] == "UNAUTHENTICATED");

std::string_view status_name(grpc::StatusCode code) {
  const auto number = static_cast<std::size_t>(code);
  return number < kStatusNames.size() ? kStatusNames[number] : "UNKNOWN";
}

// How each of our methods is told, by its path: "/tidegate.v1.EventService/Read" and
// "EventService/Read".
const StringMap<std::string>& own_methods() {
  static const StringMap<std::string> made = [] {
    StringMap<std::string> methods;
    for (const google::protobuf::FileDescriptor* file :
         {v1::PublishRequest::descriptor()->file(), v1::ListStreamsRequest::descriptor()->file(),
          v1::ListCursorsRequest::descriptor()->file(),
          v1::ListProjectionsRequest::descriptor()->file(),
          v1::GetStatusRequest::descriptor()->file()}) {
      for (int s = 0; s < file->service_count(); ++s) {
        const google::protobuf::ServiceDescriptor& service = *file->service(s);
        for (int m = 0; m < service.method_count(); ++m) {
          const std::string& name = service.method(m)->name();
          methods.emplace(fmt::format("/{}/{}", service.full_name(), name),
                          fmt::format("{}/{}", service.name(), name));
        }
      }
    }
    return methods;
  }();
  return made;
}

// Of one call.
class CallCounter final : public interception::Interceptor {
 public:
  CallCounter(ApiProbe& probe, std::string_view method) : probe_(probe), method_(method) {}

  // Runs before and after each message too, and does nothing then.
  void Intercept(interception::InterceptorBatchMethods* batch) override {
    if (batch->QueryInterceptionHookPoint(interception::InterceptionHookPoints::PRE_SEND_STATUS)) {
      probe_.call_ended(method_, status_name(batch->GetSendStatus().error_code()));
    }
    batch->Proceed();
  }

 private:
  ApiProbe& probe_;
  const std::string_view method_;
};

class CallCounterFactory final : public interception::ServerInterceptorFactoryInterface {
 public:
  explicit CallCounterFactory(ApiProbe& probe) : probe_(probe) {}

  interception::Interceptor* CreateServerInterceptor(interception::ServerRpcInfo* call) override {
    const auto own = methods_.find(std::string_view(call->method()));
    return new CallCounter(probe_, own == methods_.end() ? "other" : std::string_view(own->second));
  }

 private:
  ApiProbe& probe_;
  const StringMap<std::string>& methods_ = own_methods();
};

}  // namespace

std::unique_ptr<interception::ServerInterceptorFactoryInterface> make_call_counter(
    ApiProbe& probe) {
  return std::make_unique<CallCounterFactory>(probe);
}

}  // namespace tidegate
