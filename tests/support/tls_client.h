#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "tests/support/tcp_client.h"

struct ssl_st;

namespace tidegate::test {

// A tunnel's inner end: what a client under TLS sends and receives over a TcpClient's socket, with
// the same time limits. Trusts the certificates of one CA for the address that was connected to.
// Thread: caller serialises.
class TlsClient {
 public:
  struct Options {
    std::string ca_file;
    int version_max = 0;  // TLS1_1_VERSION, for example; 0: the newest
  };

  // Makes the handshake; `error` says why it failed.
  TlsClient(const TcpClient& socket, const Options& options);
  ~TlsClient();

  const std::string& error() const { return error_; }
  // Serial number of the server's certificate, in hexadecimal.
  std::string server_serial() const;

  bool send(std::string_view bytes, Milliseconds time = kPatience);
  // Asks the peer for new keys, which it must answer (TLS 1.3); false when it has gone, or does not
  // take the request in time.
  bool ask_for_new_keys(Milliseconds time = kPatience);
  // As TcpClient::receive.
  std::optional<std::string> receive(Milliseconds time = kPatience);

 private:
  struct Deleter {
    void operator()(ssl_st* ssl) const;
  };
  // Waits for what `result` of an operation asks for; false when it failed or the time is over.
  bool wait(int result, const Deadline& deadline);

  int fd_;
  std::string error_;
  std::unique_ptr<ssl_st, Deleter> ssl_;
};

}  // namespace tidegate::test
