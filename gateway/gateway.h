#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "gateway/config.h"

namespace tidegate {

// Everything that runs, put together: the store, the I/O loops, gRPC and the admin pages. main()
// only starts, drains and destroys it. Thread: caller serialises.
class Gateway {
 public:
  struct Listener {
    std::string name;     // "http", "grpc", "admin"
    std::string address;  // "127.0.0.1:41233"
  };
  struct StartError {
    int exit_code = 1;
    std::string text;
  };

  // Opens the log and listens. When it returns, every listener answers.
  static std::variant<std::unique_ptr<Gateway>, StartError> start(const Config& config);
  // Ends what is left, answers what is queued, and closes the log.
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  // In the order http, grpc, admin.
  const std::vector<Listener>& listeners() const;

  // Reads the files with keys and the certificate again. What cannot be used is logged and counted,
  // and what was there before stays.
  void reload();
  // Not ready from now on; no new connection or publish is taken, and every session is told to
  // close and come back, spread over time as their number asks for.
  void drain();
  // Sessions that are still open.
  std::size_t connections() const;

 private:
  struct Parts;
  explicit Gateway(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace tidegate
