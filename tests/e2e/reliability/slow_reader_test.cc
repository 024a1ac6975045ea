// A reader that stops for long: it costs next to nothing meanwhile, and gets everything in order
// when it reads on.

#include <iostream>
#include <map>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "tests/e2e/reliability/under_test.h"
#include "tests/support/ws_client.h"
#include "tidegate/v1/session.pb.h"

namespace tidegate::test {
namespace {

constexpr Sequence kEvents = 60'000;
constexpr std::size_t kDataBytes = 400;  // 25 MB in all: several tails and socket buffers
constexpr std::uint64_t kKibPerReaderMax = 1024;

// Nobody is cut for its silence here; that is another test's business.
const std::vector<std::string> kFlags = {
    "--log-store-tail-bytes",    "4MiB",   "--delivery-heartbeat-ms", "600000",
    "--delivery-no-progress-ms", "600000", "--logging-level",         "warn"};
// Freed memory goes back at once: what is resident is what is held, not what the allocator keeps of
// the busiest moment (gateway/allocator.cc).
const std::map<std::string, std::string> kEnvironment = {
    {"MALLOC_CONF", "thp:default,dirty_decay_ms:0,muzzy_decay_ms:0"}};

// A gateway with a reader that keeps up, so that its tail and loop do their ordinary work.
struct Busy {
  Busy()
      : gateway({.flags = kFlags, .environment = kEnvironment}),
        live(
            {{.name = "live", .streams = {">"}}}, [this] { return gateway.http(); }, 1) {}
  void fill() {
    ASSERT_TRUE(fill_log(gateway.grpc(), kEvents, {"s.1", "s.2"}, 1, kDataBytes));
    ASSERT_TRUE(live.drain(kEvents, 60'000));
  }
  // The lowest of several looks: what stays when work in passing has ended.
  std::uint64_t resident() {
    std::uint64_t lowest = UINT64_MAX;
    int looks = 0;
    eventually(
        [&] {
          lowest = std::min(lowest, resident_kib(gateway.process().pid()));
          return ++looks >= 200;
        },
        Milliseconds(5'000));
    return lowest;
  }
  GatewayProcess gateway;
  SubscriberFleet live;
};

WsClient subscribe_and_stop_reading(const GatewayProcess& gateway, bool is_binary) {
  WsClient client = WsClient::connect(
      gateway.http(), {.protocol = is_binary ? "tidegate.v1.proto" : "tidegate.v1.json"});
  EXPECT_TRUE(client.read_message()) << "welcome";
  v1::ClientMessage message;
  message.mutable_subscribe()->set_id("s");
  message.mutable_subscribe()->add_streams(">");
  message.mutable_subscribe()->mutable_start()->set_edge(v1::EDGE_START);
  if (is_binary) {
    client.send_binary(message.SerializeAsString());
  } else {
    client.send_text(R"({"op":"subscribe","id":"s","streams":[">"],"from":"start"})");
  }
  EXPECT_TRUE(client.read_message()) << "subscribed";
  return client;
}

// Reads everything; sequences come without a gap, contents are those that were sent.
void expect_everything(WsClient& client, bool is_binary) {
  const std::string data = "{\"fill\":\"" + std::string(kDataBytes, 'x') + "\"}";
  Sequence last = 0;
  bool fell_behind = false;
  while (last < kEvents) {
    const auto message = client.read_message(Milliseconds(30'000));
    ASSERT_TRUE(message) << "the connection ended after " << last;
    const Heard heard = is_binary ? Heard::from_proto(*message) : Heard::from_json(*message);
    fell_behind = fell_behind || heard.op == "fell_behind";
    for (const Heard::Event& event : heard.events) {
      ASSERT_EQ(event.sequence, last + 1);
      ++last;
      const std::string stream = "s." + std::to_string((last - 1) % 2 + 1);
      ASSERT_EQ(event.hash, event_hash(stream, "filled", "e" + std::to_string(last), data))
          << "at " << last;
    }
  }
  EXPECT_TRUE(fell_behind) << "it was never told that it is behind";
}

// Two gateways get the same load, one of them has readers that do not read. One such reader would
// drown in the noise of a process's memory (memory tables, caches, arenas: some MiB); sixteen of
// them stand out, and their mean is held to the limit. The tail is full in both, since the log is
// several times as large.
TEST(SlowReaderTest, CostsNextToNothingAndGetsEverythingInOrder) {
  constexpr std::size_t kReaders = 16;
  Busy without;
  Busy with;
  std::vector<WsClient> readers;
  for (std::size_t i = 0; i < kReaders; ++i)
    readers.push_back(subscribe_and_stop_reading(with.gateway, i % 2 == 1));
  without.fill();
  with.fill();
  const std::uint64_t plain_kib = without.resident();
  const std::uint64_t loaded_kib = with.resident();
  const std::uint64_t more_kib = loaded_kib > plain_kib ? loaded_kib - plain_kib : 0;
  std::cout << "resident without slow readers " << plain_kib << " KiB, with " << kReaders << ": "
            << loaded_kib << " KiB, " << more_kib / kReaders << " KiB each\n";
#if !defined(__SANITIZE_ADDRESS__) && !defined(TIDEGATE_THREAD_SANITIZER)
  // Sanitizers keep freed memory, so there the figure says nothing.
  EXPECT_LE(more_kib, kReaders * kKibPerReaderMax);
#endif

  for (std::size_t i = 0; i < kReaders; ++i) expect_everything(readers[i], i % 2 == 1);
  EXPECT_TRUE(with.gateway.is_alive());
}

}  // namespace
}  // namespace tidegate::test
