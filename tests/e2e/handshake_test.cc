// What a peer may send instead of a proper upgrade, byte by byte, and what it must get. After each
// case the gateway runs and serves the next client.

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/gateway_process.h"
#include "tests/support/ws_client.h"

namespace tidegate::test {
namespace {

GatewayProcess& gateway() {
  static GatewayProcess process;
  return process;
}

// A request as lines, so that a case changes one thing.
struct Request {
  std::string line = "GET /v1/ws HTTP/1.1";
  std::vector<std::string> fields = {"Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade",
                                     "Sec-WebSocket-Version: 13",
                                     "Sec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw=="};
  std::string after;

  Request with(const std::string& field) const {
    Request changed = *this;
    changed.fields.push_back(field);
    return changed;
  }
  Request without(const std::string& name) const {
    Request changed = *this;
    std::erase_if(changed.fields,
                  [&name](const std::string& field) { return field.starts_with(name + ":"); });
    return changed;
  }
  Request replacing(const std::string& name, const std::string& value) const {
    return without(name).with(name + ": " + value);
  }
  Request to(const std::string& request_line) const {
    Request changed = *this;
    changed.line = request_line;
    return changed;
  }
  Request followed_by(const std::string& bytes) const {
    Request changed = *this;
    changed.after = bytes;
    return changed;
  }
  std::string bytes() const {
    std::string text = line + "\r\n";
    for (const std::string& field : fields) text += field + "\r\n";
    return text + "\r\n" + after;
  }
};

void expect_healthy() {
  EXPECT_TRUE(gateway().is_alive());
  WsClient::connect(gateway().http()).expect("welcome");
}

HttpReply ask(const std::string& bytes, Milliseconds time = kPatience) {
  TcpClient client(gateway().http());
  client.send(bytes);
  return HttpReply::parse(client.receive_all(time).value_or(""));
}

struct Case {
  std::string name;
  std::string bytes;
  int status;
};

// Every refusal is a small problem+json body, and the end of the connection.
void expect_refusals(const std::vector<Case>& cases) {
  for (const Case& bad : cases) {
    SCOPED_TRACE(bad.name);
    const HttpReply reply = ask(bad.bytes);
    EXPECT_EQ(reply.status, bad.status) << reply.head << reply.body;
    EXPECT_EQ(reply.field("Content-Type"), "application/problem+json");
    EXPECT_EQ(reply.field("Connection"), "close");
    EXPECT_LT(reply.body.size(), 512U);
    expect_healthy();
  }
}

int status_of(const Request& request) {
  TcpClient client(gateway().http());
  client.send(request.bytes());
  return HttpReply::parse(client.receive().value_or("")).status;
}

TEST(HandshakeTest, AnswersAProperUpgrade) {
  EXPECT_EQ(status_of(Request{}), 101);
  EXPECT_EQ(status_of(Request{}.replacing("Connection", "keep-alive, Upgrade")), 101);
  EXPECT_EQ(status_of(Request{}.replacing("Upgrade", "WebSocket")), 101);
  EXPECT_EQ(status_of(Request{}.replacing("Host", "[::1]:7080")), 101);
  EXPECT_EQ(status_of(Request{}.replacing("Host", "localhost:7080")), 101);
  EXPECT_EQ(status_of(Request{}.with("Origin: http://localhost:5173")), 101);
  EXPECT_EQ(status_of(Request{}.with("X-Forwarded-For: 203.0.113.9")), 101);
  EXPECT_EQ(status_of(Request{}.to("GET /v1/ws?a=b HTTP/1.1")), 101);
}

TEST(HandshakeTest, RefusesWhatIsNotHttp) {
  const Request good;
  std::string bare_lf = good.bytes();
  std::erase(bare_lf, '\r');
  std::string one_bare_lf = good.bytes();
  one_bare_lf.replace(one_bare_lf.find("\r\nUpgrade"), 2, "\n");
  expect_refusals({
      {"HTTP/1.0", good.to("GET /v1/ws HTTP/1.0").bytes(), 400},
      {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
      {"TLS hello", std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11), 400},
      {"PROXY line", "PROXY TCP4 203.0.113.9 127.0.0.1 4000 80\r\n" + good.bytes(), 400},
      {"bare line feeds", bare_lf, 400},
      {"one bare line feed", one_bare_lf, 400},
      {"NUL in a field", good.with(std::string("X: a\0b", 6)).bytes(), 400},
      {"control character in a field", good.with("X: a\x01").bytes(), 400},
      {"bare CR in a field", good.with("X: a\rb").bytes(), 400},
      {"folded field", good.with("X: a\r\n b").bytes(), 400},
      {"space before the colon", good.with("X : a").bytes(), 400},
      {"no method", "/v1/ws HTTP/1.1\r\n\r\n", 400},
      {"empty line first", "\r\n" + good.bytes(), 400},
  });
}

TEST(HandshakeTest, BoundsTheHead) {
  std::string many;
  for (int i = 0; i < 10'000; ++i) many += "X-" + std::to_string(i) + ": y\r\n";
  many.resize(many.size() - 2);
  expect_refusals({
      {"17 KiB head", Request{}.with("X: " + std::string(17 << 10, 'y')).bytes(), 431},
      {"10,000 fields", Request{}.with(many).bytes(), 431},
      {"32 KiB of spaces",
       Request{}.with("Sec-WebSocket-Protocol: " + std::string(32 << 10, ' ')).bytes(), 431},
      {"a line without an end", std::string(20 << 10, 'A'), 431},
  });
  EXPECT_EQ(status_of(Request{}.with("X: " + std::string(15 << 10, 'y'))), 101);
}

TEST(HandshakeTest, RefusesAWrongHostOrOrigin) {
  const Request good;
  expect_refusals({
      {"no Host", good.without("Host").bytes(), 400},
      {"two Hosts", good.with("Host: 127.0.0.1").bytes(), 400},
      {"foreign Host", good.replacing("Host", "tidegate.example").bytes(), 403},
      {"Host that looks like loopback", good.replacing("Host", "127.0.0.1.example").bytes(), 403},
      {"Host with a bad port", good.replacing("Host", "127.0.0.1:99999").bytes(), 403},
      {"evil Origin", good.with("Origin: https://evil.example").bytes(), 403},
      {"Origin with a loopback prefix", good.with("Origin: http://localhost.evil.example").bytes(),
       403},
      {"Origin with credentials", good.with("Origin: http://localhost@evil.example").bytes(), 403},
      {"null Origin", good.with("Origin: null").bytes(), 403},
      {"two Origins",
       good.with("Origin: http://localhost").with("Origin: http://localhost").bytes(), 403},
  });
}

TEST(HandshakeTest, RefusesAWrongTargetOrMethod) {
  const Request good;
  expect_refusals({
      {"POST", good.to("POST /v1/ws HTTP/1.1").bytes(), 405},
      {"unknown path", good.to("GET / HTTP/1.1").bytes(), 404},
      {"path above", good.to("GET /v1/../v1/ws HTTP/1.1").bytes(), 404},
      {"double slash", good.to("GET //v1/ws HTTP/1.1").bytes(), 404},
      {"encoded zero byte", good.to("GET /v1/ws%00 HTTP/1.1").bytes(), 404},
      {"9 KiB path", good.to("GET /" + std::string(9 << 10, 'a') + " HTTP/1.1").bytes(), 404},
      {"absolute target", good.to("GET http://127.0.0.1/v1/ws HTTP/1.1").bytes(), 400},
      {"authority target", good.to("CONNECT 127.0.0.1:80 HTTP/1.1").bytes(), 400},
  });
}

TEST(HandshakeTest, RefusesAWrongUpgrade) {
  const Request good;
  const std::string key = "Sec-WebSocket-Key";
  const std::string version = "Sec-WebSocket-Version";
  expect_refusals({
      {"no key", good.without(key).bytes(), 400},
      {"empty key", good.replacing(key, "").bytes(), 400},
      {"short key", good.replacing(key, "AAEC").bytes(), 400},
      {"not base64", good.replacing(key, "AAECAwQFBgcICQoLDA0OD!==").bytes(), 400},
      {"17 bytes", good.replacing(key, "AAECAwQFBgcICQoLDA0ODxA=").bytes(), 400},
      {"padding bits", good.replacing(key, "AAECAwQFBgcICQoLDA0ODx==").bytes(), 400},
      {"two keys", good.with(key + ": AAECAwQFBgcICQoLDA0ODw==").bytes(), 400},
      {"version 8", good.replacing(version, "8").bytes(), 426},
      {"empty version", good.replacing(version, "").bytes(), 426},
      {"two versions in one", good.replacing(version, "13, 8").bytes(), 426},
      {"two versions", good.with(version + ": 13").bytes(), 426},
      {"upgrade to h2c", good.replacing("Upgrade", "h2c").bytes(), 400},
      {"no upgrade in Connection", good.replacing("Connection", "keep-alive").bytes(), 426},
      {"plain GET", "GET /v1/ws HTTP/1.1\r\nHost: localhost\r\n\r\n", 426},
      {"Content-Length", good.with("Content-Length: 5").bytes(), 400},
      {"chunked", good.with("Transfer-Encoding: chunked").bytes(), 400},
      {"gzip", good.with("Transfer-Encoding: gzip").bytes(), 400},
      {"length, then chunked",
       good.with("Content-Length: 5").with("Transfer-Encoding: chunked").bytes(), 400},
      {"chunked, then length",
       good.with("Transfer-Encoding: chunked").with("Content-Length: 5").bytes(), 400},
      {"bytes after the head", good.followed_by("\x81\x80").bytes(), 400},
      {"a second request", good.followed_by(good.bytes()).bytes(), 400},
      {"unknown subprotocol", good.with("Sec-WebSocket-Protocol: graphql-ws").bytes(), 400},
  });
  EXPECT_EQ(ask(good.replacing(version, "8").bytes()).field(version), "13");
}

TEST(HandshakeTest, ChoosesASubprotocol) {
  const std::vector<std::pair<std::string, std::string>> offers = {
      {"", ""},
      {"tidegate.v1.json", "tidegate.v1.json"},
      {"tidegate.v1.proto", "tidegate.v1.proto"},
      {"graphql-ws, tidegate.v1.proto, tidegate.v1.json", "tidegate.v1.proto"},
      {"bearer.abc,tidegate.v1.json", "tidegate.v1.json"},
  };
  for (const auto& [offered, chosen] : offers) {
    SCOPED_TRACE(offered);
    WsClient client = WsClient::connect(gateway().http(), {.protocol = offered});
    EXPECT_EQ(client.reply().field("Sec-WebSocket-Protocol"), chosen);
    EXPECT_EQ(client.reply().field("Sec-WebSocket-Extensions"), "");
    const auto frame = client.read_frame();
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->opcode, chosen == "tidegate.v1.proto" ? Opcode::kBinary : Opcode::kText);
  }
}

TEST(HandshakeTest, NeverNegotiatesCompression) {
  WsClient client = WsClient::connect(
      gateway().http(),
      {.fields = {{"Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"}}});
  EXPECT_EQ(client.reply().field("Sec-WebSocket-Extensions"), "");
  client.expect("welcome");
}

TEST(HandshakeTest, TakesARequestInSingleBytes) {
  TcpClient client(gateway().http());
  for (const char c : Request{}.bytes()) ASSERT_TRUE(client.send({&c, 1}));
  EXPECT_EQ(HttpReply::parse(client.receive().value_or("")).status, 101);
}

TEST(HandshakeTest, EndsASlowOrSilentPeerAfterFiveSeconds) {
  TcpClient silent(gateway().http());
  TcpClient slow(gateway().http());
  slow.send("GET /v1/ws HTTP/1.1\r\nHos");
  // Neither is answered early.
  EXPECT_FALSE(silent.receive(Milliseconds(3'000)));
  slow.send("t");
  EXPECT_EQ(HttpReply::parse(silent.receive_all().value_or("")).status, 408);
  EXPECT_EQ(HttpReply::parse(slow.receive_all().value_or("")).status, 408);
  expect_healthy();
}

TEST(HandshakeTest, SurvivesPeersThatGoInTheMiddle) {
  const std::string bytes = Request{}.bytes();
  for (std::size_t length = 0; length <= bytes.size(); length += 7) {
    TcpClient client(gateway().http());
    client.send(bytes.substr(0, length));
    client.cut();
  }
  TcpClient client(gateway().http());
  client.send(bytes);
  client.cut();
  expect_healthy();
}

TEST(HandshakeTest, RefusesConnectionsAboveTheLimit) {
  GatewayProcess small({.flags = {"--http-max-connections", "2"}});
  std::vector<WsClient> clients;
  for (int i = 0; i < 2; ++i) {
    clients.push_back(WsClient::connect(small.http()));
    clients.back().expect("welcome");
  }
  HttpReply reply;
  EXPECT_FALSE(WsClient::try_connect(small.http(), {}, &reply));
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.field("Retry-After"), "5");
  // One goes, and its place is free.
  clients.front().send_close(1000);
  EXPECT_EQ(clients.front().expect_close(), 1000);
  clients.front().socket().close();
  const Deadline deadline(kPatience);
  while (!WsClient::try_connect(small.http(), {}, &reply) && !deadline.is_over()) {
  }
  EXPECT_EQ(reply.status, 101);
}

TEST(HandshakeTest, PausesWhenDescriptorsRunOutAndRecovers) {
  GatewayProcess small({.wrapper = {"/bin/sh", "-c", "ulimit -n 100; exec \"$@\"", "sh"}});
  std::vector<TcpClient> idle;
  for (int i = 0; i < 150; ++i) idle.emplace_back(small.http());
  idle.clear();
  // Until the gateway has seen that they are gone, one more is one too many, and is cut.
  HttpReply reply;
  std::optional<WsClient> client;
  for (const Deadline deadline(kPatience); !client && !deadline.is_over();)
    client = WsClient::try_connect(small.http(), {}, &reply);
  ASSERT_TRUE(client) << reply.status;
  client->expect("welcome");
  EXPECT_TRUE(small.is_alive());
}

}  // namespace
}  // namespace tidegate::test
