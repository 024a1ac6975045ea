#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include <grpcpp/grpcpp.h>

#include "eventstore/base/result.h"
#include "eventstore/types.h"
#include "tidegate/v1/admin_service.grpc.pb.h"
#include "tidegate/v1/cursor_service.grpc.pb.h"
#include "tidegate/v1/event_service.grpc.pb.h"
#include "tidegate/v1/stream_service.grpc.pb.h"
#include "tools/tidegate/command.h"

namespace tidegate {

// Whether an error came from the gateway's error table or from not reaching it.
bool is_retryable(const Error& error);

// A gateway's services over one channel.
// Thread: any (internally synchronised).
class Client {
 public:
  // Of the gateway that the command line names, with its token. kBadArgument when the address is
  // not HOST:PORT or the token's file cannot be read. Nothing is connected yet.
  static Result<std::unique_ptr<Client>> make(const Context& context);
  // Every call carries `token`, unless it is empty.
  static Result<std::unique_ptr<Client>> make(std::string server, std::string token);

  v1::EventService::Stub& events() { return *events_; }
  v1::StreamService::Stub& streams() { return *streams_; }
  v1::CursorService::Stub& cursors() { return *cursors_; }
  v1::AdminService::Stub& admin() { return *admin_; }
  const std::string& server() const { return server_; }

  // The Error in the status' details, or what a bare status means: UNAVAILABLE is "cannot reach
  // HOST:PORT".
  Error error_from(const grpc::Status& status) const;

  // One unary call with a deadline. Ctrl-C ends the process meanwhile (interrupt.h).
  template <typename Response, typename Stub, typename Request>
  Result<Response> call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                     Response*),
                        Stub& stub, const Request& request) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kUnaryTimeout);
    Response response;
    const grpc::Status status = (stub.*method)(&context, request, &response);
    if (!status.ok()) return error_from(status);
    return response;
  }

  // The position of the newest event.
  Result<Position> head();

 private:
  Client(std::string server, std::string token);

  static constexpr std::chrono::seconds kUnaryTimeout{30};

  std::string server_;
  std::unique_ptr<v1::EventService::Stub> events_;
  std::unique_ptr<v1::StreamService::Stub> streams_;
  std::unique_ptr<v1::CursorService::Stub> cursors_;
  std::unique_ptr<v1::AdminService::Stub> admin_;
};

}  // namespace tidegate
