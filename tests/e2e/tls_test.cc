// TLS on every listener, certificates of clients, and the exchange of the gateway's own.

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include "tests/support/certificate_authority.h"
#include "tests/support/gateway_process.h"
#include "tests/support/tls_client.h"
#include "tests/support/token_issuer.h"
#include "tests/support/ws_client.h"
#include "tidegate/v1/admin_service.grpc.pb.h"
#include "tidegate/v1/event_service.grpc.pb.h"

namespace tidegate::test {
namespace {

using Files = CertificateAuthority::Files;

std::vector<std::string> tls_flags(const Files& files) {
  return {"--tls-certificate", files.certificate, "--tls-key", files.key};
}

std::vector<std::string> operator+(std::vector<std::string> flags,
                                   const std::vector<std::string>& more) {
  flags.insert(flags.end(), more.begin(), more.end());
  return flags;
}

// A channel under TLS; `files` of the client's own certificate.
std::shared_ptr<grpc::Channel> channel(const std::string& address, const std::string& ca_file,
                                       const Files& files = {}) {
  grpc::SslCredentialsOptions options{
      .pem_root_certs = read_file(ca_file), .pem_private_key = "", .pem_cert_chain = ""};
  if (!files.key.empty()) {
    options.pem_private_key = read_file(files.key);
    options.pem_cert_chain = read_file(files.certificate);
  }
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address, grpc::SslCredentials(options), arguments);
}

grpc::Status publish(const std::shared_ptr<grpc::Channel>& channel, const std::string& stream,
                     const std::string& token = "", int events = 1, std::size_t size = 10) {
  v1::PublishRequest request;
  for (int i = 0; i < events; ++i) {
    v1::NewEvent& added = *request.add_events();
    added.set_stream(stream);
    v1::CloudEvent& event = *added.mutable_event();
    event.set_id(fmt::format("{}-{}-{}", stream, i, size));
    event.set_source("test");
    event.set_type("t");
    event.set_binary_data(std::string(size, 'x'));
  }
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  if (!token.empty()) context.AddMetadata("authorization", "Bearer " + token);
  v1::PublishResponse response;
  return v1::EventService::NewStub(channel)->Publish(&context, request, &response);
}

// What the listener shows at the moment.
std::string serial_of(const std::string& address, const std::string& ca_file) {
  const TcpClient socket(address);
  const TlsClient client(socket, {.ca_file = ca_file});
  EXPECT_EQ(client.error(), "");
  return client.server_serial();
}

TEST(TlsTest, EveryListenerSpeaksIt) {
  const CertificateAuthority ca;
  GatewayProcess gateway({.flags = tls_flags(ca.issue("server"))});
  WsClient client = WsClient::connect(gateway.http(), {.ca_file = ca.file()});
  EXPECT_NE(client.expect("welcome"), "");
  EXPECT_TRUE(publish(channel(gateway.grpc(), ca.file()), "a.b").ok());
  client.send_text(R"({"op":"subscribe","id":"s","streams":["a.b"],"after":0})");
  EXPECT_NE(client.expect("subscribed"), "");
  EXPECT_NE(client.expect("events"), "");
  client.expect("caught_up");
  client.send_close(1000);
  EXPECT_EQ(client.expect_close(), 1000);
  EXPECT_EQ(http_get(gateway.admin(), "/livez", ca.file()).status, 200);
  EXPECT_EQ(gateway.terminate(), 0);
}

// Subscribes to so many events as sockets do not hold, and does not read them.
constexpr int kManyEvents = 2400;
WsClient subscribe_to_much(const GatewayProcess& gateway, const std::string& ca_file) {
  constexpr int kBatchEvents = 100;
  const auto grpc_channel = channel(gateway.grpc(), ca_file);
  for (int i = 0; i < kManyEvents / kBatchEvents; ++i) {
    const std::string stream = fmt::format("big.{}", i);
    EXPECT_TRUE(publish(grpc_channel, stream, "", kBatchEvents, 5000 + 100 * i).ok());
  }
  WsClient client = WsClient::connect(gateway.http(), {.ca_file = ca_file});
  client.expect("welcome");
  client.send_text(R"({"op":"subscribe","id":"s","streams":["big.>"],"after":0})");
  client.expect("subscribed");
  return client;
}

TEST(TlsTest, CarriesAnyAmountToAReaderThatTakesItsTime) {
  const CertificateAuthority ca;
  GatewayProcess gateway({.flags = tls_flags(ca.issue("server"))});
  WsClient client = subscribe_to_much(gateway, ca.file());
  // It does not read until the gateway cannot write any more.
  ASSERT_TRUE(eventually([&] {
    return http_get(gateway.admin(), "/metrics", ca.file())
               .body.find("tidegate_subscribers_behind 1") != std::string::npos;
  }));
  int seen = 0;
  while (seen < kManyEvents) {
    const auto message = client.read_message();
    ASSERT_TRUE(message) << "after " << seen << " events";
    if (json_field(*message, "op") != "events") continue;
    for (std::size_t at = 0; (at = message->find("\"revision\":", at)) != std::string::npos; ++at)
      ++seen;
  }
  EXPECT_EQ(seen, kManyEvents);
}

TEST(TlsTest, WhoAsksForNewKeysAndDoesNotReadIsEnded) {
  const CertificateAuthority ca;
  // A message that comes a byte at a time: the gateway has something to read beside each request.
  const std::string message =
      make_frame(Opcode::kText, R"({"op":"ping","x":")" + std::string(60'000, 'x') + "\"}");
  for (const bool with_data : {false, true}) {
    SCOPED_TRACE(with_data ? "with data" : "alone");
    GatewayProcess gateway({.flags = tls_flags(ca.issue("server"))});
    WsClient client = subscribe_to_much(gateway, ca.file());
    // Each answer is 27 bytes that the gateway has to keep.
    constexpr std::size_t kFlood = 50'000;
    std::size_t asked = 0;
    while (asked < kFlood && client.socket().tls()->ask_for_new_keys()) {
      if (with_data && !client.send_raw({&message[asked % message.size()], 1})) break;
      ++asked;
    }
    EXPECT_LT(asked, kFlood);
    EXPECT_TRUE(eventually([&] {
      return http_get(gateway.admin(), "/metrics", ca.file())
                 .body.find("tidegate_subscriptions 0") != std::string::npos;
    }));
    WsClient other = WsClient::connect(gateway.http(), {.ca_file = ca.file()});
    EXPECT_NE(other.expect("welcome"), "");
    EXPECT_TRUE(gateway.is_alive());
  }
}

TEST(TlsTest, RefusesPlainTextAndOldVersions) {
  const CertificateAuthority ca;
  GatewayProcess gateway({.flags = tls_flags(ca.issue("server"))});
  for (const std::string& address : {gateway.http(), gateway.admin()}) {
    TcpClient plain(address);
    plain.send("GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    const std::string answer = plain.receive_all().value_or("it stays open");
    EXPECT_EQ(answer.find("HTTP/"), std::string::npos) << answer;
    const TcpClient old(address);
    EXPECT_NE(TlsClient(old, {.ca_file = ca.file(), .version_max = TLS1_1_VERSION}).error(), "");
    const TcpClient older_but_good(address);
    EXPECT_EQ(
        TlsClient(older_but_good, {.ca_file = ca.file(), .version_max = TLS1_2_VERSION}).error(),
        "");
  }
  // A client that speaks TLS to a listener without it learns so too.
  GatewayProcess bare;
  TcpClient hello(bare.http());
  EXPECT_FALSE(hello.start_tls(ca.file()));
  EXPECT_TRUE(gateway.is_alive());
  EXPECT_TRUE(bare.is_alive());
}

TEST(TlsTest, ACertificateIsExchangedWhileConnectionsGoOn) {
  const CertificateAuthority ca;
  GatewayProcess gateway({.flags = tls_flags(ca.issue("server"))});
  WsClient client = WsClient::connect(gateway.http(), {.ca_file = ca.file()});
  client.expect("welcome");
  const std::vector<std::string> listeners = {gateway.http(), gateway.grpc(), gateway.admin()};
  const std::string before = serial_of(gateway.http(), ca.file());
  ca.issue("server");
  gateway.process().signal(SIGHUP);
  for (const std::string& address : listeners) {
    EXPECT_TRUE(eventually([&] { return serial_of(address, ca.file()) != before; })) << address;
  }
  const std::string now = serial_of(gateway.http(), ca.file());
  client.send_text(R"({"op":"ping"})");
  EXPECT_NE(client.expect("pong"), "");

  // What cannot be used is said and counted, and changes nothing.
  const Files other = ca.issue("other");
  std::filesystem::copy_file(
      other.certificate, std::filesystem::path(other.certificate).replace_filename("server.pem"),
      std::filesystem::copy_options::overwrite_existing);
  gateway.process().signal(SIGHUP);
  EXPECT_TRUE(eventually([&] {
    return http_get(gateway.admin(), "/metrics", ca.file())
               .body.find("tidegate_reload_failures_total 1") != std::string::npos;
  }));
  EXPECT_NE(gateway.stderr_text().find("is not the key of the certificate"), std::string::npos);
  for (const std::string& address : listeners) EXPECT_EQ(serial_of(address, ca.file()), now);
}

struct BadFiles {
  const char* name;
  std::function<void(const CertificateAuthority&, Files&)> spoil;
  const char* says;
};

class TlsStartTest : public testing::TestWithParam<BadFiles> {};

TEST_P(TlsStartTest, DoesNotStartWith) {
  const CertificateAuthority ca;
  Files files = ca.issue("server");
  GetParam().spoil(ca, files);
  const TempDir data;
  const Finished run =
      run_program({tidegated_path(), "--data", data.path().string(), "--http", "127.0.0.1:0",
                   "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--tls-certificate",
                   files.certificate, "--tls-key", files.key});
  EXPECT_EQ(run.exit_code, 78);
  EXPECT_NE(run.stderr_text.find(GetParam().says), std::string::npos) << run.stderr_text;
  EXPECT_EQ(run.stderr_text.find("PRIVATE"), std::string::npos);
}

const BadFiles kBadFiles[] = {
    {"AnotherKey",
     [](const CertificateAuthority& ca, Files& files) { files.key = ca.issue("other").key; },
     "is not the key of the certificate"},
    {"AnExpiredCertificate",
     [](const CertificateAuthority& ca, Files& files) {
       files = ca.issue("old", {.ends_in_s = -60});
     },
     "expired"},
    {"ACertificateOfTheFuture",
     [](const CertificateAuthority& ca, Files& files) {
       files = ca.issue("new", {.begins_in_s = 600});
     },
     "is valid only in"},
    {"NoCertificate",
     [](const CertificateAuthority&, Files& files) {
       files.certificate = "/nonexistent/server.pem";
     },
     "/nonexistent/server.pem"},
    {"AKeyThatOthersMayRead",
     [](const CertificateAuthority&, Files& files) {
       std::filesystem::permissions(files.key, std::filesystem::perms::others_read,
                                    std::filesystem::perm_options::add);
     },
     "chmod 600"},
    {"AKeyForACertificate",
     [](const CertificateAuthority&, Files& files) { files.certificate = files.key; },
     "does not begin with a certificate"},
    {"ADamagedKey",
     [](const CertificateAuthority&, Files& files) {
       std::string text = read_file(files.key);
       text[60] = text[60] == 'A' ? 'B' : 'A';
       std::ofstream(files.key, std::ios::trunc) << text;
     },
     "has no private key"},
};

INSTANTIATE_TEST_SUITE_P(Files, TlsStartTest, testing::ValuesIn(kBadFiles),
                         [](const auto& test) { return std::string(test.param.name); });

// --------------------------------------------------------------------- certificates of clients

class ClientCertificateTest : public testing::Test {
 protected:
  static std::vector<std::string> flags() {
    return tls_flags(ca().issue("server")) +
           std::vector<std::string>{"--tls-client-ca", ca().file(), "--auth-certificates",
                                    R"([{san = "spiffe://prod/orders", publish = ["orders.>"]},)"
                                    R"({san = "admin.example", admin = true}])"} +
           issuer().flags();
  }
  static const CertificateAuthority& ca() {
    static const CertificateAuthority made;
    return made;
  }
  static const TokenIssuer& issuer() {
    static const TokenIssuer made;
    return made;
  }
  static GatewayProcess& gateway() {
    static GatewayProcess process({.flags = flags()});
    return process;
  }
  static Files client(const std::string& names) { return ca().issue("client", {.names = names}); }
  static grpc::StatusCode publish_with(const Files& files, const std::string& stream,
                                       const std::string& token = "") {
    return publish(channel(gateway().grpc(), ca().file(), files), stream, token).error_code();
  }
};

TEST_F(ClientCertificateTest, PublishesWhatItsRolePermits) {
  const Files orders = client("URI:spiffe://prod/orders");
  EXPECT_EQ(publish_with(orders, "orders.eu"), grpc::OK);
  EXPECT_EQ(publish_with(orders, "chat"), grpc::PERMISSION_DENIED);
  // Another name of the same certificate has the role.
  EXPECT_EQ(publish_with(client("DNS:x.example,URI:spiffe://prod/orders"), "orders.us"), grpc::OK);
}

TEST_F(ClientCertificateTest, NamesAreComparedAsAWhole) {
  for (const char* names :
       {"URI:spiffe://prod/orders2", "URI:spiffe://prod/order", "URI:SPIFFE://prod/orders",
        "DNS:prod.example", "DNS:sub.admin.example", "IP:127.0.0.1"}) {
    EXPECT_EQ(publish_with(client(names), "orders.eu"), grpc::UNAUTHENTICATED) << names;
  }
}

TEST_F(ClientCertificateTest, IsNotNeededByWhoHasAToken) {
  const std::string token = issuer().token("ann", {}, {"chat"});
  EXPECT_EQ(publish_with({}, "chat", token), grpc::OK);
  EXPECT_EQ(publish_with({}, "chat"), grpc::UNAUTHENTICATED);
  // The token counts where both are there.
  const Files orders = client("URI:spiffe://prod/orders");
  EXPECT_EQ(publish_with(orders, "chat", token), grpc::OK);
  EXPECT_EQ(publish_with(orders, "orders.eu", token), grpc::PERMISSION_DENIED);
}

TEST_F(ClientCertificateTest, MustBeSignedByTheCaAndInItsTime) {
  const CertificateAuthority stranger;
  const std::string names = "URI:spiffe://prod/orders";
  EXPECT_EQ(publish_with(stranger.issue("client", {.names = names}), "orders.eu"),
            grpc::UNAVAILABLE);
  EXPECT_EQ(publish_with(ca().issue("client", {.names = names, .ends_in_s = -60}), "orders.eu"),
            grpc::UNAVAILABLE);
  EXPECT_EQ(publish_with(client(names), "orders.eu"), grpc::OK);
}

TEST_F(ClientCertificateTest, CanBeRevokedByItsName) {
  const Files orders = client("URI:spiffe://prod/orders");
  GatewayProcess own({.flags = flags()});
  EXPECT_TRUE(publish(channel(own.grpc(), ca().file(), orders), "orders.a").ok());
  v1::RevokeTokensRequest request;
  request.set_subject("spiffe://prod/orders");
  request.mutable_until()->set_seconds(wall_now_s() + 3600);
  grpc::ClientContext context;
  v1::RevokeTokensResponse response;
  const auto admin =
      v1::AdminService::NewStub(channel(own.grpc(), ca().file(), client("DNS:admin.example")));
  const grpc::Status revoked = admin->RevokeTokens(&context, request, &response);
  EXPECT_TRUE(revoked.ok()) << revoked.error_message();
  EXPECT_EQ(publish(channel(own.grpc(), ca().file(), orders), "orders.b").error_code(),
            grpc::PERMISSION_DENIED);
}

TEST_F(ClientCertificateTest, TheCommandLineToolSpeaksIt) {
  const Files orders = client("URI:spiffe://prod/orders");
  const std::vector<std::string> publish_command = {
      tidegate_path(), "publish", "orders.cli", "--type",        "t",
      "--data",        "{}",      "--server",   gateway().grpc()};
  const Finished good = run_program(
      publish_command + std::vector<std::string>{"--tls-ca", ca().file(), "--tls-cert",
                                                 orders.certificate, "--tls-key", orders.key});
  EXPECT_EQ(good.exit_code, 0) << good.stderr_text;
  const Finished nobody =
      run_program(publish_command + std::vector<std::string>{"--tls-ca", ca().file()});
  EXPECT_EQ(nobody.exit_code, 5) << nobody.stderr_text;
  const Finished plain = run_program(publish_command);
  EXPECT_EQ(plain.exit_code, 6) << plain.stderr_text;
  const Finished half =
      run_program(publish_command + std::vector<std::string>{"--tls-ca", ca().file(), "--tls-cert",
                                                             orders.certificate});
  EXPECT_EQ(half.exit_code, 2) << half.stderr_text;
}

}  // namespace
}  // namespace tidegate::test
