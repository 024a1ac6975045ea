#include <functional>

#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

#include "gateway/delivery/codec.h"
#include "tests/cloudevents/random_input.h"

namespace tidegate {
namespace {

// "code id request", or "accepted".
std::string outcome(std::string_view bytes) {
  ReplyTo reply_to;
  const Result<v1::ClientMessage> message =
      decode_client_message(WireForm::kProto, bytes, reply_to);
  if (message) return "accepted";
  return std::string(code_info(message.error().code).name) + " [" + reply_to.id + "] [" +
         reply_to.request + "]";
}

v1::ClientMessage subscribe() {
  v1::ClientMessage message;
  message.mutable_subscribe()->set_id("a");
  message.mutable_subscribe()->add_streams("orders.>");
  message.mutable_subscribe()->mutable_start()->set_after_sequence(17);
  return message;
}

v1::ClientMessage publish() {
  v1::ClientMessage message;
  v1::PublishOp& op = *message.mutable_publish();
  op.set_request("r");
  op.set_stream("s");
  op.mutable_event()->set_id("1");
  v1::Check& check = *op.add_checks();
  check.set_stream("s");
  check.set_revision(0);
  return message;
}

TEST(CodecProtoTest, GivesBackWhatWasSent) {
  for (const v1::ClientMessage& message : {subscribe(), publish()}) {
    ReplyTo reply_to;
    const auto decoded =
        decode_client_message(WireForm::kProto, message.SerializeAsString(), reply_to);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(decoded->SerializeAsString(), message.SerializeAsString());
    EXPECT_EQ(reply_to.id + reply_to.request, message.has_subscribe() ? "a" : "r");
  }
}

TEST(CodecProtoTest, RefusesBytesThatAreNoMessage) {
  const std::string good = subscribe().SerializeAsString();
  EXPECT_EQ(outcome(""), "unknown_op [] []");
  EXPECT_EQ(outcome("\x9a\x06\x01x"), "unknown_op [] []") << "an op of a later version";
  EXPECT_EQ(outcome("{\"op\":\"ping\"}"), "bad_message [] []");
  EXPECT_EQ(outcome(good + "\xff"), "bad_message [] []");
  EXPECT_EQ(outcome(good + std::string(1, '\0')), "bad_message [] []");
  EXPECT_EQ(outcome(good + "\x0c"), "bad_message [] []") << "an end of a group that did not begin";
  EXPECT_EQ(outcome(good.substr(0, good.size() - 1)), "bad_message [] []");
  EXPECT_EQ(outcome("\x0a\x03\x0a\x01\xff"), "bad_message [] []") << "an id that is not UTF-8";
  EXPECT_EQ(outcome(std::string(1000, '\x0b')), "bad_message [] []") << "nested groups";
}

TEST(CodecProtoTest, RefusesWrongFieldsAndNamesTheOwner) {
  struct Case {
    std::string expected;
    v1::ClientMessage message;
    std::function<void(v1::ClientMessage&)> spoil;
  };
  const Case cases[] = {
      {"bad_message [] []", subscribe(), [](auto& m) { m.mutable_subscribe()->clear_id(); }},
      {"bad_message [] []", subscribe(),
       [](auto& m) { m.mutable_subscribe()->set_id(std::string(65, 'i')); }},
      {"bad_message [a] []", subscribe(),
       [](auto& m) { m.mutable_subscribe()->set_on_gap(static_cast<v1::OnGap>(77)); }},
      {"bad_message [a] []", subscribe(),
       [](auto& m) { m.mutable_subscribe()->mutable_start()->set_edge(v1::EDGE_UNSPECIFIED); }},
      {"bad_position [a] []", subscribe(),
       [](auto& m) { m.mutable_subscribe()->mutable_start()->set_after("17"); }},
      {"bad_position [a] []", subscribe(),
       [](auto& m) { m.mutable_subscribe()->mutable_start()->mutable_from_time()->set_nanos(-1); }},
      {"bad_message [a] []", {}, [](auto& m) { m.mutable_ack()->set_id("a"); }},
      {"bad_message [] []", {}, [](auto& m) { m.mutable_unsubscribe(); }},
      {"bad_message [] []", {}, [](auto& m) { m.mutable_refresh(); }},
      {"bad_message [] []", publish(), [](auto& m) { m.mutable_publish()->clear_request(); }},
      {"bad_message [] [r]", publish(), [](auto& m) { m.mutable_publish()->clear_event(); }},
      {"bad_message [] [r]", publish(), [](auto& m) { m.mutable_publish()->clear_stream(); }},
      {"bad_message [] [r]", publish(), [](auto& m) { m.mutable_publish()->add_checks(); }},
      {"bad_message [] [r]", publish(),
       [](auto& m) { m.mutable_publish()->mutable_checks(0)->set_absent(false); }},
      {"accepted", publish(),
       [](auto& m) { m.mutable_publish()->mutable_checks(0)->set_present(true); }},
      {"accepted", {}, [](auto& m) { m.mutable_ping(); }},
      {"accepted", {}, [](auto& m) { m.mutable_pong(); }},
  };
  for (const Case& one : cases) {
    v1::ClientMessage message = one.message;
    one.spoil(message);
    EXPECT_EQ(outcome(message.SerializeAsString()), one.expected) << message.ShortDebugString();
  }
}

TEST(CodecProtoTest, EncodesServerMessages) {
  v1::ServerMessage message;
  message.mutable_welcome()->set_head(5);
  message.mutable_welcome()->mutable_limits()->set_window(7);
  v1::ServerMessage parsed;
  ASSERT_TRUE(parsed.ParseFromString(encode_server_message(WireForm::kProto, message)));
  EXPECT_EQ(parsed.welcome().head(), 5U);
  EXPECT_EQ(parsed.welcome().limits().window(), 7U);
}

TEST(CodecProtoTest, SurvivesMutatedMessages) {
  // Protobuf writes a line for each text that is not UTF-8.
  google::protobuf::LogSilencer silent;
  test::RandomInput random;
  const std::string messages[] = {subscribe().SerializeAsString(), publish().SerializeAsString()};
  for (int i = 0; i < 30'000; ++i) {
    const std::string bytes = random.mutated(random.pick(messages));
    ReplyTo reply_to;
    const auto message = decode_client_message(WireForm::kProto, bytes, reply_to);
    EXPECT_LE(reply_to.id.size(), 64U) << "seed " << random.seed();
    EXPECT_TRUE(message || !message.error().message.empty()) << "seed " << random.seed();
  }
}

}  // namespace
}  // namespace tidegate
