#include <simdjson.h>

#include <gtest/gtest.h>

#include "gateway/delivery/codec.h"
#include "tests/cloudevents/random_input.h"

namespace tidegate {
namespace {

Result<v1::ClientMessage> decode(std::string_view json, ReplyTo& reply_to) {
  return decode_client_message(WireForm::kJson, json, reply_to);
}

v1::ClientMessage decoded(std::string_view json) {
  ReplyTo reply_to;
  Result<v1::ClientMessage> message = decode(json, reply_to);
  EXPECT_TRUE(message) << json << "\n" << (message ? "" : message.error().message);
  return message ? *message : v1::ClientMessage();
}

// "code id request message".
std::string refusal(std::string_view json) {
  ReplyTo reply_to;
  const Result<v1::ClientMessage> message = decode(json, reply_to);
  if (message) return "accepted";
  return std::string(code_info(message.error().code).name) + " [" + reply_to.id + "] [" +
         reply_to.request + "] " + message.error().message;
}

std::string encoded(const v1::ServerMessage& message) {
  return encode_server_message(WireForm::kJson, message);
}

constexpr std::string_view kEvent =
    R"({"specversion":"1.0","id":"1","source":"/s","type":"t","data":{ "a":1.0 }})";

TEST(CodecJsonTest, DecodesSubscribe) {
  const v1::ClientMessage message = decoded(
      R"({"op":"subscribe","id":"a","streams":["orders.>","x"],"types":["t"],"after":"abc.5.0",)"
      R"("cursor":"c","on_gap":"floor","window":7,"later":[{}]})");
  const v1::SubscribeOp& op = message.subscribe();
  EXPECT_EQ(op.id(), "a");
  EXPECT_EQ(op.streams_size(), 2);
  EXPECT_EQ(op.streams(0), "orders.>");
  EXPECT_EQ(op.types(0), "t");
  EXPECT_EQ(op.start().after(), "abc.5.0");
  EXPECT_EQ(op.cursor(), "c");
  EXPECT_EQ(op.on_gap(), v1::ON_GAP_FLOOR);
  EXPECT_EQ(op.window(), 7U);
}

TEST(CodecJsonTest, DecodesEveryPlaceToStart) {
  const auto start = [](std::string_view field) {
    return decoded(R"({"op":"subscribe","id":"a","streams":["x"])" + std::string(field) + "}")
        .subscribe()
        .start();
  };
  EXPECT_EQ(start("").place_case(), v1::Start::PLACE_NOT_SET);
  EXPECT_EQ(start(R"(,"after":null)").place_case(), v1::Start::PLACE_NOT_SET);
  EXPECT_EQ(start(R"(,"after":17)").after_sequence(), 17U);
  EXPECT_EQ(start(R"(,"after":18446744073709551615)").after_sequence(), ~0ULL);
  EXPECT_EQ(start(R"(,"from":"head")").edge(), v1::EDGE_HEAD);
  EXPECT_EQ(start(R"(,"from":"start")").edge(), v1::EDGE_START);
  EXPECT_EQ(start(R"(,"from":"1970-01-01T00:00:02+00:00")").from_time().seconds(), 2);
  EXPECT_EQ(start(R"(,"last":10)").last(), 10U);
}

TEST(CodecJsonTest, DecodesTheOtherOps) {
  EXPECT_EQ(decoded(R"({"op":"ack","id":"a","position":"p.1.x"})").ack().position(), "p.1.x");
  EXPECT_EQ(decoded(R"({"op":"ack","id":"a","position":9})").ack().sequence(), 9U);
  EXPECT_EQ(decoded(R"({"op":"update","id":"a","streams":["y"]})").update().streams(0), "y");
  EXPECT_EQ(decoded(R"({"op":"unsubscribe","id":"a"})").unsubscribe().id(), "a");
  EXPECT_EQ(decoded(R"({"op":"refresh","token":"t"})").refresh().token(), "t");
  EXPECT_TRUE(decoded(R"({"op":"ping"})").has_ping());
  EXPECT_TRUE(decoded(R"( {"\u006fp":"p\u006fng"} )").has_pong());
}

TEST(CodecJsonTest, DecodesPublish) {
  const v1::ClientMessage message = decoded(
      R"({"op":"publish","request":"r","stream":"s","event":)" + std::string(kEvent) +
      R"(,"checks":[{"stream":"a","revision":0},{"stream":"b","absent":true},{"present":true,"stream":"c"}]})");
  const v1::PublishOp& op = message.publish();
  EXPECT_EQ(op.request(), "r");
  EXPECT_EQ(op.stream(), "s");
  EXPECT_EQ(op.event().text_data(), R"({ "a":1.0 })");
  ASSERT_EQ(op.checks_size(), 3);
  EXPECT_TRUE(op.checks(0).has_revision());
  EXPECT_TRUE(op.checks(1).absent());
  EXPECT_TRUE(op.checks(2).present());
}

TEST(CodecJsonTest, RefusesFramesThatAreNoMessage) {
  const std::string frames[] = {"",
                                "nonsense",
                                "[]",
                                "\"op\"",
                                "null",
                                "{}",
                                R"({"op":5})",
                                R"({"op":null})",
                                "\xef\xbb\xbf{\"op\":\"ping\"}",
                                R"({"op":"ping"}x)",
                                R"({"op":"ping"}{"op":"ping"})",
                                R"({"op":"ping","op":"ping"})",
                                R"({"op":"ping",})",
                                "{\"op\":\"ping\",\"x\":\"\xff\"}",
                                R"({"op":"ping","x":)" + std::string(1000, '[')};
  for (const std::string& frame : frames) {
    EXPECT_TRUE(refusal(frame).starts_with("bad_message [] [] ")) << frame << "\n"
                                                                  << refusal(frame);
  }
  const std::string deep = std::string(66, '[') + std::string(66, ']');
  EXPECT_TRUE(refusal(R"({"op":"ping","x":)" + deep + "}").starts_with("bad_message"));
}

TEST(CodecJsonTest, NamesTheSubscriptionOfARefusal) {
  const auto subscribe = [](std::string_view fields) {
    return R"({"op":"subscribe",)" + std::string(fields) + R"(,"id":"a"})";
  };
  const std::pair<std::string, std::string> cases[] = {
      {subscribe(R"("streams":"x")"), "bad_message [a] [] streams: must be an array of strings"},
      {subscribe(R"("streams":[1])"), "bad_message [a] [] streams: must be an array of strings"},
      {subscribe(R"("types":{})"), "bad_message [a] [] types: must be an array of strings"},
      {subscribe(R"("after":-1)"), "bad_message [a] [] after: must be a position or an integer"},
      {subscribe(R"("after":1.5)"), "bad_message [a] [] after: must be a position or an integer"},
      {subscribe(R"("after":1e400)"), "bad_message [a] [] after: must be a position or an integer"},
      {subscribe(R"("after":18446744073709551616)"),
       "bad_message [a] [] after: must be a position or an integer"},
      {subscribe(R"("after":"17")"), "bad_position [a] [] after: \"17\" is no position"},
      {subscribe(R"("after":true)"), "bad_message [a] [] after: "},
      {subscribe(R"("after":1,"last":1)"), "bad_message [a] [] after: give only one of"},
      {subscribe(R"("from":"head","last":1)"), "bad_message [a] [] after: give only one of"},
      {subscribe(R"("from":"tomorrow")"), "bad_position [a] [] from: is neither"},
      {subscribe(R"("from":5)"), "bad_message [a] [] from: must be a string"},
      {subscribe(R"("last":-1)"), "bad_message [a] [] last: must be an integer"},
      {subscribe(R"("last":4294967296)"), "bad_message [a] [] last: must be an integer"},
      {subscribe(R"("window":"5")"), "bad_message [a] [] window: must be an integer"},
      {subscribe(R"("cursor":5)"), "bad_message [a] [] cursor: must be a string"},
      {subscribe(R"("on_gap":"jump")"),
       "bad_message [a] [] on_gap: must be fail, floor or snapshot"},
      {subscribe(R"("on_gap":1)"), "bad_message [a] [] on_gap: must be a string"},
      {subscribe(R"("id":"b")"), "bad_message [b] [] id: is there twice"},
      {R"({"op":"subscribe","streams":["x"]})", "bad_message [] [] id: must have 1 to 64 bytes"},
      {R"({"op":"subscribe","id":""})", "bad_message [] [] id: must have 1 to 64 bytes"},
      {R"({"op":"subscribe","id":7})", "bad_message [] [] id: must be a string"},
      {R"({"op":"subscribe","id":")" + std::string(65, 'i') + "\"}",
       "bad_message [] [] id: must have 1 to 64"},
      {R"({"op":"ack","id":"a"})", "bad_message [a] [] position: is missing"},
      {R"({"op":"ack","id":"a","position":"7"})", "bad_position [a] [] position: "},
      {R"({"op":"unsubscribe"})", "bad_message [] [] id: "},
      {R"({"op":"update","id":"a","types":[null]})", "bad_message [a] [] types: "},
      {R"({"op":"refresh"})", "bad_message [] [] token: is missing"},
      {R"({"op":"jump","id":"a","request":"r"})", "unknown_op [a] [r] op: \"jump\""},
      {R"({"op":"Subscribe"})", "unknown_op [] [] op: "},
  };
  for (const auto& [json, expected] : cases) {
    EXPECT_TRUE(refusal(json).starts_with(expected)) << json << "\n" << refusal(json);
  }
}

TEST(CodecJsonTest, NamesTheRequestOfARefusal) {
  const auto publish = [](std::string_view fields) {
    return R"({"op":"publish","id":"x","request":"r",)" + std::string(fields) + "}";
  };
  const std::string event = R"("stream":"s","event":)" + std::string(kEvent);
  const std::pair<std::string, std::string> cases[] = {
      {publish(R"("stream":"s")"), "bad_message [] [r] event: is missing"},
      {publish(R"("event":)" + std::string(kEvent)), "bad_message [] [r] stream: is missing"},
      {publish(R"("stream":"s","event":[])"), "bad_event [] [r] event: must be a JSON object"},
      {publish(R"("stream":"s","event":{"specversion":"1.0","id":5})"),
       "bad_event [] [r] event.id: must be"},
      {publish(event + R"(,"checks":{})"), "bad_message [] [r] checks: must be an array"},
      {publish(event + R"(,"checks":[1])"), "bad_message [] [r] checks: must be an array"},
      {publish(event + R"(,"checks":[{"stream":"a"}])"),
       "bad_message [] [r] checks: each needs exactly one"},
      {publish(event + R"(,"checks":[{"stream":"a","absent":false}])"),
       "bad_message [] [r] checks: each needs"},
      {publish(event + R"(,"checks":[{"stream":"a","absent":true,"revision":0}])"),
       "bad_message [] [r] checks: each needs"},
      {publish(event + R"(,"checks":[{"stream":"a","revision":-1}])"),
       "bad_message [] [r] checks: revision must"},
      {publish(event + R"(,"checks":[{"absent":true}])"),
       "bad_message [] [r] checks: one of them has no stream"},
      {publish(event + R"(,"checks":[{"stream":"a","stream":"b","absent":true}])"),
       "bad_message [] [r] checks: stream must be one string"},
      {R"({"op":"publish",)" + event + "}", "bad_message [] [] request: must have 1 to 64 bytes"},
  };
  for (const auto& [json, expected] : cases) {
    EXPECT_TRUE(refusal(json).starts_with(expected)) << json << "\n" << refusal(json);
  }
}

TEST(CodecJsonTest, EncodesEveryServerMessage) {
  const auto text = [](auto fill) {
    v1::ServerMessage message;
    fill(message);
    return encoded(message);
  };
  const auto place = [](auto* op) {
    op->set_id("a");
    op->set_position("p");
  };
  EXPECT_EQ(text([&](auto& m) { place(m.mutable_position()); }),
            R"({"op":"position","id":"a","position":"p"})");
  EXPECT_EQ(text([&](auto& m) { place(m.mutable_caught_up()); }),
            R"({"op":"caught_up","id":"a","position":"p"})");
  EXPECT_EQ(text([&](auto& m) { place(m.mutable_fell_behind()); }),
            R"({"op":"fell_behind","id":"a","position":"p"})");
  EXPECT_EQ(text([&](auto& m) { place(m.mutable_acked()); }),
            R"({"op":"acked","id":"a","position":"p"})");
  EXPECT_EQ(text([&](auto& m) { place(m.mutable_updated()); }),
            R"({"op":"updated","id":"a","position":"p"})");
  EXPECT_EQ(text([&](auto& m) { place(m.mutable_events()); }),
            R"({"op":"events","id":"a","events":[],"position":"p"})");
  EXPECT_EQ(text([](auto& m) { m.mutable_ping(); }), R"({"op":"ping"})");
  EXPECT_EQ(text([](auto& m) { m.mutable_pong(); }), R"({"op":"pong"})");
  EXPECT_EQ(text([](auto& m) {
              m.mutable_unsubscribed()->set_id("a\"\n");
              m.mutable_unsubscribed()->set_reason("cursor_taken_over");
            }),
            R"({"op":"unsubscribed","id":"a\"\n","reason":"cursor_taken_over"})");
  EXPECT_EQ(text([](auto& m) { m.mutable_refreshed()->mutable_expires()->set_seconds(1); }),
            R"({"op":"refreshed","expires":"1970-01-01T00:00:01Z"})");
  EXPECT_EQ(text([](auto& m) { m.mutable_token_expiring()->mutable_expires()->set_seconds(1); }),
            R"({"op":"token_expiring","expires":"1970-01-01T00:00:01Z"})");
  EXPECT_EQ(text([](auto& m) {
              m.mutable_closing()->set_reason("drain");
              m.mutable_closing()->set_reconnect_after_ms(250);
            }),
            R"({"op":"closing","reason":"drain","reconnect_after_ms":250})");
}

TEST(CodecJsonTest, EncodesWelcomeAndSubscribed) {
  v1::ServerMessage message;
  v1::Welcome& welcome = *message.mutable_welcome();
  welcome.set_connection("c1");
  welcome.set_log("l");
  welcome.set_head(~0ULL);
  welcome.set_floor(1);
  welcome.set_heartbeat_ms(25'000);
  welcome.set_server("tidegated 0.1");
  welcome.mutable_limits()->set_event_bytes(1);
  welcome.mutable_limits()->set_message_bytes(2);
  welcome.mutable_limits()->set_subscriptions(3);
  welcome.mutable_limits()->set_patterns(4);
  welcome.mutable_limits()->set_types(5);
  welcome.mutable_limits()->set_window(6);
  welcome.mutable_limits()->set_messages_per_second(7);
  EXPECT_EQ(
      encoded(message),
      R"({"op":"welcome","connection":"c1","log":"l","head":18446744073709551615,"floor":1,)"
      R"("heartbeat_ms":25000,"limits":{"event_bytes":1,"message_bytes":2,"subscriptions":3,"patterns":4,)"
      R"("types":5,"window":6,"messages_per_second":7},"server":"tidegated 0.1"})");
  v1::Subscribed& subscribed = *message.mutable_subscribed();
  subscribed.set_id("a");
  subscribed.set_position("p");
  subscribed.set_head(9);
  subscribed.set_behind(4);
  subscribed.set_resumed(true);
  EXPECT_EQ(encoded(message),
            R"({"op":"subscribed","id":"a","position":"p","head":9,"behind":4,"resumed":true})");
}

TEST(CodecJsonTest, EncodesReasonsAsWords) {
  v1::ServerMessage message;
  message.mutable_gap()->set_requested("p");
  message.mutable_gap()->set_floor(5);
  message.mutable_gap()->set_reason(v1::GAP_REASON_TRIMMED);
  EXPECT_EQ(encoded(message),
            R"({"op":"gap","id":"","requested":"p","floor":5,"reason":"trimmed"})");
  message.mutable_gap()->set_reason(v1::GAP_REASON_DATA_LOSS);
  EXPECT_EQ(encoded(message),
            R"({"op":"gap","id":"","requested":"p","floor":5,"reason":"data_loss"})");
  const std::pair<v1::ResetReason, std::string> reasons[] = {
      {v1::RESET_REASON_REWOUND, "rewound"},
      {v1::RESET_REASON_AHEAD, "ahead"},
      {v1::RESET_REASON_UNKNOWN_LOG, "unknown_log"}};
  for (const auto& [reason, word] : reasons) {
    message.mutable_reset()->set_reason(reason);
    EXPECT_EQ(encoded(message),
              R"({"op":"reset","id":"","reason":")" + word + R"(","log":"","floor":0,"head":0})");
  }
}

TEST(CodecJsonTest, EncodesPublishedAndErrors) {
  v1::ServerMessage message;
  message.mutable_published()->set_request("r");
  message.mutable_published()->set_position("p");
  message.mutable_published()->set_revision(3);
  EXPECT_EQ(encoded(message),
            R"({"op":"published","request":"r","position":"p","revision":3,"deduplicated":false})");
  v1::ErrorReply& error = *message.mutable_error();
  error.set_code("limit");
  error.set_message("no");
  EXPECT_EQ(encoded(message), R"({"op":"error","code":"limit","message":"no","retryable":false})");
  error.set_id("a");
  error.set_request("r");
  error.set_retryable(true);
  error.set_retry_after_ms(100);
  EXPECT_EQ(
      encoded(message),
      R"({"op":"error","id":"a","request":"r","code":"limit","message":"no","retryable":true,)"
      R"("retry_after_ms":100})");
}

TEST(CodecJsonTest, SurvivesMutatedMessages) {
  test::RandomInput random;
  const std::string messages[] = {
      R"({"op":"subscribe","id":"a","streams":["orders.>"],"types":["t"],"after":17,"on_gap":"fail","window":5})",
      R"({"op":"publish","request":"r","stream":"s","event":)" + std::string(kEvent) +
          R"(,"checks":[{"stream":"a","revision":1}]})",
      R"({"op":"ack","id":"a","position":"aaaaaaaaaaaaaaaa.5.00000000"})"};
  int accepted = 0;
  for (int i = 0; i < 30'000; ++i) {
    ReplyTo reply_to;
    const Result<v1::ClientMessage> message =
        decode(random.mutated(random.pick(messages)), reply_to);
    if (message) {
      ++accepted;
      continue;
    }
    v1::ServerMessage answer;
    answer.mutable_error()->set_message(message.error().message);
    EXPECT_TRUE(simdjson::validate_utf8(encoded(answer))) << "seed " << random.seed();
  }
  EXPECT_GT(accepted, 500);
}

}  // namespace
}  // namespace tidegate
