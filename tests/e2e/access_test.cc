// Who may call what: every method of the API and every page, by everybody.

#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "tests/support/gateway_process.h"
#include "tests/support/token_issuer.h"
#include "tests/support/ws_client.h"
#include "tidegate/v1/admin_service.pb.h"
#include "tidegate/v1/cursor_service.pb.h"
#include "tidegate/v1/event_service.grpc.pb.h"
#include "tidegate/v1/projection_service.grpc.pb.h"
#include "tidegate/v1/stream_service.grpc.pb.h"

namespace tidegate::test {
namespace {

const TokenIssuer& issuer() {
  static const TokenIssuer made;
  return made;
}

GatewayProcess& gateway() {
  static GatewayProcess process({.flags = [] {
    std::vector<std::string> flags = issuer().flags();
    flags.insert(flags.end(), {"--projections-built-in", "true"});
    return flags;
  }()});
  return process;
}

// Everybody, with the token that they send; an empty one is not sent.
const std::map<std::string, std::string>& everybody() {
  static const std::map<std::string, std::string> tokens = [] {
    JwtClaims expired = issuer().claims("late", {">"}, {">"}, true);
    expired.expires_s = wall_now_s() - 31;
    const TokenIssuer stranger("https://elsewhere.example");
    // The right name, signed with another key.
    const TokenIssuer forger;
    return std::map<std::string, std::string>{
        {"nobody", ""},
        {"garbage", "a.b.c"},
        {"expired", issuer().sign(expired)},
        {"stranger", stranger.token("s", {">"}, {">"}, true)},
        {"forger", forger.token("s", {">"}, {">"}, true)},
        {"reader", issuer().token("reader", {"a.>"})},
        {"publisher", issuer().token("publisher", {}, {"a.>"})},
        {"admin", issuer().token("admin", {}, {}, true)},
    };
  }();
  return tokens;
}

bool is_known(const std::string& who) {
  return who == "reader" || who == "publisher" || who == "admin";
}

// Who is let in, by method. A new method without a row fails the test.
// Without patterns a read asks for every stream, which is more than anybody's grants here.
enum class Rule { kAnyToken, kWholeLog, kPublisher, kAdmin };
const std::map<std::string, Rule> kRules = {
    {"tidegate.v1.EventService.Publish", Rule::kPublisher},
    {"tidegate.v1.EventService.PublishPipeline", Rule::kPublisher},
    {"tidegate.v1.EventService.Read", Rule::kWholeLog},
    {"tidegate.v1.EventService.Subscribe", Rule::kAnyToken},
    {"tidegate.v1.StreamService.ListStreams", Rule::kAnyToken},
    {"tidegate.v1.StreamService.GetStream", Rule::kAnyToken},
    {"tidegate.v1.CursorService.ListCursors", Rule::kAnyToken},
    {"tidegate.v1.CursorService.GetCursor", Rule::kAnyToken},
    {"tidegate.v1.CursorService.SeekCursor", Rule::kAnyToken},
    {"tidegate.v1.CursorService.DeleteCursor", Rule::kAnyToken},
    {"tidegate.v1.ProjectionService.ApplyProjection", Rule::kAdmin},
    {"tidegate.v1.ProjectionService.TestProjection", Rule::kAdmin},
    {"tidegate.v1.ProjectionService.ListProjections", Rule::kAnyToken},
    {"tidegate.v1.ProjectionService.GetProjection", Rule::kAnyToken},
    {"tidegate.v1.ProjectionService.PauseProjection", Rule::kAdmin},
    {"tidegate.v1.ProjectionService.ResumeProjection", Rule::kAdmin},
    {"tidegate.v1.ProjectionService.RebuildProjection", Rule::kAdmin},
    {"tidegate.v1.ProjectionService.RollbackProjection", Rule::kAdmin},
    {"tidegate.v1.ProjectionService.RetryProjection", Rule::kAdmin},
    {"tidegate.v1.ProjectionService.SkipProjectionEvent", Rule::kAdmin},
    {"tidegate.v1.ProjectionService.DeleteProjection", Rule::kAdmin},
    {"tidegate.v1.ProjectionService.QueryProjection", Rule::kAnyToken},
    {"tidegate.v1.ProjectionService.WatchProjection", Rule::kAnyToken},
    {"tidegate.v1.AdminService.GetStatus", Rule::kAdmin},
    {"tidegate.v1.AdminService.GetLog", Rule::kAdmin},
    {"tidegate.v1.AdminService.VerifyLog", Rule::kAdmin},
    {"tidegate.v1.AdminService.TrimLog", Rule::kAdmin},
    {"tidegate.v1.AdminService.RevokeTokens", Rule::kAdmin},
};

grpc::StatusCode expected(Rule rule, const std::string& who) {
  if (!is_known(who)) return grpc::UNAUTHENTICATED;
  if (rule == Rule::kWholeLog) return grpc::PERMISSION_DENIED;
  if (rule == Rule::kPublisher && who != "publisher") return grpc::PERMISSION_DENIED;
  if (rule == Rule::kAdmin && who != "admin") return grpc::PERMISSION_DENIED;
  return grpc::OK;
}

std::vector<const google::protobuf::MethodDescriptor*> all_methods() {
  std::vector<const google::protobuf::MethodDescriptor*> methods;
  for (const google::protobuf::FileDescriptor* file :
       {v1::PublishRequest::descriptor()->file(), v1::ListStreamsRequest::descriptor()->file(),
        v1::ListCursorsRequest::descriptor()->file(),
        v1::ListProjectionsRequest::descriptor()->file(),
        v1::GetStatusRequest::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m)
        methods.push_back(file->service(s)->method(m));
    }
  }
  return methods;
}

// Calls any method with one empty message; the call is given up once it answers. OK: it was let in.
grpc::StatusCode call(const std::string& path, const std::string& token) {
  grpc::GenericStub stub(grpc::CreateChannel(gateway().grpc(), grpc::InsecureChannelCredentials()));
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  if (!token.empty()) context.AddMetadata("authorization", "Bearer " + token);
  const auto step = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  const auto stream = stub.PrepareCall(&context, path, &queue);
  stream->StartCall(nullptr);
  bool goes_on = step();
  if (goes_on) {
    const grpc::Slice nothing;
    stream->WriteLast(grpc::ByteBuffer(&nothing, 1), grpc::WriteOptions(), nullptr);
    goes_on = step();
  }
  grpc::ByteBuffer answer;
  stream->Read(&answer, nullptr);
  const bool has_answer = step();
  if (has_answer) context.TryCancel();
  grpc::Status status;
  stream->Finish(&status, nullptr);
  step();
  const bool is_refused = status.error_code() == grpc::UNAUTHENTICATED ||
                          status.error_code() == grpc::PERMISSION_DENIED;
  EXPECT_NE(status.error_code(), grpc::INTERNAL) << path << ": " << status.error_message();
  EXPECT_NE(status.error_code(), grpc::DEADLINE_EXCEEDED) << path;
  return is_refused ? status.error_code() : grpc::OK;
}

// A page of the admin listener, head and all.
std::string admin_page(const std::string& path, const std::string& token) {
  TcpClient client(gateway().admin());
  std::string request = "GET " + path + " HTTP/1.1\r\nHost: x\r\n";
  if (!token.empty()) request += "Authorization: Bearer " + token + "\r\n";
  client.send(request + "\r\n");
  return client.receive_all().value_or("");
}

// The calls of ListStreams with this status so far, as /metrics tells.
int counted(const std::string& status) {
  const std::string page = admin_page("/metrics", everybody().at("admin"));
  const std::string series = fmt::format(
      "tidegate_grpc_calls_total{{method=\"StreamService/ListStreams\",status=\"{}\"}} ", status);
  const std::size_t at = page.find(series);
  return at == std::string::npos ? 0 : std::stoi(page.substr(at + series.size()));
}

TEST(AccessTest, EveryMethodAsksEverybodyForTheRightToken) {
  const auto methods = all_methods();
  EXPECT_EQ(methods.size(), kRules.size());
  for (const google::protobuf::MethodDescriptor* method : methods) {
    const auto rule = kRules.find(method->full_name());
    ASSERT_NE(rule, kRules.end()) << method->full_name() << " has no rule";
    const std::string path = fmt::format("/{}/{}", method->service()->full_name(), method->name());
    for (const auto& [who, token] : everybody()) {
      EXPECT_EQ(call(path, token), expected(rule->second, who)) << path << " by " << who;
    }
  }
}

TEST(AccessTest, CallsAreCountedByTheirStatus) {
  const int good = counted("OK");
  const int refused = counted("UNAUTHENTICATED");
  const std::string path = "/tidegate.v1.StreamService/ListStreams";
  for (const char* who : {"nobody", "expired", "reader"}) call(path, everybody().at(who));
  EXPECT_EQ(counted("OK"), good + 1);
  EXPECT_EQ(counted("UNAUTHENTICATED"), refused + 2);
}

TEST(AccessTest, TheCommandLineSendsItsToken) {
  const TempDir files;
  const std::string reader = files.file("reader");
  std::ofstream(reader) << everybody().at("reader") << "\n";
  const auto read = [](const std::string& pattern, std::vector<std::string> flags,
                       const std::map<std::string, std::string>& environment = {}) {
    std::vector<std::string> arguments = {tidegate_path(), "read", pattern, "--server",
                                          gateway().grpc()};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    return run_program(arguments, environment);
  };
  EXPECT_EQ(read("a.*", {"--token-file", reader}).exit_code, 0);
  EXPECT_EQ(read("a.*", {}, {{"TIDEGATE_TOKEN", everybody().at("reader")}}).exit_code, 0);
  const Finished denied = read("b.*", {"--token-file", reader});
  EXPECT_EQ(denied.exit_code, 5);
  EXPECT_NE(denied.stderr_text.find("'b.*'"), std::string::npos) << denied.stderr_text;
  EXPECT_EQ(read("a.*", {}).exit_code, 5);
  EXPECT_EQ(read("a.*", {"--token-file", files.file("none")}).exit_code, 2);
}

TEST(AccessTest, StreamsThatAreNotGrantedAreNotNamed) {
  const auto channel = grpc::CreateChannel(gateway().grpc(), grpc::InsecureChannelCredentials());
  const auto events = v1::EventService::NewStub(channel);
  const auto streams = v1::StreamService::NewStub(channel);
  const auto authorise = [](grpc::ClientContext& context, const std::string& token) {
    context.AddMetadata("authorization", "Bearer " + token);
  };
  v1::PublishRequest request;
  for (const char* stream : {"list.a", "list.b", "list.c", "list.d"}) {
    v1::NewEvent& event = *request.add_events();
    event.set_stream(stream);
    event.mutable_event()->set_id(stream);
    event.mutable_event()->set_source("/s");
    event.mutable_event()->set_type("t");
  }
  grpc::ClientContext publishing;
  authorise(publishing, issuer().token("p", {}, {"list.*"}));
  v1::PublishResponse published;
  ASSERT_TRUE(events->Publish(&publishing, request, &published).ok());

  std::vector<std::string> named;
  v1::ListStreamsRequest listing;
  listing.set_page_size(1);
  do {
    grpc::ClientContext context;
    authorise(context, issuer().token("l", {"list.b", "list.d"}));
    v1::ListStreamsResponse page;
    ASSERT_TRUE(streams->ListStreams(&context, listing, &page).ok());
    for (const v1::Stream& stream : page.streams()) named.push_back(stream.name());
    listing.set_page_token(page.next_page_token());
    if (!page.next_page_token().empty()) named.push_back("then " + page.next_page_token());
  } while (!listing.page_token().empty());
  EXPECT_EQ(named, (std::vector<std::string>{"list.b", "then list.b", "list.d"}));
}

TEST(AccessTest, ProjectionsNeedTheirOwnGrant) {
  const auto channel = grpc::CreateChannel(gateway().grpc(), grpc::InsecureChannelCredentials());
  const auto projections = v1::ProjectionService::NewStub(channel);
  const auto query = [&](const std::vector<std::string>& subscribe) {
    grpc::ClientContext context;
    context.AddMetadata("authorization", "Bearer " + issuer().token("q", subscribe));
    v1::QueryProjectionRequest request;
    request.set_name("_streams");
    v1::QueryProjectionResponse response;
    return projections->QueryProjection(&context, request, &response).error_code();
  };
  EXPECT_EQ(query({"_projections._streams"}), grpc::OK);
  EXPECT_EQ(query({"_projections.>"}), grpc::OK);
  // Reserved names are not granted by a wildcard, and this one not by the streams that it folds.
  EXPECT_EQ(query({">"}), grpc::PERMISSION_DENIED);
  EXPECT_EQ(query({"_projections._types"}), grpc::PERMISSION_DENIED);
}

TEST(AccessTest, TheWebSocketTakesEveryGoodTokenAndNoOther) {
  for (const auto& [who, token] : everybody()) {
    SCOPED_TRACE(who);
    WsOptions options;
    if (!token.empty()) options.fields = {{"Authorization", "Bearer " + token}};
    HttpReply reply;
    const bool is_open = WsClient::try_connect(gateway().http(), options, &reply).has_value();
    EXPECT_EQ(is_open, is_known(who));
    if (is_open) continue;
    EXPECT_EQ(reply.status, 401);
    EXPECT_NE(reply.head.find("WWW-Authenticate: Bearer"), std::string::npos) << reply.head;
    if (token.size() > 10) {
      EXPECT_EQ(reply.body.find(token.substr(0, 10)), std::string::npos);
    }
  }
}

TEST(AccessTest, OperationsOfAWebSocketNeedTheirGrants) {
  struct Case {
    std::string who;
    std::string message;
    std::string answer;
  };
  const std::string read = R"({"op":"subscribe","id":"s","streams":["a.*"]})";
  const std::string read_more = R"({"op":"subscribe","id":"s","streams":[">"]})";
  const std::string publish =
      R"({"op":"publish","request":"r","stream":"a.b","event":{"specversion":"1.0","id":"1",)"
      R"("source":"/s","type":"t"}})";
  const std::vector<Case> cases = {
      {"reader", read, "subscribed"},      {"reader", read_more, "error"},
      {"reader", publish, "error"},        {"publisher", read, "error"},
      {"publisher", publish, "published"}, {"admin", read, "error"},
      {"admin", publish, "error"},
  };
  for (const Case& tried : cases) {
    SCOPED_TRACE(tried.who + " " + tried.message);
    WsClient client = WsClient::connect(
        gateway().http(), {.fields = {{"Authorization", "Bearer " + everybody().at(tried.who)}}});
    client.expect("welcome");
    client.send_text(tried.message);
    const std::string answer = client.expect(tried.answer);
    if (tried.answer == "error") {
      EXPECT_EQ(json_field(answer, "code"), "forbidden");
    }
  }
}

TEST(AccessTest, ATokenMayComeInTheSubprotocol) {
  const std::string token = everybody().at("reader");
  HttpReply reply;
  const auto client = WsClient::try_connect(
      gateway().http(), {.protocol = "tidegate.v1.json, bearer." + token}, &reply);
  EXPECT_TRUE(client);
  EXPECT_NE(reply.head.find("Sec-WebSocket-Protocol: tidegate.v1.json\r\n"), std::string::npos);
  EXPECT_EQ(reply.head.find("bearer."), std::string::npos);
  // Nothing that we could name in the answer was offered.
  EXPECT_FALSE(WsClient::try_connect(gateway().http(), {.protocol = "bearer." + token}, &reply));
  EXPECT_EQ(reply.status, 400);
}

TEST(AccessTest, ATokenInTheQueryIsRefusedAndNotLogged) {
  const std::string token = everybody().at("reader");
  HttpReply reply;
  EXPECT_FALSE(
      WsClient::try_connect(gateway().http(), {.target = "/v1/ws?access_token=" + token}, &reply));
  EXPECT_EQ(reply.status, 401);
  EXPECT_EQ(gateway().stderr_text().find(token.substr(0, 20)), std::string::npos);
}

TEST(AccessTest, CursorsAreTheirOwners) {
  const auto connect = [](const std::string& who) {
    WsClient client = WsClient::connect(
        gateway().http(),
        {.fields = {{"Authorization", "Bearer " + issuer().token(who, {"a.>"}, {"a.>"})}}});
    client.expect("welcome");
    client.send_text(R"({"op":"subscribe","id":"s","streams":["a.>"],"cursor":"c"})");
    client.expect("subscribed");
    client.expect("caught_up");
    return client;
  };
  WsClient ann = connect("ann");
  WsClient ben = connect("ben");
  // Ann's subscription lives on: it is another cursor that Ben has opened.
  ann.send_text(R"({"op":"ping"})");
  ann.expect("pong");
}

TEST(AccessTest, MetricsAreForAdministratorsAndProbesForAll) {
  for (const auto& [who, token] : everybody()) {
    SCOPED_TRACE(who);
    const auto status = [&token = token](const std::string& path) {
      return admin_page(path, token).substr(9, 3);
    };
    EXPECT_EQ(status("/livez"), "200");
    EXPECT_EQ(status("/readyz"), "200");
    const std::string wanted = who == "admin" ? "200" : is_known(who) ? "403" : "401";
    EXPECT_EQ(status("/metrics"), wanted);
  }
}

TEST(AccessTest, AnExpiringTokenEndsTheConnectionAndANewOneKeepsIt) {
  JwtClaims brief = issuer().claims("brief", {"a.>"});
  brief.expires_s = wall_now_s() + 3;
  const auto connect = [&] {
    WsClient client = WsClient::connect(
        gateway().http(), {.fields = {{"Authorization", "Bearer " + issuer().sign(brief)}}});
    client.expect("welcome");
    client.expect("token_expiring");
    return client;
  };
  WsClient kept = connect();
  WsClient ended = connect();
  kept.send_text(
      fmt::format(R"({{"op":"refresh","token":"{}"}})", issuer().token("brief", {"a.>"})));
  kept.expect("refreshed");
  EXPECT_EQ(ended.expect_close(), 4401);
  kept.send_text(R"({"op":"ping"})");
  kept.expect("pong");
}

TEST(AccessTest, ARevokedTokenEndsItsConnectionsAndOpensNone) {
  JwtClaims claims = issuer().claims("revoked", {"a.>"}, {"a.>"});
  claims.jti = "stolen";
  const std::string token = issuer().sign(claims);
  const WsOptions with_token{.fields = {{"Authorization", "Bearer " + token}}};
  WsClient client = WsClient::connect(gateway().http(), with_token);
  client.expect("welcome");
  WsClient neighbour = WsClient::connect(
      gateway().http(),
      {.fields = {{"Authorization", "Bearer " + issuer().token("revoked", {"a.>"})}}});
  neighbour.expect("welcome");

  const TempDir files;
  std::ofstream(files.file("admin")) << everybody().at("admin") << "\n";
  const Finished revoked =
      run_program({tidegate_path(), "--server", gateway().grpc(), "--token-file",
                   files.file("admin"), "token", "revoke", "--id", "stolen"});
  EXPECT_EQ(revoked.exit_code, 0) << revoked.stderr_text;
  EXPECT_EQ(client.expect_close(), 4403);
  HttpReply reply;
  EXPECT_FALSE(WsClient::try_connect(gateway().http(), with_token, &reply));
  EXPECT_EQ(reply.status, 403);
  EXPECT_EQ(call("/tidegate.v1.StreamService/ListStreams", token), grpc::PERMISSION_DENIED);
  neighbour.send_text(R"({"op":"ping"})");
  neighbour.expect("pong");
}

TEST(AccessTest, PagesNeedAnAllowedOrigin) {
  auto flags = issuer().flags();
  flags.insert(flags.end(), {"--http-allowed-origins", "https://app.example,http://localhost:3000",
                             "--http-token-cookie", "session"});
  GatewayProcess guarded({.flags = flags});
  const std::string token = everybody().at("reader");
  const auto status = [&](std::vector<std::pair<std::string, std::string>> fields) {
    HttpReply reply;
    return WsClient::try_connect(guarded.http(), {.fields = std::move(fields)}, &reply)
               ? 101
               : reply.status;
  };
  const std::pair<std::string, std::string> bearer = {"Authorization", "Bearer " + token};
  const std::pair<std::string, std::string> cookie = {"Cookie", "x=1; session=" + token};
  EXPECT_EQ(status({bearer}), 101);
  EXPECT_EQ(status({bearer, {"Origin", "https://app.example"}}), 101);
  EXPECT_EQ(status({cookie, {"Origin", "http://localhost:3000"}}), 101);
  for (const char* origin :
       {"null", "https://evil.example", "https://app.example.evil.com", "HTTPS://app.example",
        "https://App.example", "https://app.example:443", "http://app.example",
        "https://app.example/", "http://localhost"}) {
    EXPECT_EQ(status({bearer, {"Origin", origin}}), 403) << origin;
    EXPECT_EQ(status({cookie, {"Origin", origin}}), 403) << origin;
  }
  // Browsers send cookies along by themselves.
  EXPECT_EQ(status({cookie}), 403);
  EXPECT_EQ(status({{"Cookie", "session="}}), 401);
}

}  // namespace
}  // namespace tidegate::test
