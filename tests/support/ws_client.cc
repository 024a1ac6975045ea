#include "tests/support/ws_client.h"

#include <gtest/gtest.h>

namespace tidegate::test {
namespace {

// Any key will do: nothing here depends on its randomness.
constexpr std::string_view kKey = "AAECAwQFBgcICQoLDA0ODw==";
constexpr std::string_view kAccept = "Bz3qJYTGdOe8gUSpLosEdiLKDrk=";

void append_big_endian(std::string& out, std::uint64_t value, int bytes) {
  for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8)
    out += static_cast<char>(value >> shift & 0xff);
}

std::uint64_t big_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (const char c : bytes) value = value << 8 | static_cast<std::uint8_t>(c);
  return value;
}

bool is_keep_alive(std::string_view op) {
  return op == "ping" || op == "position";
}

}  // namespace

int WsFrame::close_code() const {
  return payload.size() < 2 ? 1005
                            : static_cast<int>(big_endian(std::string_view(payload).substr(0, 2)));
}

std::string WsFrame::close_text() const {
  return payload.size() < 2 ? "" : payload.substr(2);
}

std::string make_frame(Opcode opcode, std::string_view payload, const FrameShape& shape) {
  std::string frame;
  frame += static_cast<char>((shape.is_final ? 0x80 : 0) | shape.reserved_bits << 4 |
                             static_cast<int>(opcode));
  const std::uint64_t length = shape.length.value_or(payload.size());
  int bytes = length > 0xffff ? 8 : length > 125 ? 2 : 0;
  if (shape.length_bytes > bytes) bytes = shape.length_bytes;
  const int mask_bit = shape.is_masked ? 0x80 : 0;
  frame += static_cast<char>(mask_bit | (bytes == 8   ? 127
                                         : bytes == 2 ? 126
                                                      : static_cast<int>(length)));
  append_big_endian(frame, length, bytes);
  if (!shape.is_masked) return frame + std::string(payload);
  frame.append(shape.mask.data(), shape.mask.size());
  for (std::size_t i = 0; i < payload.size(); ++i)
    frame += static_cast<char>(payload[i] ^ shape.mask[i % shape.mask.size()]);
  return frame;
}

std::optional<WsClient> WsClient::try_connect(const std::string& address, const WsOptions& options,
                                              HttpReply* reply) {
  WsClient client{TcpClient(address)};
  if (!client.socket_.is_open()) return std::nullopt;
  if (!options.ca_file.empty() && !client.socket_.start_tls(options.ca_file)) return std::nullopt;
  std::string request =
      "GET " + options.target + " HTTP/1.1\r\nHost: " + address +
      "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
      "Sec-WebSocket-Key: " + std::string(kKey) + "\r\n";
  if (!options.protocol.empty()) request += "Sec-WebSocket-Protocol: " + options.protocol + "\r\n";
  for (const auto& [name, value] : options.fields) request += name + ": " + value + "\r\n";
  client.send_raw(request + "\r\n");
  const Deadline deadline(kPatience);
  while (client.bytes_.find("\r\n\r\n") == std::string::npos) {
    if (!client.fill(client.bytes_.size() + 1, deadline)) break;
  }
  const std::size_t end = client.bytes_.find("\r\n\r\n");
  client.reply_ = HttpReply::parse(client.bytes_);
  if (reply != nullptr) *reply = client.reply_;
  if (client.reply_.status != 101) return std::nullopt;
  client.reply_.body.clear();
  client.bytes_.erase(0, end + 4);
  EXPECT_EQ(client.reply_.field("Sec-WebSocket-Accept"), kAccept);
  return client;
}

WsClient WsClient::connect(const std::string& address, const WsOptions& options) {
  HttpReply reply;
  auto client = try_connect(address, options, &reply);
  if (client) return *std::move(client);
  ADD_FAILURE() << "the upgrade was answered with " << reply.status << ": " << reply.body;
  return WsClient{TcpClient(address)};
}

bool WsClient::send_close(int code, std::string_view text) {
  std::string payload;
  append_big_endian(payload, static_cast<std::uint64_t>(code), 2);
  return send_frame(Opcode::kClose, payload + std::string(text));
}

bool WsClient::fill(std::size_t count, const Deadline& deadline) {
  while (bytes_.size() < count) {
    const auto more = socket_.receive(Milliseconds(deadline.left_ms()));
    if (!more || more->empty()) return false;
    bytes_ += *more;
  }
  return true;
}

std::optional<WsFrame> WsClient::read_frame(Milliseconds time) {
  const Deadline deadline(time);
  if (!fill(2, deadline)) return std::nullopt;
  const auto first = static_cast<std::uint8_t>(bytes_[0]);
  const auto second = static_cast<std::uint8_t>(bytes_[1]);
  if ((first & 0x70) != 0 || (second & 0x80) != 0) {
    ADD_FAILURE() << "a server's frame with reserved bits or a mask";
    return std::nullopt;
  }
  const std::size_t length_bytes = second == 127 ? 8 : second == 126 ? 2 : 0;
  if (!fill(2 + length_bytes, deadline)) return std::nullopt;
  const std::uint64_t length =
      length_bytes == 0 ? second : big_endian(std::string_view(bytes_).substr(2, length_bytes));
  WsFrame frame;
  frame.is_final = (first & 0x80) != 0;
  frame.opcode = static_cast<Opcode>(first & 0x0f);
  const bool is_shortest = length_bytes == 0 || length > (length_bytes == 2 ? 125U : 0xffffU);
  const bool is_control = frame.opcode >= Opcode::kClose;
  if (!is_shortest || (is_control && (!frame.is_final || length > 125))) {
    ADD_FAILURE() << "a server's frame with a long form of its length, or a wrong control frame";
    return std::nullopt;
  }
  if (!fill(2 + length_bytes + length, deadline)) return std::nullopt;
  frame.payload = bytes_.substr(2 + length_bytes, length);
  bytes_.erase(0, 2 + length_bytes + length);
  if (frame.opcode == Opcode::kClose) closed_ = frame;
  return frame;
}

std::optional<std::string> WsClient::read_message(Milliseconds time) {
  const Deadline deadline(time);
  std::string message;
  while (true) {
    const auto frame = read_frame(Milliseconds(deadline.left_ms()));
    if (!frame || frame->opcode == Opcode::kClose) return std::nullopt;
    if (frame->opcode == Opcode::kPing) send_frame(Opcode::kPong, frame->payload);
    if (frame->opcode == Opcode::kPing || frame->opcode == Opcode::kPong) continue;
    message += frame->payload;
    if (frame->is_final) return message;
  }
}

std::string WsClient::expect(std::string_view op, Milliseconds time) {
  const Deadline deadline(time);
  while (auto message = read_message(Milliseconds(deadline.left_ms()))) {
    const std::string found = json_field(*message, "op");
    if (found == op) return *std::move(message);
    if (is_keep_alive(found)) continue;
    ADD_FAILURE() << "expected " << op << ", got " << *message;
    return "";
  }
  ADD_FAILURE() << "expected " << op << ", got "
                << (closed_ ? "a close frame: " + closed_->close_text() : std::string("nothing"));
  return "";
}

int WsClient::expect_close(Milliseconds time) {
  const Deadline deadline(time);
  while (!closed_) {
    if (!read_frame(Milliseconds(deadline.left_ms()))) return deadline.is_over() ? -1 : 0;
  }
  return closed_->close_code();
}

std::string json_field(std::string_view json, std::string_view name) {
  const std::string quoted = "\"" + std::string(name) + "\":";
  const std::size_t at = json.find(quoted);
  if (at == std::string_view::npos) return "";
  std::string_view value = json.substr(at + quoted.size());
  const bool is_text = value.starts_with('"');
  if (is_text) value.remove_prefix(1);
  return std::string(value.substr(0, value.find_first_of(is_text ? "\"" : ",}]")));
}

}  // namespace tidegate::test
