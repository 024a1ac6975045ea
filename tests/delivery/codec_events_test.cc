#include <simdjson.h>

#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "gateway/cloudevents/cloud_event.h"
#include "gateway/delivery/codec.h"
#include "tests/cloudevents/cloud_event_builder.h"

namespace tidegate {
namespace {

// A segment with one event for each sequence from 1 on.
SegmentRef segment_of(const std::vector<v1::CloudEvent>& events) {
  auto segment = std::make_shared<Segment>(1 << 20, events.size());
  for (std::size_t i = 0; i < events.size(); ++i) {
    const Result<NewEvent> made = make_new_event("orders.eu.1", events[i]);
    RecordView record;
    record.sequence = i + 1;
    record.revision = i + 7;
    record.append_time_us = 1'767'323'045'000'001 + static_cast<std::int64_t>(i) * 999;
    record.stream = made->stream;
    record.event = made->event;
    // A segment expects the type to be a part of the event.
    record.type = record.event.substr(record.event.find(events[i].type()), events[i].type().size());
    EXPECT_TRUE(segment->append(record));
  }
  segment->publish(events.size());
  return segment;
}

std::vector<v1::CloudEvent> random_events(test::RandomInput& random, std::size_t count) {
  std::vector<v1::CloudEvent> events;
  for (std::size_t i = 0; i < count; ++i) events.push_back(test::random_event(random));
  return events;
}

OutgoingMessage message_of(WireForm form, const SegmentRef& segment, std::string_view id) {
  EventsMessage message(form, id);
  for (std::size_t i = 0; i < segment->count(); ++i) {
    const std::string_view bytes = segment->encoded(
        i, form,
        [form](const RecordView& record, std::string& out) { encode_event(form, record, out); });
    message.add(bytes, segment);
  }
  EXPECT_EQ(message.events(), segment->count());
  return std::move(message).finish("log.60.check");
}

std::string joined(const OutgoingMessage& message) {
  const std::string out = message.joined();
  EXPECT_EQ(out.size(), message.bytes);
  return out;
}

TEST(CodecEventsTest, JsonHasTheShapeOfTheProtocol) {
  const SegmentRef segment =
      segment_of({test::with_text("", "{ \"a\":1.0 }"), test::minimal_event()});
  EXPECT_EQ(
      joined(message_of(WireForm::kJson, segment, "my \"sub\"")),
      R"({"op":"events","id":"my \"sub\"","events":[)"
      R"({"sequence":1,"stream":"orders.eu.1","revision":7,"time":"2026-01-02T03:04:05.000001Z",)"
      R"("event":{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{ "a":1.0 }}},)"
      R"({"sequence":2,"stream":"orders.eu.1","revision":8,"time":"2026-01-02T03:04:05.001Z",)"
      R"("event":{"specversion":"1.0","id":"1","source":"/s","type":"t"}}],"position":"log.60.check"})");
}

TEST(CodecEventsTest, SixtyEventsFitOneGatheredWrite) {
  test::RandomInput random;
  const SegmentRef segment = segment_of(random_events(random, 60));
  for (WireForm form : {WireForm::kJson, WireForm::kProto}) {
    const OutgoingMessage message = message_of(form, segment, "a");
    EXPECT_LE(message.pieces(), 64U);
    EXPECT_EQ(message.pins.size(), 1U);
  }
}

TEST(CodecEventsTest, JsonIsReadableByAnotherParser) {
  test::RandomInput random;
  const SegmentRef segment =
      segment_of(std::vector<v1::CloudEvent>(60, test::with_text("", "[true]")));
  simdjson::dom::parser parser;
  const std::string text = joined(message_of(WireForm::kJson, segment, "a"));
  simdjson::dom::element message = parser.parse(text);
  EXPECT_EQ(message["position"].get_string().value(), "log.60.check");
  std::uint64_t sequence = 0;
  for (simdjson::dom::element event : message["events"].get_array()) {
    EXPECT_EQ(event["sequence"].get_uint64().value(), ++sequence);
    EXPECT_EQ(event["event"]["data"].at(0).get_bool().value(), true);
  }
  EXPECT_EQ(sequence, 60U);
}

TEST(CodecEventsTest, ProtoIsWhatProtobufWouldWrite) {
  test::RandomInput random;
  const std::vector<v1::CloudEvent> events = random_events(random, 60);
  const SegmentRef segment = segment_of(events);
  v1::ServerMessage parsed;
  const std::string bytes = joined(message_of(WireForm::kProto, segment, "a"));
  ASSERT_TRUE(parsed.ParseFromString(bytes)) << "seed " << random.seed();
  EXPECT_EQ(parsed.ByteSizeLong(), bytes.size());
  EXPECT_EQ(parsed.events().id(), "a");
  EXPECT_EQ(parsed.events().position(), "log.60.check");
  ASSERT_EQ(parsed.events().events_size(), 60);
  for (int i = 0; i < 60; ++i) {
    const v1::RecordedEvent& event = parsed.events().events(i);
    EXPECT_EQ(event.sequence(), static_cast<std::uint64_t>(i + 1));
    EXPECT_EQ(event.stream(), "orders.eu.1");
    EXPECT_EQ(event.revision(), static_cast<std::uint64_t>(i + 7));
    EXPECT_EQ(event.time().seconds(), 1'767'323'045);
    EXPECT_EQ(event.time().nanos(), (1 + i * 999) * 1000);
    v1::CloudEvent expected = events[static_cast<std::size_t>(i)];
    expected.set_spec_version("1.0");
    EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(event.event(), expected))
        << "seed " << random.seed();
  }
}

TEST(CodecEventsTest, AMessageWithoutEventsIsWellFormed) {
  EXPECT_EQ(joined(EventsMessage(WireForm::kJson, "a").finish("p")),
            R"({"op":"events","id":"a","events":[],"position":"p"})");
  v1::ServerMessage parsed;
  ASSERT_TRUE(parsed.ParseFromString(joined(EventsMessage(WireForm::kProto, "a").finish("p"))));
  EXPECT_EQ(parsed.events().position(), "p");
}

TEST(CodecEventsTest, PinsEverySegmentThatItPointsInto) {
  const SegmentRef one = segment_of({test::minimal_event()});
  const SegmentRef other = segment_of({test::minimal_event()});
  EventsMessage message(WireForm::kProto, "a");
  message.add("x", one);
  message.add("x", one);
  message.add("x", other);
  const OutgoingMessage done = std::move(message).finish("p");
  EXPECT_EQ(std::vector<SegmentRef>(done.pins.begin(), done.pins.end()),
            (std::vector<SegmentRef>{one, other}));
}

TEST(CodecEventsTest, PiecesStayValidWhenTheMessageMoves) {
  const SegmentRef segment = segment_of({test::minimal_event()});
  OutgoingMessage message = message_of(WireForm::kProto, segment, "a");
  const std::string before = joined(message);
  const OutgoingMessage moved = std::move(message);
  EXPECT_EQ(joined(moved), before);
}

}  // namespace
}  // namespace tidegate
