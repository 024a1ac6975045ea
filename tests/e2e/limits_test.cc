// What one address, one subject and all together may have, as seen from outside.

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "tests/support/certificate_authority.h"
#include "tests/support/gateway_process.h"
#include "tests/support/token_issuer.h"
#include "tests/support/ws_client.h"
#include "tidegate/v1/event_service.grpc.pb.h"

namespace tidegate::test {
namespace {

const TokenIssuer& issuer() {
  static const TokenIssuer made;
  return made;
}

std::vector<std::string> with_issuer(std::vector<std::string> flags) {
  for (const std::string& flag : issuer().flags()) flags.push_back(flag);
  return flags;
}

// Connects with these fields and says what came of it.
struct Attempt {
  int status = 0;
  HttpReply reply;
  std::optional<WsClient> client;
};
Attempt attempt(const GatewayProcess& gateway,
                std::vector<std::pair<std::string, std::string>> fields) {
  Attempt made;
  made.client = WsClient::try_connect(gateway.http(), {.fields = std::move(fields)}, &made.reply);
  made.status = made.reply.status;
  return made;
}

TEST(LimitsTest, AnAddressHasSoManyConnections) {
  GatewayProcess gateway({.flags = {"--http-trusted-proxies", "127.0.0.0/8,10.0.0.0/8",
                                    "--limits-connections-per-address", "3"}});
  const auto from = [&](const std::string& chain) {
    return attempt(gateway, {{"X-Forwarded-For", chain}});
  };
  std::vector<Attempt> held;
  for (int i = 0; i < 3; ++i) held.push_back(from("192.0.2.1"));
  for (const Attempt& one : held) EXPECT_EQ(one.status, 101);
  const Attempt refused = from("198.51.100.9, 192.0.2.1, 10.1.1.1");
  EXPECT_EQ(refused.status, 429);
  EXPECT_NE(refused.reply.field("Retry-After"), "");
  EXPECT_EQ(from("192.0.2.2").status, 101);
  // What the client writes itself in front does not help it.
  EXPECT_EQ(from("192.0.2.3, 192.0.2.1").status, 429);
  held.back().client->cut();
  EXPECT_TRUE(eventually([&] { return from("192.0.2.1").status == 101; }));
  // A /64 is one customer.
  for (int i = 0; i < 3; ++i) held.push_back(from(fmt::format("2001:db8::{}", i)));
  EXPECT_EQ(held.back().status, 101);
  EXPECT_EQ(from("2001:db8::ffff").status, 429);
  EXPECT_EQ(from("2001:db8:0:1::1").status, 101);
}

TEST(LimitsTest, NobodyElseIsBelieved) {
  GatewayProcess gateway({.flags = {"--limits-connections-per-address", "2"}});
  std::vector<Attempt> held;
  for (int i = 0; i < 5; ++i) {
    held.push_back(attempt(gateway, {{"X-Forwarded-For", "192.0.2.1"}}));
    EXPECT_EQ(held.back().status, 101);
  }
}

std::string proxy_header(const std::string& four_bytes) {
  std::string header("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", 16);
  return header + four_bytes + std::string("\x7f\0\0\1\x10\x20\x1b\xa8", 8);
}

// Over a connection that has said whose it is.
int upgrade_over(TcpClient& socket, const std::string& address) {
  socket.send("GET /v1/ws HTTP/1.1\r\nHost: " + address +
              "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  std::string bytes;
  while (bytes.find("\r\n\r\n") == std::string::npos) {
    const auto more = socket.receive();
    if (!more || more->empty()) break;
    bytes += *more;
  }
  return HttpReply::parse(bytes).status;
}

TEST(LimitsTest, AProxyMaySayItByTheProxyProtocol) {
  const CertificateAuthority ca;
  const auto files = ca.issue("server");
  for (const bool under_tls : {false, true}) {
    SCOPED_TRACE(under_tls ? "TLS" : "plain");
    std::vector<std::string> flags = {
        "--http-trusted-proxies",           "127.0.0.1", "--http-proxy-protocol", "true",
        "--limits-connections-per-address", "1"};
    if (under_tls) {
      for (const std::string& flag : {std::string("--tls-certificate"), files.certificate,
                                      std::string("--tls-key"), files.key}) {
        flags.push_back(flag);
      }
    }
    GatewayProcess gateway({.flags = flags});
    const auto connect = [&](const std::string& header) {
      auto socket = std::make_unique<TcpClient>(gateway.http());
      socket->send(header);
      if (under_tls) EXPECT_TRUE(socket->start_tls(ca.file()));
      return socket;
    };
    const std::string first("\xc0\0\2\1", 4);
    const std::string second("\xc0\0\2\2", 4);
    const auto one = connect(proxy_header(first));
    EXPECT_EQ(upgrade_over(*one, gateway.http()), 101);
    const auto same = connect(proxy_header(first));
    EXPECT_EQ(upgrade_over(*same, gateway.http()), 429);
    const auto other = connect(proxy_header(second));
    EXPECT_EQ(upgrade_over(*other, gateway.http()), 101);
    TcpClient without(gateway.http());
    EXPECT_EQ(upgrade_over(without, gateway.http()), 400);
  }
}

TEST(LimitsTest, AProxyHeaderFromAnybodyElseIsRefused) {
  GatewayProcess gateway;
  TcpClient socket(gateway.http());
  socket.send(proxy_header("abcd"));
  EXPECT_EQ(HttpReply::parse(socket.receive_all().value_or("")).status, 400);
  TcpClient old(gateway.http());
  old.send("PROXY TCP4 192.0.2.1 127.0.0.1 1000 2000\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(HttpReply::parse(old.receive_all().value_or("")).status, 400);
}

TEST(LimitsTest, ASubjectHasSoManyConnectionsOverBothTransports) {
  GatewayProcess gateway({.flags = with_issuer({"--limits-connections-per-subject", "2"})});
  const std::string token = issuer().token("ann", {"a.>"});
  const auto as = [&](const std::string& by) {
    return attempt(gateway, {{"Authorization", "Bearer " + by}});
  };
  Attempt one = as(token);
  const Attempt two = as(issuer().token("ann", {"a.>"}));
  EXPECT_EQ(one.status, 101);
  EXPECT_EQ(two.status, 101);
  EXPECT_EQ(as(token).status, 429);
  EXPECT_EQ(as(issuer().token("ben", {"a.>"})).status, 101);

  const auto stub = v1::EventService::NewStub(
      grpc::CreateChannel(gateway.grpc(), grpc::InsecureChannelCredentials()));
  const auto subscribe = [&] {
    grpc::ClientContext context;
    context.AddMetadata("authorization", "Bearer " + token);
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    const auto stream = stub->Subscribe(&context);
    v1::SubscribeResponse welcome;
    if (stream->Read(&welcome)) context.TryCancel();
    return stream->Finish().error_code();
  };
  EXPECT_EQ(subscribe(), grpc::RESOURCE_EXHAUSTED);
  one.client->cut();
  EXPECT_TRUE(eventually([&] { return subscribe() == grpc::CANCELLED; }));
}

TEST(LimitsTest, SoManyRequestsASecondAreLookedAt) {
  GatewayProcess gateway({.flags = {"--limits-upgrades-per-second", "3"}});
  std::vector<Attempt> held;
  int refused = 0;
  for (int i = 0; i < 12; ++i) {
    held.push_back(attempt(gateway, {}));
    if (held.back().status == 101) continue;
    EXPECT_EQ(held.back().status, 503);
    EXPECT_NE(held.back().reply.field("Retry-After"), "");
    ++refused;
  }
  EXPECT_GT(refused, 0);
  EXPECT_TRUE(eventually([&] { return attempt(gateway, {}).status == 101; }));
}

TEST(LimitsTest, UnderTlsSoManyConnectionsAre) {
  const CertificateAuthority ca;
  const auto files = ca.issue("server");
  GatewayProcess gateway({.flags = {"--limits-upgrades-per-second", "3", "--tls-certificate",
                                    files.certificate, "--tls-key", files.key}});
  const auto shakes_hands = [&] { return TcpClient(gateway.http()).start_tls(ca.file()); };
  int refused = 0;
  for (int i = 0; i < 12; ++i) refused += shakes_hands() ? 0 : 1;
  EXPECT_GT(refused, 0);
  EXPECT_TRUE(eventually(shakes_hands));
}

// More than there are places for connections without a request: whoever has been silent for longest
// makes room for those that say what they want.
TEST(LimitsTest, SilentConnectionsGiveWay) {
  constexpr int kSilent = 60;
  GatewayProcess gateway({.flags = {"--limits-unfinished-requests", "40"}});
  std::vector<TcpClient> silent;
  silent.reserve(kSilent);
  for (int i = 0; i < kSilent; ++i) silent.emplace_back(gateway.http());
  std::vector<Attempt> held;
  // Those that come faster than room is made are closed.
  EXPECT_TRUE(eventually([&] { return attempt(gateway, {}).status == 101; }));
  for (int i = 0; i < 20; ++i) {
    held.push_back(attempt(gateway, {}));
    EXPECT_EQ(held.back().status, 101) << i;
  }
  EXPECT_EQ(silent.front().receive_all(), "");
}

TEST(LimitsTest, ARequestHasSoMuchTimeAndSoManyBytes) {
  GatewayProcess gateway(
      {.flags = {"--limits-request-ms", "200", "--limits-request-bytes", "1KiB"}});
  TcpClient slow(gateway.http());
  slow.send("GET /v1/ws HTTP/1.1\r\n");
  const HttpReply late = HttpReply::parse(slow.receive_all().value_or(""));
  EXPECT_EQ(late.status, 408);
  EXPECT_NE(late.body.find("200 ms"), std::string::npos) << late.body;
  const Attempt large = attempt(gateway, {{"Cookie", std::string(1024, 'c')}});
  EXPECT_EQ(large.status, 431);
  EXPECT_NE(large.reply.body.find("1024 bytes"), std::string::npos) << large.reply.body;
  EXPECT_EQ(attempt(gateway, {{"Cookie", std::string(256, 'c')}}).status, 101);
}

TEST(LimitsTest, AConnectionHasSoManySubscriptions) {
  GatewayProcess gateway({.flags = {"--limits-subscriptions", "2"}});
  WsClient client = WsClient::connect(gateway.http());
  EXPECT_NE(client.expect("welcome").find(R"("subscriptions":2)"), std::string::npos);
  const auto subscribe = [&](int id) {
    client.send_text(fmt::format(R"({{"op":"subscribe","id":"{}","streams":["a.b"]}})", id));
  };
  for (const int id : {1, 2}) {
    subscribe(id);
    client.expect("subscribed");
    client.expect("caught_up");
  }
  subscribe(3);
  EXPECT_EQ(json_field(client.expect("error"), "code"), "limit");
}

TEST(LimitsTest, AMessageHasSoManyBytesOverBothTransports) {
  GatewayProcess gateway({.flags = with_issuer({"--limits-message-bytes", "2KiB",
                                                "--limits-publisher-message-bytes", "4KiB"})});
  const std::string reader = issuer().token("ann", {"a.>"});
  const std::string publisher = issuer().token("ben", {"a.>"}, {"a.>"});
  const auto stub = v1::EventService::NewStub(
      grpc::CreateChannel(gateway.grpc(), grpc::InsecureChannelCredentials()));
  // Whether a ping with so many spaces behind it is answered, or ends the connection.
  const auto tell = [&](const std::string& token, std::size_t bytes) {
    Attempt made = attempt(gateway, {{"Authorization", "Bearer " + token}});
    EXPECT_EQ(made.status, 101);
    made.client->expect("welcome");
    made.client->send_text(R"({"op":"ping"})" + std::string(bytes, ' '));
    const auto message = made.client->read_message();
    const bool is_taken = message && json_field(*message, "op") == "pong";
    if (!is_taken) EXPECT_EQ(made.client->expect_close(), 1009);
    return is_taken;
  };
  // Whether a message with an identifier of so many bytes is, which no subscription has.
  const auto tell_by_grpc = [&](const std::string& token, std::size_t bytes) {
    grpc::ClientContext context;
    context.AddMetadata("authorization", "Bearer " + token);
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    const auto stream = stub->Subscribe(&context);
    v1::SubscribeRequest request;
    request.mutable_message()->mutable_unsubscribe()->set_id(std::string(bytes, 'x'));
    stream->Write(request);
    v1::SubscribeResponse response;
    bool is_taken = false;
    while (!is_taken && stream->Read(&response)) is_taken = response.message().has_error();
    if (is_taken) context.TryCancel();
    const grpc::Status end = stream->Finish();
    if (!is_taken) EXPECT_EQ(end.error_code(), grpc::INVALID_ARGUMENT) << end.error_message();
    return is_taken;
  };
  EXPECT_TRUE(tell(reader, 1500));
  EXPECT_FALSE(tell(reader, 3000));
  EXPECT_TRUE(tell(publisher, 3000));
  EXPECT_FALSE(tell(publisher, 5000));
  EXPECT_TRUE(tell_by_grpc(reader, 1500));
  EXPECT_FALSE(tell_by_grpc(reader, 3000));
  EXPECT_TRUE(tell_by_grpc(publisher, 3000));
  EXPECT_FALSE(tell_by_grpc(publisher, 5000));
}

// Publishes new events to one stream, each time with other ids.
class QuotaPublisher {
 public:
  explicit QuotaPublisher(const GatewayProcess& gateway)
      : stub_(v1::EventService::NewStub(
            grpc::CreateChannel(gateway.grpc(), grpc::InsecureChannelCredentials()))) {}

  grpc::Status publish(const std::string& subject, int events, std::size_t data_bytes = 0) {
    v1::PublishRequest request;
    for (int i = 0; i < events; ++i) {
      v1::NewEvent& added = *request.add_events();
      added.set_stream("a.b");
      v1::CloudEvent& event = *added.mutable_event();
      event.set_id(fmt::format("{}", ++last_id_));
      event.set_source("test");
      event.set_type("t");
      event.set_text_data('"' + std::string(data_bytes, 'x') + '"');
    }
    grpc::ClientContext context;
    context.AddMetadata("authorization", "Bearer " + issuer().token(subject, {}, {"a.>"}));
    v1::PublishResponse response;
    return stub_->Publish(&context, request, &response);
  }

 private:
  std::unique_ptr<v1::EventService::Stub> stub_;
  int last_id_ = 0;
};

TEST(LimitsTest, APublisherHasAQuota) {
  GatewayProcess gateway({.flags = with_issuer({"--limits-publish-events-per-second", "20"})});
  QuotaPublisher publisher(gateway);
  grpc::Status last;
  const auto publish = [&](const std::string& subject, int events) {
    last = publisher.publish(subject, events);
    return last.error_code();
  };
  // More than a second's worth passes once, and is paid for afterwards: for two seconds, which are
  // not over before the next line also where other tests run.
  EXPECT_EQ(publish("ann", 60), grpc::OK);
  EXPECT_EQ(publish("ann", 1), grpc::RESOURCE_EXHAUSTED);
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(last.error_details()));
  bool has_delay = false;
  for (const auto& any : details.details()) {
    google::rpc::RetryInfo retry;
    if (!any.UnpackTo(&retry)) continue;
    has_delay = retry.retry_delay().seconds() > 0 || retry.retry_delay().nanos() > 0;
  }
  EXPECT_TRUE(has_delay);
  EXPECT_EQ(publish("ben", 1), grpc::OK);
  EXPECT_TRUE(eventually([&] { return publish("ann", 1) == grpc::OK; }));
}

// Reads the events of a subscription from the start up to `last`, each in its place.
void expect_every_event(WsClient& client, std::uint64_t last) {
  std::uint64_t seen = 0;
  while (seen < last) {
    const auto message = client.read_message();
    ASSERT_TRUE(message) << "after event " << seen;
    if (json_field(*message, "op") != "events") continue;
    constexpr std::string_view kField = "\"sequence\":";
    for (std::size_t at = 0; (at = message->find(kField, at)) != std::string::npos; ++at) {
      ASSERT_EQ(std::stoull(message->substr(at + kField.size(), 20)), ++seen);
    }
  }
}

TEST(LimitsTest, AReplayIsNotFasterThanItsSubjectMayRead) {
  constexpr int kRate = 1'000'000;
  constexpr int kChunk = 1024;  // events that are read at once
  constexpr int kDataBytes = 500;
  GatewayProcess gateway(
      {.flags = with_issuer({"--limits-replay-bytes-per-second", std::to_string(kRate)})});
  QuotaPublisher publisher(gateway);
  for (int i = 0; i < 6 * kChunk; i += kChunk / 2) {
    const grpc::Status published = publisher.publish("ann", kChunk / 2, kDataBytes);
    ASSERT_TRUE(published.ok()) << published.error_message();
  }
  // Afterwards none of them is in memory.
  EXPECT_EQ(gateway.terminate(), 0);
  gateway.start();
  const auto begun = std::chrono::steady_clock::now();
  Attempt ann = attempt(gateway, {{"Authorization", "Bearer " + issuer().token("ann", {"a.>"})}});
  ASSERT_EQ(ann.status, 101);
  ann.client->expect("welcome");
  ann.client->send_text(R"({"op":"subscribe","id":"s","streams":["a.>"],"from":"start"})");
  ann.client->expect("subscribed");
  expect_every_event(*ann.client, 6 * kChunk);
  const auto took = std::chrono::steady_clock::now() - begun;
  // A second's worth may come at once. The last chunk comes when those before it are paid for.
  EXPECT_GE(took, std::chrono::milliseconds((5LL * kChunk * kDataBytes - kRate) * 1000 / kRate));
}

TEST(LimitsTest, NearTheCeilingOfMemoryNobodyNewIsTaken) {
  GatewayProcess gateway({.flags = {"--limits-memory-bytes", "1MiB"}});
  EXPECT_TRUE(eventually([&] { return attempt(gateway, {}).status == 503; }));
  const HttpReply ready = http_get(gateway.admin(), "/readyz");
  EXPECT_EQ(ready.status, 200);
  EXPECT_NE(ready.body.find("memory is short"), std::string::npos) << ready.body;
  EXPECT_NE(gateway.stderr_text().find("memory pressure has changed"), std::string::npos);
}

}  // namespace
}  // namespace tidegate::test
