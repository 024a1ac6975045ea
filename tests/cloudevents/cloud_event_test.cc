#include "gateway/cloudevents/cloud_event.h"

#include <functional>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <gtest/gtest.h>

#include "tests/cloudevents/cloud_event_builder.h"

namespace tidegate {
namespace {

using test::attribute;
using test::canonical;
using test::minimal_event;
using test::with_binary;
using test::with_text;

// What protobuf itself writes for an event that is canonical already.
std::string deterministic(const v1::CloudEvent& event) {
  std::string out;
  {
    google::protobuf::io::StringOutputStream stream(&out);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    event.SerializeToCodedStream(&coded);
  }
  return out;
}

v1::CloudEvent stored(const v1::CloudEvent& event) {
  v1::CloudEvent parsed;
  EXPECT_TRUE(parsed.ParseFromString(canonical(event))) << canonical(event);
  return parsed;
}

// "code field" of the refusal.
std::string refusal(const v1::CloudEvent& event) {
  const Result<NewEvent> made = make_new_event("orders.1", event);
  if (made) return "accepted";
  EXPECT_EQ(made.error().details.size(), 1U);
  return std::string(code_info(made.error().code).name) + " " + made.error().details.at(0).subject;
}

TEST(CloudEventTest, WritesTheBytesThatProtobufWrites) {
  v1::CloudEvent event = with_text("application/json", R"({"a":1})");
  event.set_spec_version("1.0");
  attribute(event, "zeta").set_ce_integer(-7);
  attribute(event, "alpha").set_ce_boolean(false);
  attribute(event, "bin").set_ce_bytes(std::string("\0\xff", 2));
  attribute(event, "uri").set_ce_uri("https://example.org");
  attribute(event, "ref").set_ce_uri_ref("/x");
  attribute(event, "empty").set_ce_string("");
  attribute(event, "when").mutable_ce_timestamp()->set_seconds(12);
  attribute(event, "epoch").mutable_ce_timestamp();
  EXPECT_EQ(canonical(event), deterministic(event));
}

TEST(CloudEventTest, WritesTheBytesThatProtobufWritesForRandomEvents) {
  test::RandomInput random;
  for (int i = 0; i < 3000; ++i) {
    v1::CloudEvent event = test::random_event(random);
    event.set_spec_version("1.0");
    ASSERT_EQ(canonical(event), deterministic(event)) << "seed " << random.seed();
  }
}

TEST(CloudEventTest, GivesEqualEventsEqualBytes) {
  v1::CloudEvent one = minimal_event();
  v1::CloudEvent other = minimal_event();
  other.set_spec_version("1.0");
  for (int i = 0; i < 20; ++i) attribute(one, "x" + std::to_string(i)).set_ce_integer(i);
  for (int i = 19; i >= 0; --i) attribute(other, "x" + std::to_string(i)).set_ce_integer(i);
  attribute(one, "time").set_ce_string("2026-01-02T05:04:05.6+02:00");
  attribute(other, "time").mutable_ce_timestamp()->set_seconds(1767323045);
  attribute(other, "time").mutable_ce_timestamp()->set_nanos(600'000'000);
  attribute(one, "dataschema").set_ce_string("https://example.org/schema");
  attribute(other, "dataschema").set_ce_uri("https://example.org/schema");
  attribute(one, "datacontenttype").set_ce_string("application/json");
  attribute(other, "datacontenttype").set_ce_string("application/json");
  one.set_text_data("[1, 2]");
  other.set_binary_data("[1, 2]");
  EXPECT_EQ(canonical(one), canonical(other));
}

TEST(CloudEventTest, TakesAContentTypeOfEveryKindOfText) {
  const v1::CloudEvent as_string = with_binary("image/png", "1");
  v1::CloudEvent as_uri = as_string;
  attribute(as_uri, "datacontenttype").set_ce_uri("image/png");
  EXPECT_EQ(canonical(as_uri), canonical(as_string));
  attribute(as_uri, "datacontenttype").set_ce_uri_ref("image/png");
  EXPECT_EQ(canonical(as_uri), canonical(as_string));
}

TEST(CloudEventTest, KeepsDataAsItWasPublished) {
  EXPECT_EQ(stored(with_text("", " {\"a\" : 1.0, \"a\":2}\n")).text_data(),
            " {\"a\" : 1.0, \"a\":2}\n");
  EXPECT_EQ(stored(with_text("text/plain", "{ not json")).text_data(), "{ not json");
  EXPECT_EQ(stored(with_binary("", "{}")).binary_data(), "{}");
  EXPECT_EQ(stored(with_binary("image/png", "\xff")).binary_data(), "\xff");
  EXPECT_EQ(stored(with_binary("application/json", "{}")).text_data(), "{}");
  EXPECT_TRUE(stored(with_binary("image/png", "")).has_binary_data());
  EXPECT_EQ(stored(minimal_event()).data_case(), v1::CloudEvent::DATA_NOT_SET);
}

TEST(CloudEventTest, RefusesWhatIsWrongAndNamesTheField) {
  struct Case {
    std::string expected;
    std::function<void(v1::CloudEvent&)> spoil;
  };
  const auto set_text = [](std::string name, std::string value) {
    return [=](v1::CloudEvent& event) { attribute(event, name).set_ce_string(value); };
  };
  const Case cases[] = {
      {"bad_event event.id", [](v1::CloudEvent& e) { e.clear_id(); }},
      {"bad_event event.id", [](v1::CloudEvent& e) { e.set_id(std::string(257, 'x')); }},
      {"bad_event event.id", [](v1::CloudEvent& e) { e.set_id("a\nb"); }},
      {"bad_event event.id", [](v1::CloudEvent& e) { e.set_id("a\xc2\x85"); }},
      {"bad_event event.id", [](v1::CloudEvent& e) { e.set_id("a\x7f"); }},
      {"bad_event event.id", [](v1::CloudEvent& e) { e.set_id("\xc2"); }},
      {"bad_event event.source", [](v1::CloudEvent& e) { e.clear_source(); }},
      {"bad_event event.source", [](v1::CloudEvent& e) { e.set_source(std::string(513, 'x')); }},
      {"bad_event event.type", [](v1::CloudEvent& e) { e.clear_type(); }},
      {"bad_event event.type", [](v1::CloudEvent& e) { e.set_type(std::string(257, 'x')); }},
      {"bad_event event.specversion", [](v1::CloudEvent& e) { e.set_spec_version("0.3"); }},
      {"bad_event event.attributes", set_text("", "x")},
      {"bad_event event.attributes", set_text("Upper", "x")},
      {"bad_event event.attributes", set_text("with-dash", "x")},
      {"bad_event event.attributes", set_text(std::string(21, 'a'), "x")},
      {"bad_event event.attributes", set_text("id", "x")},
      {"bad_event event.attributes", set_text("source", "x")},
      {"bad_event event.attributes", set_text("type", "x")},
      {"bad_event event.attributes", set_text("specversion", "1.0")},
      {"bad_event event.attributes", set_text("data", "x")},
      {"bad_event event.attributes", set_text("data_base64", "x")},
      {"bad_event event.x", set_text("x", "tab\t")},
      {"bad_event event.subject", set_text("subject", "")},
      {"bad_event event.time", set_text("time", "yesterday")},
      {"bad_event event.time", set_text("time", "1969-12-31T23:59:59Z")},
      {"bad_event event.x", [](v1::CloudEvent& e) { attribute(e, "x"); }},
      {"bad_event event.time", [](v1::CloudEvent& e) { attribute(e, "time").set_ce_integer(5); }},
      {"bad_event event.x",
       [](v1::CloudEvent& e) { attribute(e, "x").mutable_ce_timestamp()->set_seconds(-1); }},
      {"bad_event event.datacontenttype",
       [](v1::CloudEvent& e) { attribute(e, "datacontenttype").set_ce_integer(1); }},
      {"bad_event event.attributes",
       [](v1::CloudEvent& e) {
         for (int i = 0; i < 33; ++i) attribute(e, "x" + std::to_string(i)).set_ce_integer(i);
       }},
      {"unsupported event.proto_data", [](v1::CloudEvent& e) { e.mutable_proto_data(); }},
      {"bad_event event.data", [](v1::CloudEvent& e) { e.set_text_data("not json"); }},
      {"bad_event event.data", [](v1::CloudEvent& e) { e.set_text_data(""); }},
      {"event_too_large event",
       [](v1::CloudEvent& e) { e.set_binary_data(std::string(kEventBytesMax, 'x')); }},
      {"event_too_large event",
       [](v1::CloudEvent& e) { e.set_text_data(std::string(2 * kEventBytesMax, ' ')); }},
  };
  for (const Case& one : cases) {
    v1::CloudEvent event = minimal_event();
    one.spoil(event);
    EXPECT_EQ(refusal(event), one.expected) << event.ShortDebugString().substr(0, 200);
  }
}

TEST(CloudEventTest, AcceptsValuesAtTheirLimits) {
  v1::CloudEvent event = minimal_event();
  event.set_id(std::string(256, 'x'));
  event.set_source(std::string(512, 'x'));
  event.set_type(std::string(256, 'x'));
  for (int i = 0; i < 31; ++i) attribute(event, "x" + std::to_string(i)).set_ce_integer(i);
  attribute(event, std::string(20, 'a')).set_ce_string("é\xc2\xa0");
  EXPECT_EQ(refusal(event), "accepted");
  const std::size_t room = kEventBytesMax - canonical(event).size() - 4;
  event.set_binary_data(std::string(room, 'x'));
  EXPECT_EQ(canonical(event).size(), kEventBytesMax);
  event.set_binary_data(std::string(room + 1, 'x'));
  EXPECT_EQ(refusal(event), "event_too_large event");
}

TEST(CloudEventTest, ChecksDeclaredJson) {
  const std::string deepest = std::string(64, '[') + std::string(64, ']');
  EXPECT_EQ(refusal(with_text("application/json", deepest)), "accepted");
  EXPECT_EQ(refusal(with_text("application/json", "[" + deepest + "]")), "bad_event event.data");
  EXPECT_EQ(refusal(with_text("application/json", "{} {}")), "bad_event event.data");
  EXPECT_EQ(refusal(with_text("application/cloudevents+json", "{")), "bad_event event.data");
  EXPECT_EQ(refusal(with_binary("application/json", "\xff")), "bad_event event.data");
  EXPECT_EQ(refusal(with_binary("application/json", "")), "bad_event event.data");
  EXPECT_EQ(refusal(with_text("text/plain", "\xff")), "bad_event event.data");
}

TEST(CloudEventTest, AdvisesAContentTypeForTextThatIsNotJson) {
  const Result<NewEvent> made = make_new_event("orders.1", with_text("", "hello"));
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().message.find("set datacontenttype"), std::string::npos);
}

TEST(CloudEventTest, ChecksTheNameOfTheStream) {
  for (std::string_view name : {"", "a..b", "_hidden", "$sys", "a b", "a.*"}) {
    const Result<NewEvent> made = make_new_event(name, minimal_event());
    ASSERT_FALSE(made) << name;
    EXPECT_EQ(made.error().code, Code::kBadArgument);
    EXPECT_EQ(made.error().details.at(0).subject, "stream");
  }
}

TEST(CloudEventTest, KnowsJsonContentTypes) {
  for (std::string_view type :
       {"", "application/json", "Application/JSON", "application/json; charset=utf-8", "text/json",
        " application/x+json ;v=1"}) {
    EXPECT_TRUE(is_json_content_type(type)) << type;
  }
  for (std::string_view type :
       {"text/plain", "application/jsonl", "json", "application/xml; a=\"/json\"", ";"}) {
    EXPECT_FALSE(is_json_content_type(type)) << type;
  }
}

TEST(CloudEventTest, ReadsTheTimeOfBothKinds) {
  v1::CloudEvent event = minimal_event();
  EXPECT_EQ(cloud_event_time_us(event), std::nullopt);
  attribute(event, "time").set_ce_string("1970-01-01T00:00:01.5Z");
  EXPECT_EQ(cloud_event_time_us(event), 1'500'000);
  attribute(event, "time").mutable_ce_timestamp()->set_seconds(2);
  attribute(event, "time").mutable_ce_timestamp()->set_nanos(7999);
  EXPECT_EQ(cloud_event_time_us(event), 2'000'007);
  attribute(event, "time").set_ce_boolean(true);
  EXPECT_EQ(cloud_event_time_us(event), std::nullopt);
}

}  // namespace
}  // namespace tidegate
