#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "gateway/tls/server_identity.h"

struct ssl_st;

namespace tidegate {

// The server's end of a TLS connection without its socket: bytes of the peer in, plain text out,
// and the other way. The handshake happens on the way. An idle one holds no buffers.
// Thread: caller serialises.
class TlsChannel {
 public:
  // What one call of `encrypt` may be given: one record.
  static constexpr std::size_t kRecordBytes = 16 << 10;

  explicit TlsChannel(const TlsPair& pair);
  ~TlsChannel();
  TlsChannel(const TlsChannel&) = delete;
  TlsChannel& operator=(const TlsChannel&) = delete;

  // Takes what came from the socket.
  void received(std::string_view cipher);

  enum class State : std::uint8_t {
    kOpen,    // more must be received
    kEnded,   // the peer said that it sends nothing more
    kFailed,  // the peer broke the protocol; what is in `output` may tell it why
  };
  struct Read {
    std::size_t bytes = 0;
    State state = State::kOpen;  // of bytes == 0
  };
  // The next plain text.
  Read read(std::span<char> plain);
  // Whether `read` has more at once.
  bool has_plain() const;

  // False before the handshake is done and after a failure: nothing was taken.
  bool encrypt(std::string_view plain);
  // Says that nothing more will be sent.
  void finish();

  // For the socket: bytes from the front may be taken away.
  std::string& output() { return output_; }

 private:
  struct Deleter {
    void operator()(ssl_st* ssl) const;
  };
  friend struct TlsChannelBio;

  std::string input_;
  std::size_t input_taken_ = 0;
  std::string output_;
  bool has_failed_ = false;
  std::unique_ptr<ssl_st, Deleter> ssl_;
};

}  // namespace tidegate
