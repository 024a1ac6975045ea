#pragma once

#include <grpcpp/support/server_callback.h>

#include "gateway/api/error_details.h"

namespace tidegate {

// A streamed answer that ends before it begins. It deletes itself.
template <typename Response>
class RefusedCall final : public grpc::ServerWriteReactor<Response> {
 public:
  explicit RefusedCall(const Error& error) { this->Finish(to_grpc_status(error)); }
  void OnDone() override { delete this; }
};

}  // namespace tidegate
