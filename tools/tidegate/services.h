#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <type_traits>

#include <grpcpp/grpcpp.h>

#include "tidegate/v1/admin_service.grpc.pb.h"
#include "tidegate/v1/cursor_service.grpc.pb.h"
#include "tidegate/v1/event_service.grpc.pb.h"
#include "tidegate/v1/projection_service.grpc.pb.h"
#include "tidegate/v1/stream_service.grpc.pb.h"
#include "tools/tidegate/client.h"

namespace tidegate {

inline constexpr std::chrono::seconds kUnaryTimeout{30};

// The services of a gateway. Thread: any (internally synchronised).
struct Client::Services {
  std::unique_ptr<v1::EventService::Stub> events;
  std::unique_ptr<v1::StreamService::Stub> streams;
  std::unique_ptr<v1::CursorService::Stub> cursors;
  std::unique_ptr<v1::ProjectionService::Stub> projections;
  std::unique_ptr<v1::AdminService::Stub> admin;
  // Makes a connection of its own to the same gateway, with the same token.
  std::function<std::shared_ptr<grpc::Channel>()> connect;

  template <typename Stub>
  Stub& get() {
    if constexpr (std::is_same_v<Stub, v1::EventService::Stub>)
      return *events;
    else if constexpr (std::is_same_v<Stub, v1::StreamService::Stub>)
      return *streams;
    else if constexpr (std::is_same_v<Stub, v1::CursorService::Stub>)
      return *cursors;
    else if constexpr (std::is_same_v<Stub, v1::ProjectionService::Stub>)
      return *projections;
    else
      return *admin;
  }
};

// One unary call with a deadline. Ctrl-C ends the process meanwhile (interrupt.h), unless a guard
// lives.
template <typename Response, typename Stub, typename Request>
Result<Response> call(Client& client,
                      grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                      const Request& request, std::chrono::milliseconds timeout = kUnaryTimeout) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  Response response;
  const grpc::Status status = (client.services().get<Stub>().*method)(&context, request, &response);
  if (!status.ok()) return client.error_from(status);
  return response;
}

}  // namespace tidegate
