// What a client may say wrongly over a real WebSocket: JSON, patterns, positions, filters, limits.
// Each gets its code, the process lives on, and another client notices nothing. (Frames and the
// handshake: tests/conformance and tests/e2e; gRPC fields: tests/api.)

#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/e2e/reliability/under_test.h"
#include "tests/support/ws_client.h"

namespace tidegate::test {
namespace {

// The gateway of all cases, and a client that must go on undisturbed.
struct Shared {
  Shared() : bystander(WsClient::connect(gateway.http())) {
    bystander.expect("welcome");
    bystander.send_text(R"({"op":"subscribe","id":"s","streams":["by.stander"],"from":"start"})");
    bystander.expect("subscribed");
    bystander.expect("caught_up");
  }
  GatewayProcess gateway{{.flags = {"--logging-level", "debug", "--delivery-heartbeat-ms", "600000",
                                    "--delivery-position-ms", "600000"}}};
  WsClient bystander;
  std::uint64_t told = 0;
};

Shared& shared() {
  static Shared instance;
  return instance;
}

// A new event reaches the bystander, and only that.
void expect_bystander_served() {
  Shared& all = shared();
  ASSERT_TRUE(all.gateway.is_alive()) << all.gateway.stderr_text();
  ASSERT_TRUE(fill_log(all.gateway.grpc(), 1, {"by.stander"}, ++all.told));
  const std::string events = all.bystander.expect("events");
  EXPECT_EQ(json_field(events, "revision"), std::to_string(all.told));
}

WsClient connect() {
  WsClient client = WsClient::connect(shared().gateway.http());
  client.expect("welcome");
  return client;
}

struct BadCase {
  std::string name;
  std::string message;
  std::string code;
  std::string id = "";       // that the answer must name
  std::string request = "";  // likewise
};

std::string subscribe(const std::string& fields) {
  return R"({"op":"subscribe","id":"s",)" + fields + "}";
}
std::string publish(const std::string& event, const std::string& stream = "a.b") {
  return fmt::format(R"({{"op":"publish","request":"r","stream":"{}","event":{}}})", stream, event);
}
std::string many_patterns(std::size_t count) {
  std::string all;
  for (std::size_t i = 0; i < count; ++i) all += fmt::format("{}\"a.{}\"", i == 0 ? "" : ",", i);
  return all;
}

// Each message on a connection of its own is answered by one `error` with the code, and the
// connection serves on.
void expect_refused(const std::vector<BadCase>& cases) {
  for (const BadCase& bad : cases) {
    SCOPED_TRACE(bad.name);
    WsClient client = connect();
    const GatewayProcess& gateway = shared().gateway;
    const std::string counter = fmt::format("tidegate_errors_sent_total{{code=\"{}\"}}", bad.code);
    const double counted = metric(gateway, counter);
    const std::size_t logged = log_lines(gateway, "an error was told");
    ASSERT_TRUE(client.send_text(bad.message));
    const std::string answer = client.expect("error");
    EXPECT_EQ(metric(gateway, counter), counted + 1);
    EXPECT_EQ(log_lines(gateway, "an error was told"), logged + 1);
    EXPECT_EQ(json_field(answer, "code"), bad.code) << answer;
    EXPECT_EQ(json_field(answer, "id"), bad.id) << answer;
    EXPECT_EQ(json_field(answer, "request"), bad.request) << answer;
    EXPECT_NE(json_field(answer, "message"), "") << answer;
    client.send_text(R"({"op":"ping"})");
    client.expect("pong");
  }
  expect_bystander_served();
}

TEST(BadInputTest, Json) {
  expect_refused({
      {"empty", "", "bad_message"},
      {"white space", "   ", "bad_message"},
      {"no JSON", "hello", "bad_message"},
      {"cut off", R"({"op":"ping")", "bad_message"},
      {"two values", R"({"op":"ping"}{"op":"ping"})", "bad_message"},
      {"trailing comma", R"({"op":"ping",})", "bad_message"},
      {"single quotes", R"({'op':'ping'})", "bad_message"},
      {"comment", R"({"op":"ping"/**/})", "bad_message"},
      {"NaN", R"({"op":"ack","id":"s","position":NaN})", "bad_message"},
      {"control character", "{\"op\":\"pi\ng\"}", "bad_message"},
      {"lone surrogate", R"({"op":"\ud800"})", "bad_message"},
      {"byte order mark", "\xef\xbb\xbf{\"op\":\"ping\"}", "bad_message"},
      {"NUL", std::string("{\"op\":\"ping\"}\0", 14), "bad_message"},
      {"array", R"([{"op":"ping"}])", "bad_message"},
      {"string", R"("ping")", "bad_message"},
      {"null", "null", "bad_message"},
      {"no op", R"({"id":"s"})", "bad_message"},
      {"op is a number", R"({"op":7})", "bad_message"},
      {"op is there twice", R"({"op":"ping","op":"pong"})", "bad_message"},
      {"id is there twice", R"({"op":"subscribe","id":"s","id":"t","streams":["a"]})",
       "bad_message", "s"},
      {"deep", std::string(2000, '[') + std::string(2000, ']'), "bad_message"},
      {"deep in a field",
       R"({"op":"ping","x":)" + std::string(500, '[') + std::string(500, ']') + "}", "bad_message"},
      {"unknown op", R"({"op":"destroy","id":"s"})", "unknown_op", "s"},
      {"op in another case", R"({"op":"PING"})", "unknown_op"},
      {"empty op", R"({"op":""})", "unknown_op"},
      {"refresh", R"({"op":"refresh","token":"x"})", "unsupported"},
  });
}

TEST(BadInputTest, FieldsOfSubscribe) {
  expect_refused({
      {"no id", R"({"op":"subscribe","streams":["a"]})", "bad_message"},
      {"empty id", R"({"op":"subscribe","id":"","streams":["a"]})", "bad_message"},
      {"long id", R"({"op":"subscribe","id":")" + std::string(65, 'i') + R"(","streams":["a"]})",
       "bad_message"},
      {"id is a number", R"({"op":"subscribe","id":5,"streams":["a"]})", "bad_message"},
      {"streams is a string", subscribe(R"("streams":"a")"), "bad_message", "s"},
      {"streams holds a number", subscribe(R"("streams":["a",1])"), "bad_message", "s"},
      {"types is an object", subscribe(R"("streams":["a"],"types":{})"), "bad_message", "s"},
      {"two starts", subscribe(R"("streams":["a"],"after":1,"from":"start")"), "bad_message", "s"},
      {"three starts", subscribe(R"("streams":["a"],"after":1,"from":"start","last":1)"),
       "bad_message", "s"},
      {"from is no place", subscribe(R"("streams":["a"],"from":"yesterday")"), "bad_position", "s"},
      {"from is no day", subscribe(R"("streams":["a"],"from":"2026-02-30T00:00:00Z")"),
       "bad_position", "s"},
      {"from is a number", subscribe(R"("streams":["a"],"from":0)"), "bad_message", "s"},
      {"last is 0", subscribe(R"("streams":["a"],"last":0)"), "bad_argument", "s"},
      {"last is too much", subscribe(R"("streams":["a"],"last":10001)"), "bad_argument", "s"},
      {"last is negative", subscribe(R"("streams":["a"],"last":-1)"), "bad_message", "s"},
      {"last is a fraction", subscribe(R"("streams":["a"],"last":1.5)"), "bad_message", "s"},
      {"window is too large", subscribe(R"("streams":["a"],"window":10001)"), "bad_argument", "s"},
      {"window is a string", subscribe(R"("streams":["a"],"window":"10")"), "bad_message", "s"},
      {"cursor is no name", subscribe(R"("streams":["a"],"cursor":"a b")"), "bad_argument", "s"},
      {"cursor is a pattern", subscribe(R"("streams":["a"],"cursor":"a.*")"), "bad_argument", "s"},
      {"on_gap is unknown", subscribe(R"("streams":["a"],"on_gap":"panic")"), "bad_message", "s"},
      {"on_gap snapshot of nothing", subscribe(R"("streams":["a"],"on_gap":"snapshot")"),
       "bad_argument", "s"},
  });
}

TEST(BadInputTest, Patterns) {
  const auto with = [](const std::string& pattern) {
    return subscribe("\"streams\":[\"" + pattern + "\"]");
  };
  std::vector<BadCase> cases = {{"none", subscribe(R"("types":["t"])"), "bad_pattern", "s"},
                                {"empty list", subscribe(R"("streams":[])"), "bad_pattern", "s"}};
  const std::string long_token = std::string(256, 'a');
  for (const std::string& pattern :
       {std::string(""), std::string("."), std::string("a..b"), std::string(".a"),
        std::string("a."), std::string("a b"), std::string("a.>.b"), std::string(">.a"),
        std::string("a*"), std::string("a.b*"), std::string("a>"), std::string("**"),
        std::string("a.**"), std::string("\\u00e4"), std::string("a/b"), std::string("a\\u0000b"),
        std::string("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q"), long_token}) {
    cases.push_back({"pattern " + pattern, with(pattern), "bad_pattern", "s"});
  }
  cases.push_back({"one of several", subscribe(R"("streams":["a","b..c"])"), "bad_pattern", "s"});
  expect_refused(cases);
}

TEST(BadInputTest, Positions) {
  const std::string log =
      json_field(WsClient::connect(shared().gateway.http()).expect("welcome"), "log");
  const auto with = [](const std::string& after) {
    return subscribe("\"streams\":[\"a\"],\"after\":" + after);
  };
  expect_refused({
      {"empty", with(R"("")"), "bad_position", "s"},
      {"a word", with(R"("head")"), "bad_position", "s"},
      {"two parts", with("\"" + log + ".1\""), "bad_position", "s"},
      {"four parts", with("\"" + log + ".1.00000000.1\""), "bad_position", "s"},
      {"short log id", with(R"("abc.1.00000000")"), "bad_position", "s"},
      {"log id in capitals", with(R"("AAAAAAAAAAAAAAAA.1.00000000")"), "bad_position", "s"},
      {"negative sequence", with("\"" + log + ".-1.00000000\""), "bad_position", "s"},
      {"sequence with zeros", with("\"" + log + ".01.00000000\""), "bad_position", "s"},
      {"sequence of 2^64", with("\"" + log + ".18446744073709551616.00000000\""), "bad_position",
       "s"},
      {"short check", with("\"" + log + ".1.0000\""), "bad_position", "s"},
      {"check is not hex", with("\"" + log + ".1.zzzzzzzz\""), "bad_position", "s"},
      {"white space", with("\" " + log + ".1.00000000\""), "bad_position", "s"},
      {"negative integer", with("-1"), "bad_message", "s"},
      {"fraction", with("1.5"), "bad_message", "s"},
      {"exponent", with("1e3"), "bad_message", "s"},
      {"integer of 2^64", with("18446744073709551616"), "bad_message", "s"},
      {"boolean", with("true"), "bad_message", "s"},
      {"object", with("{}"), "bad_message", "s"},
  });
}

// Well-formed positions that are not of this log: no error, but `reset`.
TEST(BadInputTest, PositionsOfOtherHistories) {
  fill_log(shared().gateway.grpc(), 3, {"a.b"}, 1000);
  const std::string log =
      json_field(WsClient::connect(shared().gateway.http()).expect("welcome"), "log");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"\"aaaaaaaaaaaaaaaa.1.00000000\"", "unknown_log"},
      {"\"" + log + ".1.00000000\"", "rewound"},
      {"\"" + log + ".18446744073709551615.00000000\"", "ahead"},
      {"18446744073709551615", "ahead"},
      {"1000000", "ahead"},
  };
  for (const auto& [after, reason] : cases) {
    SCOPED_TRACE(after);
    WsClient client = connect();
    client.send_text(subscribe("\"streams\":[\"a\"],\"after\":" + after));
    EXPECT_EQ(json_field(client.expect("reset"), "reason"), reason);
  }
  expect_bystander_served();
}

TEST(BadInputTest, Publishes) {
  const std::string good = R"({"specversion":"1.0","id":"1","source":"/s","type":"t"})";
  std::vector<BadCase> cases = {
      {"no event", R"({"op":"publish","request":"r","stream":"a.b"})", "bad_message", "", "r"},
      {"event is a string", publish(R"("x")"), "bad_event", "", "r"},
      {"no id", publish(R"({"specversion":"1.0","source":"/s","type":"t"})"), "bad_event", "", "r"},
      {"empty type", publish(R"({"specversion":"1.0","id":"1","source":"/s","type":""})"),
       "bad_event", "", "r"},
      {"other version", publish(R"({"specversion":"0.3","id":"1","source":"/s","type":"t"})"),
       "bad_event", "", "r"},
      {"attribute in capitals",
       publish(R"({"specversion":"1.0","id":"1","source":"/s","type":"t","Big":"x"})"), "bad_event",
       "", "r"},
      {"data of both kinds",
       publish(
           R"({"specversion":"1.0","id":"1","source":"/s","type":"t","data":1,"data_base64":"AA=="})"),
       "bad_event", "", "r"},
      {"stream with a wildcard", publish(good, "a.*"), "bad_argument", "", "r"},
      {"reserved stream", publish(good, "_a"), "bad_argument", "", "r"},
      {"empty stream", publish(good, ""), "bad_message", "", "r"},
      {"check without expectation",
       R"({"op":"publish","request":"r","stream":"a.b","event":)" + good +
           R"(,"checks":[{"stream":"a.b"}]})",
       "bad_message", "", "r"},
      {"check that fails",
       R"({"op":"publish","request":"r","stream":"a.b","event":)" + good +
           R"(,"checks":[{"stream":"a.b","revision":999}]})",
       "check_failed", "", "r"},
  };
  expect_refused(cases);
}

TEST(BadInputTest, Limits) {
  expect_refused({
      {"33 patterns", subscribe("\"streams\":[" + many_patterns(33) + "]"), "limit", "s"},
      {"33 types", subscribe("\"streams\":[\"a\"],\"types\":[" + many_patterns(33) + "]"), "limit",
       "s"},
  });
  WsClient client = connect();
  for (int i = 0; i < 128; ++i) {
    // 100 at once would be the end of the patience with one client: the 128 are spread below the
    // message rate.
    if (i >= 64) {
      EXPECT_FALSE(client.read_message(Milliseconds(25)));
    }
    client.send_text(fmt::format(R"({{"op":"subscribe","id":"s{}","streams":["x"]}})", i));
    ASSERT_NE(client.expect("subscribed"), "");
    client.expect("caught_up");
  }
  client.send_text(R"({"op":"subscribe","id":"one more","streams":["x"]})");
  EXPECT_EQ(json_field(client.expect("error"), "code"), "limit");
  expect_bystander_served();
}

TEST(BadInputTest, OperationsOnWhatIsNotThere) {
  expect_refused({
      {"update", R"({"op":"update","id":"nobody","streams":["a"]})", "not_found", "nobody"},
      {"unsubscribe", R"({"op":"unsubscribe","id":"nobody"})", "not_found", "nobody"},
  });
  WsClient client = connect();
  client.send_text(subscribe(R"("streams":["a.b"],"from":"start")"));
  client.expect("subscribed");
  client.send_text(subscribe(R"("streams":["a.b"])"));
  std::string answer = client.read_message().value_or("");
  while (json_field(answer, "op") != "error" && !answer.empty())
    answer = client.read_message().value_or("");
  EXPECT_EQ(json_field(answer, "code"), "bad_argument") << "an id that is in use";
  client.send_text(R"({"op":"ack","id":"s","position":18446744073709551615})");
  EXPECT_EQ(json_field(client.expect("error"), "code"), "bad_position")
      << "an acknowledgement of what was never sent";
  expect_bystander_served();
}

TEST(BadInputTest, ThirdBadMessageCloses) {
  WsClient client = connect();
  for (int i = 0; i < 3; ++i) client.send_text("{");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(json_field(client.expect("error"), "code"), "bad_message");
  EXPECT_EQ(client.expect_close(), 4400);
  expect_bystander_served();
}

TEST(BadInputTest, FloodCloses) {
  WsClient client = connect();
  std::string flood;
  for (int i = 0; i < 500; ++i) flood += make_frame(Opcode::kText, R"({"op":"ping"})");
  client.send_raw(flood);
  EXPECT_EQ(client.expect_close(), 4429);
  expect_bystander_served();
}

TEST(BadInputTest, BinaryGarbage) {
  for (const std::string& bytes :
       {std::string("\xff\xff\xff\xff"), std::string("\x0a\xff"), std::string(64, '\x01')}) {
    WsClient client = WsClient::connect(shared().gateway.http(), {.protocol = "tidegate.v1.proto"});
    EXPECT_EQ(Heard::from_proto(client.read_message().value_or("")).op, "welcome");
    client.send_binary(bytes);
    const Heard answer = Heard::from_proto(client.read_message().value_or(""));
    EXPECT_EQ(answer.op, "error");
    EXPECT_EQ(answer.code, "bad_message");
  }
  expect_bystander_served();
}

}  // namespace
}  // namespace tidegate::test
