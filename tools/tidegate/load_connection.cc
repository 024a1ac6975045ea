#include "tools/tidegate/load_connection.h"

#include <algorithm>

#include <fmt/format.h>

#include "eventstore/base/text.h"

namespace tidegate {
namespace {

// A load client needs no unpredictable key or mask: no cache or proxy stands in between. The accept
// value is the one that belongs to the key.
constexpr std::string_view kKey = "dGlkZWdhdGUtYmVuY2gtMQ==";
constexpr std::string_view kAccept = "vFXqWF4RdRdIgFaA96Vgefktipc=";
constexpr std::string_view kMask("\0\0\0\0", 4);
constexpr std::uint8_t kMaskBit = 0x80;
constexpr std::uint8_t kTextFrame = 1;
constexpr std::uint8_t kBinaryFrame = 2;

std::string_view subprotocol(LoadForm form) {
  return form == LoadForm::kJson ? "tidegate.v1.json" : "tidegate.v1.proto";
}

// `payload` has at most 65,535 bytes.
std::string client_frame(std::uint8_t opcode, std::string_view payload) {
  std::string frame(1, static_cast<char>(0x80 | opcode));
  if (payload.size() <= 125) {
    frame += static_cast<char>(kMaskBit | payload.size());
  } else {
    frame += static_cast<char>(kMaskBit | 126);
    frame += static_cast<char>(payload.size() >> 8);
    frame += static_cast<char>(payload.size() & 0xFF);
  }
  frame += kMask;
  frame += payload;
  return frame;
}

}  // namespace

std::string upgrade_request(const std::string& host, LoadForm form, const std::string& token) {
  const std::string authorization =
      token.empty() ? "" : fmt::format("Authorization: Bearer {}\r\n", token);
  return fmt::format(
      "GET /v1/ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\nSec-WebSocket-Protocol: {}\r\n{}\r\n",
      host, kKey, subprotocol(form), authorization);
}

std::string subscribe_frame(const v1::SubscribeOp& subscription, LoadForm form) {
  if (form == LoadForm::kProto) {
    v1::ClientMessage message;
    *message.mutable_subscribe() = subscription;
    return client_frame(kBinaryFrame, message.SerializeAsString());
  }
  std::string text = fmt::format(R"({{"op":"subscribe","id":"{}","streams":[)", subscription.id());
  for (const std::string& stream : subscription.streams()) {
    if (text.back() != '[') text += ',';
    append_json_string(text, stream);
  }
  const v1::Start& start = subscription.start();
  if (start.has_after()) {
    text += R"(],"after":)";
    append_json_string(text, start.after());
  } else if (start.has_after_sequence()) {
    text += fmt::format(R"(],"after":{})", start.after_sequence());
  } else {
    text += start.edge() == v1::EDGE_START ? R"(],"from":"start")" : R"(],"from":"head")";
  }
  if (subscription.window() > 0) text += fmt::format(R"(,"window":{})", subscription.window());
  return client_frame(kTextFrame, text + '}');
}

Result<std::size_t> LoadConnection::take(char* bytes, std::size_t size, Found& found) {
  std::size_t begin = 0;
  if (!is_upgraded_) {
    const Result<std::size_t> head = take_upgrade({bytes, size});
    if (!head || *head == 0) return head;
    begin = *head;
    is_upgraded_ = true;
  }
  found_ = &found;
  const Result<std::size_t> rest = frames_.take(bytes + begin, size - begin, *this);
  found_ = nullptr;
  if (!rest) return rest;
  return begin + *rest;
}

// A position is told at the end of a message. Within one, what was taken of it would come again by
// the position before, so that the last sequence is the place.
void LoadConnection::break_off() {
  if (scanner_.is_inside_message() && check_.last_sequence() > 0) {
    resumption_.set_after_sequence(check_.last_sequence());
  } else if (!scanner_.position().empty()) {
    resumption_.set_after(scanner_.position());
  }
  is_upgraded_ = false;
  frames_ = {};
  scanner_ = EventScanner(form_, data_bytes_);
}

// The length of the answer's head; 0: not all of it is there.
Result<std::size_t> LoadConnection::take_upgrade(std::string_view bytes) const {
  constexpr std::string_view kEnd = "\r\n\r\n";
  const std::size_t end = bytes.find(kEnd);
  if (end == std::string_view::npos) return std::size_t{0};
  const std::string_view head = bytes.substr(0, end);
  if (!head.starts_with("HTTP/1.1 101 ") ||
      head.find(subprotocol(form_)) == std::string_view::npos ||
      head.find(kAccept) == std::string_view::npos) {
    return Error{Code::kUnavailable, fmt::format("the gateway refused a WebSocket: {}",
                                                 head.substr(0, head.find('\r')))};
  }
  return end + kEnd.size();
}

Result<std::size_t> LoadConnection::on_payload(std::string_view bytes, bool is_end) {
  return scanner_.take(bytes, is_end, found_->events, found_->notices);
}

Status LoadConnection::on_control(std::uint8_t opcode, std::string_view payload) {
  if (opcode == kPingFrame) found_->answers += client_frame(kPongFrame, payload);
  if (opcode != kCloseFrame) return {};
  unsigned code = 1005;  // RFC 6455: none was given
  if (payload.size() >= 2) {
    code = static_cast<unsigned>(static_cast<std::uint8_t>(payload[0])) << 8 |
           static_cast<std::uint8_t>(payload[1]);
    payload.remove_prefix(2);
  }
  return Error{
      Code::kUnavailable,
      fmt::format("the gateway closed a subscriber's connection with {} {}", code, payload)};
}

}  // namespace tidegate
