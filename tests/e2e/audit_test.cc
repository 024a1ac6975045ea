// The audit log: who was let in, refused, denied, and what operators did.

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "tests/support/gateway_process.h"
#include "tests/support/token_issuer.h"
#include "tests/support/ws_client.h"
#include "tidegate/v1/admin_service.grpc.pb.h"
#include "tidegate/v1/event_service.grpc.pb.h"
#include "tidegate/v1/projection_service.grpc.pb.h"

namespace tidegate::test {
namespace {

class AuditTest : public testing::Test {
 protected:
  std::string file() const { return files_.file("audit.jsonl"); }
  std::vector<std::string> lines() const {
    std::istringstream text(read_file(file()));
    std::vector<std::string> all;
    for (std::string line; std::getline(text, line);) all.push_back(line);
    return all;
  }
  // Whether a line has all of these.
  bool has_line(const std::vector<std::string>& parts) const {
    const auto all = lines();
    return std::any_of(all.begin(), all.end(), [&](const std::string& line) {
      return std::all_of(parts.begin(), parts.end(), [&](const std::string& part) {
        return line.find(part) != std::string::npos;
      });
    });
  }
  GatewayProcess::Options options() const {
    std::vector<std::string> flags = issuer_.flags();
    flags.insert(flags.end(), {"--logging-audit-file", file()});
    return {.flags = flags};
  }
  static WsOptions by(const std::string& token) {
    return {.fields = {{"Authorization", "Bearer " + token}}};
  }

  const TokenIssuer issuer_;
  const TempDir files_;
};

TEST_F(AuditTest, TellsWhoDidAndTriedWhat) {
  GatewayProcess gateway(options());
  const std::string reader = issuer_.token("reader", {"a.>"});
  const std::string admin = issuer_.token("root", {}, {}, true);
  const std::string forged = TokenIssuer().token("forger", {">"});
  WsClient client = WsClient::connect(gateway.http(), by(reader));
  client.expect("welcome");
  client.send_text(R"({"op":"subscribe","id":"s","streams":["secret.>"]})");
  client.expect("error");
  HttpReply reply;
  EXPECT_FALSE(WsClient::try_connect(gateway.http(), by(forged), &reply));

  const auto channel = grpc::CreateChannel(gateway.grpc(), grpc::InsecureChannelCredentials());
  const auto call_admin = [&](const std::string& token) {
    grpc::ClientContext context;
    context.AddMetadata("authorization", "Bearer " + token);
    v1::GetLogResponse response;
    return v1::AdminService::NewStub(channel)
        ->GetLog(&context, v1::GetLogRequest(), &response)
        .error_code();
  };
  EXPECT_EQ(call_admin(admin), grpc::OK);
  EXPECT_EQ(call_admin(reader), grpc::PERMISSION_DENIED);
  EXPECT_EQ(call_admin(forged), grpc::UNAUTHENTICATED);
  grpc::ClientContext deleting;
  deleting.AddMetadata("authorization", "Bearer " + admin);
  v1::DeleteProjectionRequest doomed;
  doomed.set_name("delays");
  v1::DeleteProjectionResponse deleted;
  EXPECT_EQ(v1::ProjectionService::NewStub(channel)
                ->DeleteProjection(&deleting, doomed, &deleted)
                .error_code(),
            grpc::NOT_FOUND);

  EXPECT_TRUE(has_line({R"("event":"authenticated")", R"("client":"127.0.0.1")",
                        R"("subject":"reader")", "WebSocket"}));
  EXPECT_TRUE(has_line({R"("event":"denied")", R"("subject":"reader")", "secret.>"}));
  EXPECT_TRUE(has_line({R"("event":"refused")", R"("client":"127.0.0.1")"}));
  EXPECT_TRUE(has_line({R"("event":"admin")", R"("subject":"root")", R"("detail":"GetLog")"}));
  EXPECT_TRUE(has_line({R"("event":"admin")", R"("subject":"root")", "DeleteProjection delays"}));
  EXPECT_TRUE(has_line({R"("event":"denied")", R"("subject":"reader")", "administration"}));
  EXPECT_TRUE(has_line({R"("event":"refused")", "ipv4:127.0.0.1:"}));
  for (const std::string& token : {reader, admin, forged}) {
    EXPECT_EQ(read_file(file()).find(token.substr(token.rfind('.') + 1)), std::string::npos);
  }
  for (const std::string& line : lines()) {
    EXPECT_TRUE(line.starts_with(R"({"time":"2)") && line.ends_with("}")) << line;
  }
  const auto permissions = std::filesystem::status(file()).permissions();
  EXPECT_EQ(permissions & std::filesystem::perms::others_all, std::filesystem::perms::none);
  EXPECT_EQ(permissions & std::filesystem::perms::group_all, std::filesystem::perms::none);
}

TEST_F(AuditTest, ATextOfAPeerForgesNoLine) {
  GatewayProcess gateway(options());
  // The subject is whatever the issuer was told.
  const std::string subject = "ann\",\"event\":\"admin \xc3\xa9" + std::string(200, 'x');
  WsClient client = WsClient::connect(gateway.http(), by(issuer_.token(subject, {"a"})));
  client.expect("welcome");
  const auto all = lines();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_NE(all[0].find(R"("subject":"ann\",\"event\":\"admin \\xc3\\xa9)"), std::string::npos)
      << all[0];
}

TEST_F(AuditTest, BeginsANewFileOnSighup) {
  GatewayProcess gateway(options());
  WsClient::connect(gateway.http(), by(issuer_.token("ann", {"a"}))).expect("welcome");
  std::filesystem::rename(file(), file() + ".1");
  gateway.process().signal(SIGHUP);
  EXPECT_TRUE(eventually([&] { return std::filesystem::exists(file()); }));
  EXPECT_TRUE(eventually([&] { return has_line({R"("event":"reloaded")"}); }));
  WsClient::connect(gateway.http(), by(issuer_.token("ben", {"a"}))).expect("welcome");
  EXPECT_TRUE(has_line({R"("subject":"ben")"}));
  EXPECT_FALSE(has_line({R"("subject":"ann")"}));
}

TEST_F(AuditTest, AFloodIsCountedRatherThanKept) {
  GatewayProcess gateway(options());
  for (int i = 0; i < 1500; ++i) {
    TcpClient socket(gateway.http());
    socket.send("GET /v1/ws HTTP/1.1\r\nHost: " + gateway.http() +
                "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    ASSERT_EQ(HttpReply::parse(socket.receive_all().value_or("")).status, 401);
  }
  EXPECT_LT(lines().size(), 1500U);
  EXPECT_TRUE(eventually([&] {
    HttpReply reply;
    WsClient::try_connect(gateway.http(), {}, &reply);
    return has_line({R"("missing_before":)"});
  }));
}

}  // namespace
}  // namespace tidegate::test
