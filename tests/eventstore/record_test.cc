#include "eventstore/record.h"

#include <cstring>
#include <xxhash.h>

#include <gtest/gtest.h>

#include "tests/support/event_builder.h"
#include "tidegate/storage/v1/record.pb.h"

namespace tidegate::test {
namespace {

constexpr std::size_t kChainBytes = 8;

TEST(RecordTest, IsTheGeneratedMessageBehindItsChain) {
  const struct {
    const char* stream;
    Revision revision;
    std::int64_t time_us;
    std::size_t event_bytes;
  } cases[] = {{"a", 1, 1, 1},
               {"orders.eu.42", 127, 1, 100},
               {"a", 128, 1'700'000'000'000'000, 20'000},
               {"a", ~Revision{0}, INT64_MAX, 1 << 20},
               {"a", 1, 0, 1}};
  Chain before = chain_of(LogId::parse("abcdefghijklmnop").value());
  for (const auto& tested : cases) {
    const std::string event(tested.event_bytes, 'e');
    std::string value;
    const Chain chain =
        append_record(value, before, tested.stream, tested.revision, tested.time_us, event);
    storage::v1::Record expected;
    expected.set_stream(tested.stream);
    expected.set_revision(tested.revision);
    expected.set_append_time_us(tested.time_us);
    expected.set_event(event);
    EXPECT_EQ(value.substr(kChainBytes), expected.SerializeAsString());
    Chain stored = 0;
    std::memcpy(&stored, value.data(), kChainBytes);
    EXPECT_EQ(stored, chain);
    EXPECT_EQ(chain_after(before, value), chain);
    std::string input(reinterpret_cast<const char*>(&before), kChainBytes);
    input += expected.SerializeAsString();
    EXPECT_EQ(chain, XXH3_64bits(input.data(), input.size()));

    const auto decoded = decode_record(9, value);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(decoded->sequence, 9u);
    EXPECT_EQ(decoded->stream, tested.stream);
    EXPECT_EQ(decoded->revision, tested.revision);
    EXPECT_EQ(decoded->append_time_us, tested.time_us);
    EXPECT_EQ(decoded->event, event);
    EXPECT_EQ(decoded->chain, chain);
    before = chain;
  }
}

TEST(RecordTest, AppendsBehindWhatIsThere) {
  std::string out = "before";
  append_record(out, 1, "a", 1, 1, "event");
  std::string alone;
  append_record(alone, 1, "a", 1, 1, "event");
  EXPECT_EQ(out, "before" + alone);
}

TEST(RecordTest, AnEmptyTimeIsReadAsZero) {
  storage::v1::Record record;
  record.set_stream("a");
  record.set_revision(1);
  record.set_event("e");
  const auto decoded =
      decode_record(1, std::string(kChainBytes, '\0') + record.SerializeAsString());
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->append_time_us, 0);
}

TEST(RecordTest, EveryTruncationIsDamageOrLosesOnlyTheEvent) {
  std::string value;
  append_record(value, 1, "orders.1", 300, 1'700'000'000'000'000, make_event("a", "1").event);
  for (std::size_t size = 0; size < value.size(); ++size) {
    const auto decoded = decode_record(1, std::string_view(value).substr(0, size));
    ASSERT_FALSE(decoded) << size;
    EXPECT_EQ(decoded.error().code, Code::kDataLoss);
  }
}

TEST(RecordTest, NoFlippedByteIsReadOutOfBounds) {
  std::string value;
  append_record(value, 1, "orders.1", 300, 1'700'000'000'000'000, make_event("a", "1").event);
  const Chain chain = chain_after(1, value);
  for (std::size_t i = 0; i < value.size(); ++i) {
    for (const int bit : {1, 0x80}) {
      std::string damaged = value;
      damaged[i] = static_cast<char>(damaged[i] ^ bit);
      const auto decoded = decode_record(1, damaged);
      if (!decoded) continue;
      if (i < kChainBytes) {
        EXPECT_NE(decoded->chain, chain);
      } else {
        EXPECT_NE(chain_after(1, damaged), chain);
      }
    }
  }
}

TEST(ScanEventTest, ReadsWhatTheStoreNeeds) {
  const NewEvent event = EventBuilder{.id = "i", .type = "t", .source = "s"}.build();
  const EventHead head = scan_event(event.event);
  EXPECT_EQ(head.id, "i");
  EXPECT_EQ(head.source, "s");
  EXPECT_EQ(head.type, "t");
  for (std::size_t size = 0; size < event.event.size(); ++size) {
    scan_event(std::string_view(event.event).substr(0, size));
  }
  EXPECT_EQ(scan_event("").type, "");
}

}  // namespace
}  // namespace tidegate::test
