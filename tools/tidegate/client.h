#pragma once

#include <memory>
#include <string>

#include "eventstore/base/result.h"
#include "eventstore/types.h"
#include "tools/tidegate/command.h"

namespace grpc {
class Status;
}

namespace tidegate {

// Whether an error came from the gateway's error table or from not reaching it.
bool is_retryable(const Error& error);

// The token in a file; "" for no file. kBadArgument.
Result<std::string> read_token(const std::string& path);

// A gateway, over one channel. Who makes calls includes services.h, which takes long to compile.
// Thread: any (internally synchronised).
class Client {
 public:
  struct Services;  // services.h

  // Of the gateway that the command line names, with its token and by its choice of TLS.
  // kBadArgument when the address is not HOST:PORT or a file cannot be used. Nothing is connected
  // yet.
  static Result<std::unique_ptr<Client>> make(const Context& context);
  // Every call carries `token`, unless it is empty.
  static Result<std::unique_ptr<Client>> make(std::string server, std::string token,
                                              const TlsChoice& tls);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  Services& services() { return *services_; }
  const std::string& server() const { return server_; }
  // What is sent with every call; never to be printed.
  const std::string& token() const { return token_; }

  // The Error in the status' details, or what a bare status means: UNAVAILABLE is "cannot reach
  // HOST:PORT".
  Error error_from(const grpc::Status& status) const;
  // The same for a stream that went on until the gateway ended it: a gateway that shuts down
  // cancels calls that come in between, or ends them without an error.
  Error error_of_end(const grpc::Status& status) const;

  // The position of the newest event.
  Result<Position> head();

 private:
  Client(std::string server, std::string token, std::unique_ptr<Services> services);

  const std::string server_;
  const std::string token_;
  const std::unique_ptr<Services> services_;
};

}  // namespace tidegate
