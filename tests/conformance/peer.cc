#include "tests/conformance/peer.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tidegate/v1/session.pb.h"

namespace tidegate::test {
namespace {

// More single bytes than this take too many system calls.
constexpr std::size_t kSingleBytesMax = 2'000;

struct Shared {
  Shared() : bystander(WsClient::connect(gateway.http())) { bystander.expect("welcome"); }

  GatewayProcess gateway{{.flags = {"--logging-level", "debug", "--delivery-heartbeat-ms", "600000",
                                    "--delivery-position-ms", "600000"}}};
  WsClient bystander;
  int asked = 0;
};

Shared& shared() {
  static Shared instance;
  return instance;
}

std::string line_of(const v1::ServerMessage& message) {
  if (message.op_case() == v1::ServerMessage::kError)
    return fmt::format("{} {}", message.error().code(), message.error().id());
  return message.op_case() == v1::ServerMessage::kPong ? "pong" : message.ShortDebugString();
}

std::string line_of_message(const std::string& payload, bool is_binary) {
  if (is_binary) {
    v1::ServerMessage message;
    return message.ParseFromString(payload) ? line_of(message) : "not a ServerMessage";
  }
  const std::string op = json_field(payload, "op");
  if (op != "error") return op;
  return fmt::format("{} {}", json_field(payload, "code"), json_field(payload, "id"));
}

std::string line_of_close(int code) {
  return code == 1005 ? "close" : fmt::format("close {}", code);
}

std::string line_of(const WsFrame& frame, bool is_binary) {
  switch (frame.opcode) {
    case Opcode::kPing:
      return "ping frame: " + frame.payload;
    case Opcode::kPong:
      return "pong frame: " + frame.payload;
    case Opcode::kClose:
      if (frame.payload.size() == 1) return "close with half a code";
      return line_of_close(frame.close_code());
    default:
      if (frame.opcode != (is_binary ? Opcode::kBinary : Opcode::kText) || !frame.is_final)
        return fmt::format("a frame with opcode {}", static_cast<int>(frame.opcode));
      return line_of_message(frame.payload, is_binary);
  }
}

std::string trace_of(const FrameCase& item, Delivery delivery) {
  return fmt::format("RFC 6455 section {}: {} ({})", item.section, item.name, name_of(delivery));
}

Lines said_after(const FrameCase& item, const std::string& bytes, Delivery delivery) {
  WsClient client = connect(item.protocol);
  send(client.socket(), bytes, delivery);
  Lines lines = read_to_end(client, item.protocol == "tidegate.v1.proto");
  expect_unharmed();
  return lines;
}

constexpr std::array kDeliveries = {Delivery::kWhole, Delivery::kPieces, Delivery::kBytes};

bool is_too_long(const std::string& bytes, Delivery delivery) {
  return delivery == Delivery::kBytes && bytes.size() > kSingleBytesMax;
}

}  // namespace

GatewayProcess& gateway() {
  return shared().gateway;
}

void expect_unharmed() {
  Shared& all = shared();
  ASSERT_TRUE(all.gateway.is_alive()) << all.gateway.stderr_text();
  // Answered by the log, which refuses the check and stores nothing. Unlike a `ping` it does not
  // count towards the message rate, which a thousand cases would exceed.
  const std::string request = fmt::format("r{}", ++all.asked);
  all.bystander.send_text(
      R"({"op":"publish","request":")" + request +
      R"(","stream":"by.stander","event":{"specversion":"1.0","id":"1","source":"/conformance","type":"t"},)"
      R"("checks":[{"stream":"by.stander","present":true}]})");
  const std::string answer = all.bystander.expect("error");
  EXPECT_EQ(json_field(answer, "code"), "check_failed") << answer;
  EXPECT_EQ(json_field(answer, "request"), request) << answer;
}

WsClient connect(const std::string& protocol) {
  shared();
  WsClient client = WsClient::connect(gateway().http(), {.protocol = protocol});
  EXPECT_TRUE(client.read_frame()) << "no welcome";
  return client;
}

std::string_view name_of(Delivery delivery) {
  switch (delivery) {
    case Delivery::kWhole:
      return "at once";
    case Delivery::kPieces:
      return "in pieces";
    case Delivery::kBytes:
      return "in single bytes";
  }
  return "";
}

void send(TcpClient& socket, std::string_view bytes, Delivery delivery) {
  constexpr std::array<std::size_t, 7> kSizes = {1, 2, 3, 5, 8, 13, 21};
  // Of a long message the first bytes, its heads, are in small pieces, the rest in larger ones.
  constexpr std::size_t kSmallPieces = 70;
  std::size_t pieces = 0;
  while (!bytes.empty()) {
    std::size_t size = bytes.size();
    if (delivery == Delivery::kBytes) size = 1;
    if (delivery == Delivery::kPieces)
      size = kSizes[pieces % kSizes.size()] * (pieces < kSmallPieces ? 1 : 997);
    ++pieces;
    size = std::min(size, bytes.size());
    // A gateway that has refused the peer reads on for a while, but need not.
    if (!socket.send(bytes.substr(0, size))) return;
    bytes.remove_prefix(size);
  }
}

Lines read_to_end(WsClient& client, bool is_binary) {
  Lines lines;
  while (const auto frame = client.read_frame()) lines.push_back(line_of(*frame, is_binary));
  if (!client.socket().receive(Milliseconds(0))) {
    lines.push_back("still open");
  } else {
    lines.push_back(client.socket().was_reset() ? "reset" : "end");
  }
  return lines;
}

std::string echo_text(std::string_view id, std::string_view filler) {
  return fmt::format(R"({{"x":"{}","op":"echo","id":"{}"}})", filler, id);
}

std::string echo_text_of(std::string_view id, std::size_t size) {
  const std::size_t around = echo_text(id).size();
  EXPECT_GE(size, around);
  return echo_text(id, std::string(size - around, 'x'));
}

std::string fragments(const std::vector<std::string>& parts, Opcode opcode) {
  std::string bytes;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    bytes += make_frame(i == 0 ? opcode : Opcode::kContinuation, parts[i],
                        {.is_final = i + 1 == parts.size()});
  }
  return bytes;
}

std::string text_frame(std::string_view text) {
  return make_frame(Opcode::kText, text);
}
std::string first_part(std::string_view text) {
  return make_frame(Opcode::kText, text, {.is_final = false});
}
std::string middle_part(std::string_view text) {
  return make_frame(Opcode::kContinuation, text, {.is_final = false});
}
std::string last_part(std::string_view text) {
  return make_frame(Opcode::kContinuation, text);
}

std::string close_payload(int code, std::string_view reason) {
  return std::string{static_cast<char>(code >> 8), static_cast<char>(code & 0xff)} +
         std::string(reason);
}
std::string close_bytes(int code, std::string_view reason) {
  return make_frame(Opcode::kClose, close_payload(code, reason));
}

void expect_served(const std::vector<FrameCase>& cases) {
  for (const FrameCase& good : cases) {
    const std::string bytes = good.bytes + close_bytes(1000);
    Lines expected = good.said;
    expected.insert(expected.end(), {"close 1000", "end"});
    for (const Delivery delivery : kDeliveries) {
      if (is_too_long(bytes, delivery)) continue;
      SCOPED_TRACE(trace_of(good, delivery));
      EXPECT_EQ(said_after(good, bytes, delivery), expected);
    }
  }
}

void expect_closed(std::initializer_list<int> codes, const std::vector<FrameCase>& cases) {
  constexpr std::string_view kBegun = "a WebSocket connection begins";
  constexpr std::string_view kEnded = "a WebSocket connection ends";
  for (const FrameCase& bad : cases) {
    for (const Delivery delivery : kDeliveries) {
      if (is_too_long(bad.bytes, delivery)) continue;
      SCOPED_TRACE(trace_of(bad, delivery));
      // Those of earlier cases may be ending still; the bystander stays.
      ASSERT_TRUE(eventually(
          [&] { return log_lines(gateway(), kBegun) == log_lines(gateway(), kEnded) + 1; }));
      const std::size_t ended = log_lines(gateway(), kEnded);
      const Lines said = said_after(bad, bad.bytes, delivery);
      const bool is_expected = std::any_of(codes.begin(), codes.end(), [&](int code) {
        Lines expected = bad.said;
        expected.insert(expected.end(), {line_of_close(code), "end"});
        return said == expected;
      });
      EXPECT_TRUE(is_expected) << testing::PrintToString(said);
      EXPECT_EQ(await_log_lines(gateway(), kEnded, ended + 1), ended + 1);
    }
  }
}

}  // namespace tidegate::test
