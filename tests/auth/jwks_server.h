#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "gateway/auth/freed.h"
#include "tests/auth/test_keys.h"

struct ssl_ctx_st;
struct ssl_st;

namespace tidegate::test {

struct SslContextDeleter {
  void operator()(ssl_ctx_st* context) const;
};

// An HTTPS server on 127.0.0.1 that gives every request the same answer, one connection after the
// other, on a thread of its own. Thread: any (internally synchronised).
class JwksServer {
 public:
  struct Answer {
    std::string status = "200 OK";
    std::string headers = {};  // each with its line end
    std::string body = {};
    bool is_held = false;  // the body comes only after `release`, or never
  };

  // `tls` has the certificate, which is its own CA.
  explicit JwksServer(const TestKey& tls);
  ~JwksServer();
  JwksServer(const JwksServer&) = delete;
  JwksServer& operator=(const JwksServer&) = delete;

  std::string url() const;
  // A PEM text.
  const std::string& ca() const { return ca_; }

  void answer_with(Answer answer);
  void release();
  // False when fewer had come after a while.
  bool wait_for_requests(std::uint64_t count);
  std::uint64_t requests() const;

 private:
  void run();
  void serve(int fd);
  // `released`: how many releases there had been when the request came.
  void reply(ssl_st* ssl, const Answer& answer, std::uint64_t released);

  const std::string ca_;
  std::unique_ptr<ssl_ctx_st, SslContextDeleter> context_;
  int listener_ = -1;
  std::uint16_t port_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Answer answer_;
  std::uint64_t requests_ = 0;
  std::uint64_t released_ = 0;
  int connection_ = -1;
  bool is_stopping_ = false;

  std::thread thread_;
};

}  // namespace tidegate::test
