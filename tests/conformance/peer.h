#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/gateway_process.h"
#include "tests/support/ws_client.h"

namespace tidegate::test {

// What all cases of this folder share: one gateway, clients that speak raw frames, and a verdict by
// what the gateway said, frame by frame, up to the end of the connection.
// Thread: main only.

// The gateway of all cases of this program. It sends nothing by itself while a test runs.
GatewayProcess& gateway();

// The process lives, and a client that was there before the first case is still answered.
void expect_unharmed();

// A connection whose `welcome` was read.
WsClient connect(const std::string& protocol = "tidegate.v1.json");

// How bytes are handed to the network: at once, in pieces of 1, 2, 3, 5, 8.. bytes, in single
// bytes.
enum class Delivery { kWhole, kPieces, kBytes };
std::string_view name_of(Delivery delivery);
void send(TcpClient& socket, std::string_view bytes, Delivery delivery);

// What the gateway says from now on up to the end of the connection, in a line each:
//
//   "unknown_op ID"    an `error` message's code, and the id that it gave back
//   "pong"             a message with this `op`
//   "pong frame: x"    a control frame and its payload
//   "close 1000"       a close frame ("close" when it names no code)
//   "end"              the gateway ended the connection ("reset", "still open")
using Lines = std::vector<std::string>;
Lines read_to_end(WsClient& client, bool is_binary = false);

// A message that the gateway answers with "unknown_op ID": that is how a text comes back. `filler`
// stands in a field that is ignored.
std::string echo_text(std::string_view id, std::string_view filler = "");
// Likewise, `size` bytes long.
std::string echo_text_of(std::string_view id, std::size_t size);

// Frames of a message: `parts` are its fragments. A text message as one frame: text_frame.
std::string fragments(const std::vector<std::string>& parts, Opcode opcode = Opcode::kText);
std::string text_frame(std::string_view text);
// The first fragment of a text, and a following one that is not the last.
std::string first_part(std::string_view text);
std::string middle_part(std::string_view text);
std::string last_part(std::string_view text);
std::string close_payload(int code, std::string_view reason = "");
std::string close_bytes(int code, std::string_view reason = "");

struct FrameCase {
  std::string section;  // of RFC 6455
  std::string name;
  std::string bytes;
  Lines said = {};  // before the connection ends
  std::string protocol = "tidegate.v1.json";
};

// Each case on a connection of its own, in every delivery. Served: the gateway says `said` and then
// answers the close frame (1000) that is sent after the case's bytes.
void expect_served(const std::vector<FrameCase>& cases);
// Closed: the gateway says `said`, closes with one of `codes` (1005: a close frame without a code)
// and ends the connection by itself.
void expect_closed(std::initializer_list<int> codes, const std::vector<FrameCase>& cases);

}  // namespace tidegate::test
