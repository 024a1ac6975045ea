#include <simdjson.h>

#include <gtest/gtest.h>

#include "tests/cloudevents/cloud_event_builder.h"

namespace tidegate {
namespace {

using test::attribute;
using test::canonical;
using test::with_binary;
using test::with_text;

std::string json_of(const v1::CloudEvent& event, bool minify = false) {
  std::string out;
  append_cloud_event_json(out, canonical(event), minify);
  return out;
}

// The message of the refusal, or the event's canonical JSON.
std::string parsed(std::string_view json) {
  const Result<v1::CloudEvent> event = cloud_event_from_json(json);
  if (event) return json_of(*event);
  EXPECT_EQ(event.error().code, Code::kBadEvent);
  return event.error().message;
}

// A minimal event with further members.
std::string with_members(std::string_view members) {
  return R"({"specversion":"1.0","id":"1","source":"/s","type":"t")" + std::string(members) + "}";
}

TEST(CloudEventJsonTest, WritesContextThenAttributesThenData) {
  v1::CloudEvent event = with_text("application/json", "{ \"total\" : 1.0 }\n");
  attribute(event, "time").mutable_ce_timestamp()->set_seconds(1767323045);
  attribute(event, "subject").set_ce_string("a\"b");
  attribute(event, "flag").set_ce_boolean(true);
  attribute(event, "off").set_ce_boolean(false);
  attribute(event, "count").set_ce_integer(-2147483648);
  attribute(event, "bin").set_ce_bytes("foobar");
  EXPECT_EQ(
      json_of(event),
      R"({"specversion":"1.0","id":"1","source":"/s","type":"t","bin":"Zm9vYmFy","count":-2147483648,)"
      R"("datacontenttype":"application/json","flag":true,"off":false,"subject":"a\"b",)"
      "\"time\":\"2026-01-02T03:04:05Z\",\"data\":{ \"total\" : 1.0 }\n}");
}

TEST(CloudEventJsonTest, WritesEachKindOfData) {
  EXPECT_EQ(json_of(test::minimal_event()), with_members(""));
  EXPECT_EQ(json_of(with_text("", "null")), with_members(R"(,"data":null)"));
  EXPECT_EQ(json_of(with_text("", " [1,\n 2] "), true), with_members(R"(,"data":[1,2])"));
  EXPECT_EQ(json_of(with_text("text/plain", "a\n\"b\" ")),
            with_members(R"(,"datacontenttype":"text/plain","data":"a\n\"b\" ")"));
  EXPECT_EQ(json_of(with_binary("", "foob")), with_members(R"(,"data_base64":"Zm9vYg==")"));
}

TEST(CloudEventJsonTest, ReadsEachKindOfMember) {
  for (std::string_view members :
       {R"(,"a1":"x","b2":true,"c3":-5)", R"(,"data":{"a": [1.0, 1e400], "a":2})",
        R"(,"data":null)", R"(,"datacontenttype":"text/plain","data":"x")",
        R"(,"data_base64":"Zm9v")",
        R"(,"dataschema":"https://x/y","time":"2026-01-02T03:04:05.123456789Z")"}) {
    EXPECT_EQ(parsed(with_members(members)), with_members(members));
  }
}

TEST(CloudEventJsonTest, NormalisesWhatMeansTheSame) {
  EXPECT_EQ(parsed(with_members(R"(,"subject":null,"data_base64":null)")), with_members(""));
  EXPECT_EQ(parsed(with_members(R"(,"z":1,"a":2)")), with_members(R"(,"a":2,"z":1)"));
  EXPECT_EQ(parsed(R"( {"type":"t", "\u0069d":"\u0031","source":"\/s","specversion":"1.0"} )"),
            with_members(""));
  EXPECT_EQ(parsed(with_members(R"(,"datacontenttype":"application/json","data_base64":"e30=")")),
            with_members(R"(,"datacontenttype":"application/json","data":{})"));
}

TEST(CloudEventJsonTest, RefusesWhatIsWrongAndNamesTheMember) {
  const std::pair<std::string, std::string> cases[] = {
      {"", "expected a value at byte 0"},
      {"[]", "must be a JSON object"},
      {"{}", "event.specversion: is missing"},
      {R"({"specversion":"0.3"})", "event.specversion: must be \"1.0\""},
      {R"({"specversion":1.0})", "event.specversion: must be a string"},
      {R"({"id":5})", "event.id: must be a string"},
      {R"({"id":"1","\u0069d":"1"})", "event.id: is there twice"},
      {with_members(R"(,"data":1,"data":1)"), "event.data: is there twice"},
      {with_members(R"(,"data":1,"data_base64":"")"), "event.data: an event has either"},
      {with_members(R"(,"data_base64":"Zg")"), "event.data_base64: is not base64"},
      {with_members(R"(,"data_base64":5)"), "event.data_base64: must be a string"},
      {with_members(R"(,"datacontenttype":"text/plain","data":{})"),
       "event.data: must be a string"},
      {with_members(R"(,"x":[1])"), "event.x: must be a string, a boolean or a 32-bit integer"},
      {with_members(R"(,"x":{})"), "event.x: must be a string, a boolean or a 32-bit integer"},
      {with_members(R"(,"x":1.5)"), "event.x: is a number but no 32-bit integer"},
      {with_members(R"(,"x":2147483648)"), "event.x: is a number but no 32-bit integer"},
      {"\xef\xbb\xbf" + with_members(""), "expected a value at byte 0"},
      {with_members("") + "x", "expected the end after the value"},
      {with_members(",\"data\":" + std::string(65, '[') + std::string(65, ']')),
       "less deeply nested"},
  };
  for (const auto& [json, message] : cases) {
    EXPECT_NE(parsed(json).find(message), std::string::npos) << json << "\n" << parsed(json);
  }
}

TEST(CloudEventJsonTest, BoundsNamesAndTheirNumber) {
  std::string members;
  for (int i = 0; i < 100'000; ++i) members += ",\"x" + std::to_string(i) + "\":1";
  EXPECT_EQ(parsed(with_members(members)), "event.x34: is one attribute too many");
  const std::string long_name(100'000, 'n');
  EXPECT_LT(parsed(with_members(",\"" + long_name + "\":[]")).size(), 200U);
}

TEST(CloudEventJsonTest, GivesBackRandomEventsThroughJson) {
  test::RandomInput random;
  simdjson::dom::parser parser;
  for (int i = 0; i < 3000; ++i) {
    const v1::CloudEvent event = test::random_event(random);
    const std::string json = json_of(event);
    const auto judged = parser.parse(json).error();
    ASSERT_TRUE(judged == simdjson::SUCCESS || judged == simdjson::NUMBER_ERROR) << json;
    const Result<v1::CloudEvent> again = cloud_event_from_json(json);
    ASSERT_TRUE(again) << again.error().message << "\nseed " << random.seed() << "\n" << json;
    if (event.has_text_data() && json.find("\"data\": ") == std::string::npos) {
      EXPECT_EQ(json_of(*again), json) << "seed " << random.seed();
    }
    EXPECT_EQ(json_of(*again, true), json_of(event, true)) << "seed " << random.seed();
  }
}

TEST(CloudEventJsonTest, WritesOneLineWhenMinified) {
  test::RandomInput random;
  for (int i = 0; i < 1000; ++i) {
    const std::string json = json_of(test::random_event(random), true);
    EXPECT_EQ(json.find('\n'), std::string::npos) << "seed " << random.seed() << "\n" << json;
  }
}

}  // namespace
}  // namespace tidegate
