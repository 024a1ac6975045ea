#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/tcp_client.h"

namespace tidegate::test {

enum class Opcode : std::uint8_t {
  kContinuation = 0,
  kText = 1,
  kBinary = 2,
  kClose = 8,
  kPing = 9,
  kPong = 10,
};

struct WsFrame {
  bool is_final = true;
  Opcode opcode = Opcode::kText;
  std::string payload;

  // Of a close frame: its code (1005 when it has none) and text.
  int close_code() const;
  std::string close_text() const;
};

// How a client's frame is built; the defaults are a correct one.
struct FrameShape {
  bool is_final = true;
  std::uint8_t reserved_bits = 0;  // RSV1 = 4, RSV2 = 2, RSV3 = 1
  bool is_masked = true;
  std::optional<std::uint64_t> length = {};  // announced instead of the payload's own
  int length_bytes = 0;                      // 2 or 8: this form also for a shorter length
  // Any will do: nothing but a test of masks depends on it.
  std::array<char, 4> mask = {0x12, 0x34, 0x56, 0x78};
};
std::string make_frame(Opcode opcode, std::string_view payload, const FrameShape& shape = {});

struct WsOptions {
  std::string target = "/v1/ws";
  std::string protocol = {};  // "tidegate.v1.json", "tidegate.v1.proto" or empty: none is offered
  std::vector<std::pair<std::string, std::string>> fields = {};  // further ones
  std::string ca_file = {};                                      // under TLS, with its certificates
};

// A blocking WebSocket client of our own (RFC 6455 by hand), so that tests see and send every byte,
// bad ones too.
//
//   WsClient client = WsClient::connect(gateway.http());
//   client.expect("welcome");
//   client.send_text(R"({"op":"subscribe","id":"s","streams":["orders.>"],"from":"start"})");
//   std::string events = client.expect("events");
//   client.cut();
//
// A failed expectation fails the test and returns "".
// Thread: caller serialises.
class WsClient {
 public:
  // Fails the test when the answer is not 101.
  static WsClient connect(const std::string& address, const WsOptions& options = {});
  // Without a verdict: nothing when the upgrade was refused.
  static std::optional<WsClient> try_connect(const std::string& address, const WsOptions& options,
                                             HttpReply* reply);

  bool send_text(std::string_view text) { return send_raw(make_frame(Opcode::kText, text)); }
  bool send_binary(std::string_view bytes) { return send_raw(make_frame(Opcode::kBinary, bytes)); }
  bool send_frame(Opcode opcode, std::string_view payload, const FrameShape& shape = {}) {
    return send_raw(make_frame(opcode, payload, shape));
  }
  bool send_raw(std::string_view bytes) { return socket_.send(bytes); }
  // Begins the closing handshake.
  bool send_close(int code, std::string_view text = "");

  // The next frame of any kind; nothing when the time is over, the peer has gone, or what came is
  // not a frame that a server may send (then the test fails).
  std::optional<WsFrame> read_frame(Milliseconds time = kPatience);
  // The next text or binary message. Pings are answered; a close frame ends it with nothing, see
  // `closed`.
  std::optional<std::string> read_message(Milliseconds time = kPatience);
  // The next JSON message with this `op`; the server's own `ping` and `position` messages are
  // passed over, any other fails the test.
  std::string expect(std::string_view op, Milliseconds time = kPatience);
  // Reads until the peer closes, and returns the code of its close frame: 0 when it went without
  // one, -1 when it stays.
  int expect_close(Milliseconds time = kPatience);

  // The close frame that was read, if any.
  const std::optional<WsFrame>& closed() const { return closed_; }
  const HttpReply& reply() const { return reply_; }  // to the upgrade
  TcpClient& socket() { return socket_; }
  // Ends with a reset at once, whatever is under way.
  void cut() { socket_.cut(); }

 private:
  explicit WsClient(TcpClient socket) : socket_(std::move(socket)) {}
  // At least `count` bytes in `bytes_`.
  bool fill(std::size_t count, const Deadline& deadline);

  TcpClient socket_;
  HttpReply reply_;
  std::string bytes_;
  std::optional<WsFrame> closed_;
};

// The value of a top-level or nested field of JSON text by its first appearance: the text between
// the quotes, or the number. Enough for messages whose form is known; "" when it is absent.
std::string json_field(std::string_view json, std::string_view name);

}  // namespace tidegate::test
