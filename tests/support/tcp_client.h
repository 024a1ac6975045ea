#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace tidegate::test {

using Milliseconds = std::chrono::milliseconds;
inline constexpr Milliseconds kPatience{10'000};  // of a wait that should not be needed in full

// A point in time that waits end at.
class Deadline {
 public:
  explicit Deadline(Milliseconds time) : end_(std::chrono::steady_clock::now() + time) {}
  // Not below 0.
  int left_ms() const;
  bool is_over() const { return left_ms() == 0; }

 private:
  std::chrono::steady_clock::time_point end_;
};

// Waits until it holds; false when the time is over.
bool eventually(const std::function<bool()>& condition, Milliseconds time = kPatience);

class TlsClient;

// A blocking TCP client with time limits, for tests that care about every byte.
//
//   TcpClient client(gateway.http());
//   client.send("GET / HTTP/1.1\r\n");
//   std::string answer = client.receive_all();
// Thread: caller serialises.
class TcpClient {
 public:
  // `address` is "host:port" with a numeric IPv4 host. A failure to connect fails the test; then
  // is_open() is false.
  explicit TcpClient(const std::string& address);
  TcpClient(TcpClient&& other) noexcept;
  TcpClient& operator=(TcpClient&& other) noexcept;
  ~TcpClient();

  bool is_open() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  // From here on under TLS, with the certificates of this CA; false when the handshake fails.
  bool start_tls(const std::string& ca_file);
  TlsClient* tls() const { return tls_.get(); }

  // False when the peer has gone, or does not take the bytes in time.
  bool send(std::string_view bytes, Milliseconds time = kPatience);
  // What has come, at least one byte; "" when the peer has closed; nothing when the time is over.
  std::optional<std::string> receive(Milliseconds time = kPatience);
  // Everything up to the peer's close; nothing when that does not come in time.
  std::optional<std::string> receive_all(Milliseconds time = kPatience);

  // Whether the peer ended with a reset, which `receive` shows as "" too.
  bool was_reset() const { return was_reset_; }

  // Says that nothing more will be sent (FIN).
  void half_close();
  // Ends with a reset (RST) at once, as a lost network does.
  void cut();
  void close();

 private:
  int fd_ = -1;
  bool was_reset_ = false;
  std::unique_ptr<TlsClient> tls_;
};

// Status and parts of an HTTP answer; status 0 when `bytes` is not one.
struct HttpReply {
  int status = 0;
  std::string head;
  std::string body;

  static HttpReply parse(const std::string& bytes);
  // Of the first field with this name in any case; empty when there is none.
  std::string field(std::string_view name) const;
};

// One GET with Connection: close; under TLS when a CA is given.
HttpReply http_get(const std::string& address, const std::string& path,
                   const std::string& ca_file = "");

}  // namespace tidegate::test
