// Resume, end to end: whatever happens to connections, every subscriber gets exactly what it asked
// for.

#include <algorithm>
#include <chrono>
#include <iostream>
#include <random>

#include <gtest/gtest.h>

#include "tests/e2e/reliability/under_test.h"
#include "tests/support/token_issuer.h"

namespace tidegate::test {
namespace {

// Says where it examined more often, so that sparse filters are at the head soon after the load
// ends.
const std::vector<std::string> kFlags = {"--delivery-position-ms", "500", "--logging-level",
                                         "warn"};

double seconds_since(std::int64_t start_ns) {
  return static_cast<double>(now_ns() - start_ns) / 1e9;
}

// 200 subscribers of every kind, each cut off at a random byte every 1-5 s, while 4 publishers
// write for a minute.
TEST(ResumeTest, EverySubscriberGetsItsPartOfTheLogWhateverIsCut) {
  GatewayProcess gateway({.flags = kFlags});
  Addresses addresses;
  addresses.set(gateway.http(), gateway.grpc());
  auto publishers = make_publishers(addresses, 1500, test_seed());
  for (const auto& publisher : publishers) publisher->start();
  SubscriberFleet fleet(mixed_subscribers(200, 1000, 5000, test_seed()), addresses.http(), 2);

  const Milliseconds load(scaled(60'000));
  EXPECT_FALSE(gateway.process().wait_exit(load)) << gateway.stderr_text();
  for (const auto& publisher : publishers) publisher->stop();

  const auto log = read_whole_log(gateway.grpc());
  ASSERT_FALSE(log.empty());
  EXPECT_TRUE(fleet.drain(log.back().sequence, 60'000)) << "subscribers do not reach the head";
  fleet.stop();
  judge(publishers, &fleet, gateway.grpc());
  EXPECT_EQ(gateway.terminate(), 0);
  EXPECT_EQ(verify_problems(gateway.data_dir()), "");
}

using Grants = std::vector<std::string>;

bool is_granted(const Grants& grants, const std::string& stream) {
  return std::any_of(grants.begin(), grants.end(), [&stream](const std::string& grant) {
    return pattern_matches(grant, stream);
  });
}

// Of tokens, chosen at random.
Grants random_grants(std::mt19937_64& random) {
  static const Grants kPatterns = {
      ">",       "orders.>",     "orders.*.2",  "orders.eu.*", "*.eu.>", "*",
      "ticks.*", "ticks.3",      "deep.>",      "deep.a.>",    "solo",   "orders.*",
      "*.*.*",   "deep.*.*.c.*", "orders.us.>", "ticks.>"};
  Grants grants;
  for (std::size_t i = 1 + random() % 4; i > 0; --i)
    grants.push_back(kPatterns[random() % kPatterns.size()]);
  return grants;
}

// What was delivered although the subscriber's grants do not have it.
std::size_t leaked_to(const Subscriber& subscriber, const Grants& grants,
                      const std::vector<LogEntry>& log) {
  std::size_t leaked = 0;
  for (const DeliveryRecord& record : subscriber.history().records) {
    if (record.kind != DeliveryRecord::Kind::kEvent) continue;
    const bool is_known = record.sequence >= 1 && record.sequence <= log.size();
    if (!is_known || !is_granted(grants, log[record.sequence - 1].stream)) ++leaked;
  }
  return leaked;
}

// The same with tokens: whoever may have all of a filter gets it as without them, and nobody gets
// anything else.
TEST(ResumeTest, NobodyGetsWhatItsGrantsDoNotHave) {
  const TokenIssuer issuer;
  auto flags = issuer.flags();
  flags.insert(flags.end(), kFlags.begin(), kFlags.end());
  GatewayProcess gateway({.flags = flags});
  Addresses addresses;
  addresses.set(gateway.http(), gateway.grpc());
  const std::string everything = issuer.token("everything", {">"}, {">"});
  auto publishers = make_publishers(addresses, 1500, test_seed(), everything);
  for (const auto& publisher : publishers) publisher->start();

  std::mt19937_64 random(test_seed());
  std::vector<Grants> grants;
  auto wanted = mixed_subscribers(200, 1000, 5000, test_seed());
  for (Subscriber::Options& options : wanted) {
    grants.push_back(random_grants(random));
    options.token = issuer.token(options.name, grants.back());
  }
  SubscriberFleet fleet(wanted, addresses.http(), 2);
  EXPECT_FALSE(gateway.process().wait_exit(Milliseconds(scaled(20'000)))) << gateway.stderr_text();
  for (const auto& publisher : publishers) publisher->stop();
  const auto log = read_whole_log(gateway.grpc(), everything);
  ASSERT_FALSE(log.empty());
  EXPECT_TRUE(fleet.drain(log.back().sequence, 60'000)) << "subscribers do not reach the head";
  fleet.stop();

  judge(publishers, &fleet, gateway.grpc(), everything);
  std::size_t forbidden = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const Subscriber& subscriber = *fleet.subscribers()[i];
    EXPECT_EQ(leaked_to(subscriber, grants[i], log), 0U) << subscriber.history().name;
    forbidden += subscriber.is_forbidden() ? 1 : 0;
    // A stream that the filter has and the grants do not: it must have been forbidden.
    for (const std::string& stream : load_streams()) {
      if (!is_granted(wanted[i].streams, stream) || is_granted(grants[i], stream)) continue;
      EXPECT_TRUE(subscriber.is_forbidden()) << subscriber.history().name << ": " << stream;
    }
  }
  // Both happen, or the test would show nothing.
  EXPECT_GT(forbidden, 20U);
  EXPECT_LT(forbidden, 180U);
  std::cout << forbidden << " of " << wanted.size() << " subscriptions were forbidden\n";
  EXPECT_EQ(gateway.terminate(), 0);
}

// One log that several tests read.
class LongLogTest : public ::testing::Test {
 protected:
  static constexpr Sequence kEvents = 1'000'000;
  static constexpr std::size_t kStreams = 4;

  // Goes on after the bare integer 0, and compares every event.
  void expect_all(const GatewayProcess& gateway, bool is_binary) {
    const std::int64_t start = now_ns();
    SubscriberFleet fleet(
        {{.name = "long", .streams = {">"}, .is_binary = is_binary, .resume = Resume::kInteger}},
        [&] { return gateway.http(); }, 1);
    EXPECT_TRUE(fleet.drain(kEvents, 300'000));
    fleet.stop();
    std::cout << kEvents << " events from sequence 0 by " << (is_binary ? "proto" : "json")
              << " in " << seconds_since(start) << " s\n";
    Sequence last = 0;
    for (const DeliveryRecord& record : fleet.subscribers().front()->history().records) {
      if (record.kind != DeliveryRecord::Kind::kEvent) continue;
      ASSERT_EQ(record.sequence, last + 1);
      ++last;
      const std::string stream = "long." + std::to_string((last - 1) % kStreams);
      const std::string data = "{\"fill\":\"" + std::string(20, 'x') + "\"}";
      ASSERT_EQ(record.hash, event_hash(stream, "filled", "e" + std::to_string(last), data))
          << "at " << last;
    }
    EXPECT_EQ(last, kEvents);
    EXPECT_EQ(fleet.subscribers().front()->connections(), 1u);
  }
};

TEST_F(LongLogTest, IsResumedFromSequence0InBothFormsAndOpensAgainSoon) {
  // A tail that holds a fraction of it, so that most comes from disk.
  GatewayProcess gateway({.flags = {"--log-store-tail-bytes", "16MiB", "--logging-level", "warn"}});
  const std::int64_t start = now_ns();
  ASSERT_TRUE(fill_log(gateway.grpc(), kEvents, {"long.0", "long.1", "long.2", "long.3"}));
  std::cout << kEvents << " events published in " << seconds_since(start) << " s\n";
  expect_all(gateway, false);
  expect_all(gateway, true);

  EXPECT_EQ(gateway.terminate(Milliseconds(60'000)), 0);
  const std::int64_t stopped = now_ns();
  gateway.start();
  std::cout << "start after SIGTERM at " << kEvents << " events: " << seconds_since(stopped)
            << " s\n";
  gateway.kill();
  const std::int64_t killed = now_ns();
  gateway.start();
  std::cout << "start after SIGKILL at " << kEvents << " events: " << seconds_since(killed)
            << " s\n";
  expect_all(gateway, true);
  EXPECT_EQ(gateway.terminate(Milliseconds(60'000)), 0);
}

}  // namespace
}  // namespace tidegate::test
