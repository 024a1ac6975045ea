#pragma once

#include <memory>

#include <grpcpp/support/server_interceptor.h>

#include "gateway/api/api_probe.h"

namespace tidegate {

// For ServerBuilder: tells the probe of each call when its status is sent, whoever finishes it and
// why, so that no service has to. A call that gRPC ends before a service sees it (too large a
// message) has no such moment.
//
// The probe must outlive the server. Thread: caller serialises; the probe is called on gRPC's
// threads and on whichever finishes a call.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> make_call_counter(
    ApiProbe& probe);

}  // namespace tidegate
