#include "tools/tidegate/load_connection.h"

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "gateway/cloudevents/cloud_event.h"
#include "gateway/delivery/codec.h"
#include "tools/tidegate/bench_events.h"

// The bytes of a gateway, made by the gateway's own codec, in frames and pieces of every size.

namespace tidegate {
namespace {

constexpr std::size_t kDataBytes = 128;
constexpr std::int64_t kSentUs = 1'790'000'000'000'000;
constexpr Revision kFirst = 95;  // so that the number of digits changes in between
constexpr std::size_t kEvents = 20;

WireForm wire_form(LoadForm form) {
  return form == LoadForm::kJson ? WireForm::kJson : WireForm::kProto;
}

SegmentRef make_segment(std::size_t data_bytes) {
  auto segment = std::make_shared<Segment>(1 << 20, kEvents);
  const BenchEvents events(data_bytes, {"bench.fanout"}, 0);
  for (std::size_t i = 0; i < kEvents; ++i) {
    v1::NewEvent event;
    events.fill(event, i, kSentUs + static_cast<std::int64_t>(i));
    const Result<NewEvent> made = make_new_event(event.stream(), event.event());
    EXPECT_TRUE(made);
    RecordView record;
    record.sequence = kFirst + 900 + i;
    record.revision = kFirst + i;
    record.append_time_us = kSentUs + static_cast<std::int64_t>(i) * 500;
    record.stream = made->stream;
    record.event = made->event;
    record.type = record.event.substr(record.event.find("bench.event"), 11);
    EXPECT_TRUE(segment->append(record));
  }
  segment->publish(kFirst + 900 + kEvents - 1);
  return segment;
}

// The message with the events [begin, end).
std::string events_message(LoadForm form, std::size_t begin, std::size_t end,
                           std::size_t data_bytes = kDataBytes) {
  const SegmentRef segment = make_segment(data_bytes);
  const WireForm wire = wire_form(form);
  EventsMessage message(wire, "s");
  for (std::size_t i = begin; i < end; ++i) {
    message.add(segment->encoded(i, wire,
                                 [wire](const RecordView& record, std::string& out) {
                                   encode_event(wire, record, out);
                                 }),
                segment);
  }
  return std::move(message).finish("abcdefghijklmnop.20.01234567").joined();
}

std::string frame(unsigned first_byte, std::string_view payload) {
  std::string bytes(1, static_cast<char>(first_byte));
  if (payload.size() < 126) {
    bytes += static_cast<char>(payload.size());
  } else if (payload.size() < 65'536) {
    bytes += '\x7E';
    bytes += static_cast<char>(payload.size() >> 8);
    bytes += static_cast<char>(payload.size());
  } else {
    bytes += '\x7F';
    for (int shift = 56; shift >= 0; shift -= 8) {
      bytes += static_cast<char>(static_cast<std::uint64_t>(payload.size()) >> shift);
    }
  }
  return bytes.append(payload);
}

constexpr unsigned kFinal = 0x80;

std::string notice(LoadForm form, const v1::ServerMessage& message) {
  return frame(kFinal | 2, encode_server_message(wire_form(form), message));
}

std::string upgrade_answer(LoadForm form) {
  return std::string("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: ") +
         "vFXqWF4RdRdIgFaA96Vgefktipc=\r\nSec-WebSocket-Protocol: tidegate.v1." +
         (form == LoadForm::kJson ? "json" : "proto") + "\r\n\r\n";
}

class LoadConnectionTest : public testing::TestWithParam<LoadForm> {
 protected:
  // Hands `bytes` over in pieces of at most `most` bytes, as a socket would.
  Status receive(const std::string& bytes, std::size_t most) {
    std::vector<char> buffer(bytes.size() + 64);
    std::string left;
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t now = std::min<std::size_t>(bytes.size() - at, 1 + random_() % most);
      std::copy(left.begin(), left.end(), buffer.begin());
      std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), now,
                  buffer.begin() + static_cast<std::ptrdiff_t>(left.size()));
      const std::size_t size = left.size() + now;
      const Result<std::size_t> rest = connection_->take(buffer.data(), size, found_);
      if (!rest) return rest.error();
      left.assign(buffer.data() + *rest, size - *rest);
      at += now;
    }
    EXPECT_EQ(left, "");
    return {};
  }

  void restart() {
    connection_ = std::make_unique<LoadConnection>(GetParam(), kDataBytes,
                                                   DeliveryCheck(kFirst, kFirst + kEvents));
    found_ = {};
  }

  // Of a whole session, in one piece or cut in its last message.
  std::string position_of_session() const { return "abcdefghijklmnop.20.01234567"; }

  void expect_all_events() {
    ASSERT_EQ(found_.events.size(), kEvents);
    for (std::size_t i = 0; i < kEvents; ++i) {
      EXPECT_EQ(found_.events[i].sequence, kFirst + 900 + i);
      EXPECT_EQ(found_.events[i].revision, kFirst + i);
      EXPECT_EQ(found_.events[i].sent_us, kSentUs + static_cast<std::int64_t>(i));
    }
  }

  std::string session() {
    v1::ServerMessage welcome;
    welcome.mutable_welcome()->set_connection("c1");
    v1::ServerMessage subscribed;
    subscribed.mutable_subscribed()->set_id("s");
    v1::ServerMessage behind;
    behind.mutable_fell_behind()->set_id("s");
    return upgrade_answer(GetParam()) + notice(GetParam(), welcome) +
           notice(GetParam(), subscribed) + frame(kFinal | 2, events_message(GetParam(), 0, 7)) +
           frame(kFinal | 9, "are you there") + notice(GetParam(), behind) +
           frame(kFinal | 2, events_message(GetParam(), 7, kEvents));
  }

  std::mt19937 random_{11};
  std::unique_ptr<LoadConnection> connection_;
  LoadConnection::Found found_;
};

TEST_P(LoadConnectionTest, ReadsASessionInPiecesOfEverySize) {
  for (const std::size_t most : {1U, 2U, 7U, 100U, 400U, 3000U, 1000000U}) {
    SCOPED_TRACE(most);
    restart();
    const Status received = receive(session(), most);
    ASSERT_TRUE(received) << received.error().message;
    expect_all_events();
    ASSERT_EQ(found_.notices.size(), 3U);
    EXPECT_EQ(found_.notices[0].kind, ServerNotice::Kind::kWelcome);
    EXPECT_EQ(found_.notices[1].kind, ServerNotice::Kind::kSubscribed);
    EXPECT_EQ(found_.notices[2].kind, ServerNotice::Kind::kFellBehind);
    // A pong of 13 bytes, masked with zeros.
    EXPECT_EQ(found_.answers, std::string("\x8A\x8D\0\0\0\0", 6) + "are you there");
  }
}

TEST_P(LoadConnectionTest, ReadsFragmentsWithAPingInBetween) {
  const std::string message = events_message(GetParam(), 0, kEvents);
  for (const std::size_t cut : {1UL, 20UL, 333UL, message.size() - 1}) {
    SCOPED_TRACE(cut);
    restart();
    const std::string_view all(message);
    const Status received = receive(upgrade_answer(GetParam()) + frame(2, all.substr(0, cut)) +
                                        frame(kFinal | 9, "") + frame(kFinal, all.substr(cut)),
                                    50);
    ASSERT_TRUE(received) << received.error().message;
    expect_all_events();
  }
}

TEST_P(LoadConnectionTest, ResumesByThePositionOfTheLastMessage) {
  for (const std::size_t most : {3U, 1000000U}) {
    restart();
    ASSERT_TRUE(receive(session(), most));
    connection_->break_off();
    EXPECT_EQ(connection_->resumption().after(), position_of_session());
    // The next bytes are those of a new connection.
    found_ = {};
    ASSERT_TRUE(receive(session(), most));
    expect_all_events();
  }
}

TEST_P(LoadConnectionTest, ResumesByTheSequenceWithinAMessage) {
  restart();
  const std::string message = frame(kFinal | 2, events_message(GetParam(), 0, kEvents));
  std::string bytes = upgrade_answer(GetParam()) + message.substr(0, message.size() / 2);
  const Result<std::size_t> rest = connection_->take(bytes.data(), bytes.size(), found_);
  ASSERT_TRUE(rest);
  ASSERT_FALSE(found_.events.empty());
  const ScannedEvent& last = found_.events.back();
  for (const ScannedEvent& event : found_.events) {
    connection_->check().take(event.sequence, event.revision);
  }
  connection_->break_off();
  EXPECT_EQ(connection_->resumption().after_sequence(), last.sequence);
}

TEST_P(LoadConnectionTest, HasNothingToResumeBeforeAnyAnswer) {
  restart();
  connection_->break_off();
  EXPECT_EQ(connection_->resumption().place_case(), v1::Start::PLACE_NOT_SET);
}

TEST_P(LoadConnectionTest, AsksForEveryKindOfStart) {
  v1::SubscribeOp wanted;
  wanted.set_id("s1");
  wanted.add_streams("a.b");
  wanted.add_streams("c.*");
  wanted.set_window(7);
  for (const char* start : {"head", "start", "position", "sequence"}) {
    SCOPED_TRACE(start);
    wanted.clear_start();
    v1::Start& place = *wanted.mutable_start();
    if (start[0] == 'h') place.set_edge(v1::EDGE_HEAD);
    if (std::string_view(start) == "start") place.set_edge(v1::EDGE_START);
    if (start[0] == 'p') place.set_after("abcdefghijklmnop.20.01234567");
    if (std::string_view(start) == "sequence") place.set_after_sequence(12);
    const std::string bytes = subscribe_frame(wanted, GetParam());
    // Two bytes of a short frame, or four, and a mask of zeros.
    const std::size_t header = (bytes[1] & 0x7F) == 126 ? 8 : 6;
    ReplyTo reply_to;
    const auto read = decode_client_message(wire_form(GetParam()), bytes.substr(header), reply_to);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->subscribe().DebugString(), wanted.DebugString());
  }
}

TEST_P(LoadConnectionTest, RefusesEventsThatNoBenchmarkPublished) {
  restart();
  std::string message = events_message(GetParam(), 0, 3);
  message.replace(message.rfind("sent_us"), 7, "else_us");
  EXPECT_FALSE(receive(upgrade_answer(GetParam()) + frame(kFinal | 2, message), 500));
}

TEST_P(LoadConnectionTest, RefusesAMessageThatEndsInTheMiddle) {
  restart();
  const std::string message = events_message(GetParam(), 0, 3);
  const std::string cut = message.substr(0, message.size() / 2);
  EXPECT_FALSE(receive(upgrade_answer(GetParam()) + frame(kFinal | 2, cut), 500));
}

TEST_P(LoadConnectionTest, ReportsRefusalsAndCloseFrames) {
  restart();
  v1::ServerMessage error;
  error.mutable_error()->set_code("overloaded");
  ASSERT_TRUE(receive(upgrade_answer(GetParam()) + notice(GetParam(), error), 500));
  ASSERT_EQ(found_.notices.size(), 1U);
  EXPECT_EQ(found_.notices[0].kind, ServerNotice::Kind::kRefusal);
  EXPECT_NE(found_.notices[0].text.find("overloaded"), std::string::npos);
  const Status closed = receive(frame(kFinal | 8, "\x03\xF4 drain"), 500);
  ASSERT_FALSE(closed);
  EXPECT_NE(closed.error().message.find("1012"), std::string::npos);
}

TEST_P(LoadConnectionTest, RefusesOtherAnswersAndFrames) {
  const std::string upgraded = upgrade_answer(GetParam());
  for (const std::string& bytes :
       {std::string("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\r\n"),
        upgraded + frame(kFinal | 0x40 | 2, "x"), upgraded + std::string("\x82\x85", 2),
        upgraded + frame(kFinal, "no beginning"), upgraded + frame(9, "cut ping"),
        upgraded + frame(2, "x") + frame(2, "y"), upgraded + frame(kFinal | 2, "!")}) {
    restart();
    EXPECT_FALSE(receive(bytes, 1000)) << bytes;
  }
}

INSTANTIATE_TEST_SUITE_P(Forms, LoadConnectionTest,
                         testing::Values(LoadForm::kJson, LoadForm::kProto), [](const auto& form) {
                           return form.param == LoadForm::kJson ? "Json" : "Proto";
                         });

}  // namespace
}  // namespace tidegate
